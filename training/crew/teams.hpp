#pragma once

/// Who holds which slice of a model that is divided, and who works together. Pure; hints, like all
/// that a steward says: a bad plan costs time.
///
/// Rules, each for a reason:
/// 1. As few slices as will do: each cut costs a hop and a share of the pipeline. More only when no
///    whole team can be formed, or when most members could not help.
/// 2. As many whole teams as there can be; the others stand by on the slice that is scarcest.
/// 3. Who holds a slice's state keeps it, and a whole team stays together: another slice is walked
///    to from S(0), and a lane in hand is lost with its team.
/// 4. Members of a team are alike: the k-th fastest of each slice work together, since the slowest
///    stage sets a team's pace.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "training/crew/messages.hpp"

namespace tequio::training::crew_protocol {

/// There is room for this slice, for any slice at all.
bool fit(const slice_fits& fits, model_slice slice);
bool fit_any(const slice_fits& fits);

/// A member as the planner of teams sees it.
struct seat_candidate {
    base::node_id node;
    slice_fits fits;
    std::optional<model_slice> holds;  ///< of which it has, or makes, the state
    bool ready = false;                ///< that state is of the open round, or nearly
    std::uint64_t speed = 0;           ///< operations a second; 0: not known, taken for the median
    std::uint64_t memory = 0;          ///< bytes offered, for people

    bool fits_slice(model_slice slice) const { return fit(fits, slice); }
};

/// Work of a slice, up to a common factor.
using slice_work = std::function<std::uint64_t(model_slice)>;

struct team_plan {
    std::uint32_t count = 0;  ///< slices; 0: no plan
    std::vector<seat> seats;  ///< by node

    const seat* find(const base::node_id& node) const;
    /// A team's nodes by slice; empty when there is no such team.
    std::vector<base::node_id> team(std::uint32_t number) const;
    /// The numbers of the teams, ascending.
    std::vector<std::uint32_t> teams() const;
    bool operator==(const team_plan&) const = default;
};

/// Slices that members could hold, and how many whole teams that makes.
struct team_reach {
    std::size_t teams = 0;
    std::size_t helpers = 0;  ///< candidates that could hold some slice
    /// When there is no team: a slice that nobody is left for.
    std::optional<std::uint32_t> lacking = {};
};
team_reach reach_of(const std::vector<seat_candidate>& candidates, std::uint32_t count);

/// Into how many slices to divide (rule 1), or 0 when no number gives a whole team. `now` is kept
/// while it has one and is of use to half of those that any number is of use to.
std::uint32_t choose_count(const std::vector<seat_candidate>& candidates, std::uint32_t max,
                           std::uint32_t now);

/// Gives seats and composes teams (rules 2 to 4). `regroup`: whole teams may be taken apart, when
/// lanes of a tenth more come of it. Cost: candidates cubed, when some are new.
team_plan seat_teams(const std::vector<seat_candidate>& candidates, std::uint32_t count,
                     const slice_work& work, const team_plan& before, bool regroup);

/// Lanes a unit of time of all teams together: of each team what its slowest member makes.
double pace_of(const team_plan& plan, const std::vector<seat_candidate>& candidates,
               const slice_work& work);

/// The plan over time: what is missing only for a moment changes nothing.
class team_desk {
public:
    /// The plan of another steward, which this one goes on with.
    void adopt(team_plan plan) { plan_ = std::move(plan); }
    /// Brings the plan up to date. `max`: slices at most.
    void step(base::time_point now, const std::vector<seat_candidate>& candidates,
              std::uint32_t max, const slice_work& work, bool regroup);
    const team_plan& plan() const { return plan_; }

private:
    team_plan plan_;
    std::vector<seat_candidate> seen_;
    bool regrouped_ = false;
    std::optional<base::time_point> without_since_;  ///< no whole team of the present count
};

}  // namespace tequio::training::crew_protocol
