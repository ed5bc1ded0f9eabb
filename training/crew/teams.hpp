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
///    stage sets a team's pace. A stage is as slow as its computing or its uplink, whichever takes
///    longer; the way between members counts once a step. At its end all wait for the first to have
///    the whole contribution, so that the widest connection is best there.
/// 5. A whole team is taken apart, without anybody changing the slice, for a tenth more lanes; for
///    another slice, to which its holder has to walk, only when the pace now is below 0.75 of what
///    it would be (the rule by which Petals' servers move), and while at most a quarter walk. Who
///    has made nothing of its slice yet moves for a tenth.

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
    std::uint64_t up = 0;              ///< bytes a second; 0: as speed
    std::uint64_t delay = 0;           ///< its part of a message's way, microseconds
    bool working = false;              ///< on an item: its team is left alone
    bool unmade = false;               ///< has no state of what it holds: another costs nothing

    bool fits_slice(model_slice slice) const { return fit(fits, slice); }
};

/// What is told of something that is measured again and again: the median of the last few, told
/// anew when it is off by an eighth, so that plans made of it stand.
class steady_figure {
public:
    explicit steady_figure(std::uint64_t told = 0) : told_(told) {}
    void add(std::uint64_t measured);
    std::uint64_t told() const { return told_; }

private:
    std::vector<std::uint64_t> last_;  ///< oldest first
    std::uint64_t told_;
};

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

/// How much a plan may change.
enum class change {
    seats,  ///< for those who have none; whole teams stay
    teams,  ///< also who works with whom, of those whose team is not at work (rule 5)
    all,    ///< also who holds which slice
};

/// Gives seats and composes teams (rules 2 to 5). Cost: candidates cubed, when some are new or
/// change their slice.
team_plan seat_teams(const std::vector<seat_candidate>& candidates, std::uint32_t count,
                     const crew_lane_load& load, const team_plan& before, change most);

/// Lanes a unit of time of all teams together: seconds, where all that counts is known.
double pace_of(const team_plan& plan, const std::vector<seat_candidate>& candidates,
               const crew_lane_load& load);

/// The plan over time: what is missing only for a moment changes nothing.
class team_desk {
public:
    /// The plan of another steward, which this one goes on with.
    void adopt(team_plan plan) { plan_ = std::move(plan); }
    /// Brings the plan up to date. `max`: slices at most.
    void step(base::time_point now, const std::vector<seat_candidate>& candidates,
              std::uint32_t max, const crew_lane_load& load, change most);
    const team_plan& plan() const { return plan_; }

private:
    team_plan plan_;
    std::vector<seat_candidate> seen_;
    std::optional<base::time_point> without_since_;  ///< no whole team of the present count
};

}  // namespace tequio::training::crew_protocol
