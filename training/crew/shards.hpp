#pragma once

/// Who sums which run of the mean's units in the open round, and the parts that came of it. A plan
/// is a hint of the steward's; a part is a signed fact, and follows from the contributions alone:
/// two owners of one shard both finish, equally. Parts that differ mean that somebody lies or errs:
/// then this node's own counts, and while it has none, none does.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "training/crew/change_log.hpp"
#include "training/crew/messages.hpp"

namespace tequio::training::crew_protocol {

/// Cuts 0..units-1 into consecutive runs, one a weight, each unit in one of them; a run has the
/// share of its weight, give or take one unit, and may be empty. Pure. `weights`: some above 0,
/// each below 2^32; units below 2^31.
std::vector<contribution_run> cut_units(std::uint64_t units,
                                        std::span<const std::uint64_t> weights);

/// Weights for measured rates (bytes a second; nothing: not measured, counted as the median): a
/// rate above four times the median, or below a quarter of it, counts as that. All alike without a
/// measurement. Scaled so that the median is 1,024.
std::vector<std::uint64_t> capped_weights(std::span<const std::optional<std::uint64_t>> rates);

/// A part as parsed and as received.
struct known_part {
    sum_part said;
    signed_fact fact;
};

/// One that may be given a shard.
struct shard_candidate {
    base::node_id node;
    std::optional<std::uint64_t> rate;  ///< of what came from it, bytes a second, as measured here
};

/// Others' shards that are a node's to gather for, and of which plan and members that is.
struct standby_place {
    std::vector<shard> plan;
    std::uint64_t members = 0;
    std::set<std::size_t> shards;
};

class shard_book {
public:
    shard_book(const job_shape& shape, base::node_id self) : shape_(shape), self_(self) {}

    /// Forgets everything but the rates, for the next round.
    void open(std::uint64_t round);
    std::uint64_t round() const { return round_; }
    /// Another number when shards or parts are others.
    std::uint64_t changes() const { return changes_; }
    /// Of which shards, as long as the plan stays as it is.
    const change_log<std::size_t>& recent() const { return recent_; }
    /// Another number when the plan may be another.
    std::uint64_t plans() const { return plans_; }
    /// The plan; empty, or together every unit once, in order.
    const std::vector<shard>& plan() const { return plan_; }
    bool several() const { return plan_.size() > 1; }

    /// Makes a plan, as the steward, before any lane was claimed. A node that gets no unit in one
    /// round gets one in a later one. Cost: the candidates.
    void make(const std::vector<shard_candidate>& candidates);
    /// Takes the steward's plan. False when it does not cover every unit once, in order.
    bool adopt(const std::vector<shard>& plan);
    /// Another owner for shard `index`: of `candidates` one that had it not before: the first of
    /// `preferred`, else whoever has the fewest; this node when there is none.
    void reassign(base::time_point now, std::size_t index,
                  const std::vector<base::node_id>& candidates,
                  const std::vector<base::node_id>& preferred = {});
    /// Who gathers for shard `index` beside its owner, `count` of them at most: the owners of the
    /// shards behind it, of which `fits` is true.
    std::vector<base::node_id> standbys(
        std::size_t index, std::size_t count,
        const std::function<bool(const base::node_id&)>& fits) const;
    /// A former owner of shard `index` has made this part of it after all: it is the owner again.
    void give_back(std::size_t index, const sum_part& made);
    /// When the shard of these units last got an owner here; nothing: with the plan.
    std::optional<base::time_point> reassigned(contribution_run units) const;
    /// How many have had shard `index` before its present owner.
    std::size_t owners_before(std::size_t index) const;

    enum class added { fresh, known, stale, contradiction };
    /// Keeps a part whose signature was verified. `stale`: of units that are no shard of the plan,
    /// or too many say so. `contradiction`: the node has said otherwise of the same contributions.
    added add(known_part p);
    /// Exactly this part is kept: its signature need not be verified again.
    bool knows(const sum_part& said, const signed_fact& fact) const;
    /// What to build on for these units, when it is a sum of these contributions.
    const known_part* resolved(contribution_run units, const base::digest& inputs) const;
    bool disputed(contribution_run units, const base::digest& inputs) const;
    /// This node's own part.
    const known_part* own(contribution_run units, const base::digest& inputs) const;
    /// All who made this part.
    std::vector<base::node_id> makers(const sum_part& p) const;
    /// All parts of the round, by unit.
    std::vector<const known_part*> all() const;
    /// This node's own parts of the round, to be told again.
    std::vector<signed_fact> own_facts() const;
    /// All parts known, as blobs.
    std::set<base::blob_ref> blobs() const;

    /// A part came from the only node that had it: `bytes` in `took`. Averaged over a few.
    void measured(const base::node_id& node, std::uint64_t bytes, base::duration took);
    std::optional<std::uint64_t> rate_of(const base::node_id& node) const;
    void check() const;

private:
    static constexpr std::size_t parts_per_shard_max = 8;  ///< as many as claims an item
    static constexpr std::size_t rates_max = 4 * crew_members_max;
    using units_key = std::pair<std::uint64_t, std::uint64_t>;
    static units_key key_of(contribution_run units) { return {units.first, units.count}; }
    const std::vector<known_part>& parts_of(contribution_run units) const;
    std::optional<std::size_t> index_of(contribution_run units) const;
    void plan_changed();

    job_shape shape_;
    base::node_id self_;
    std::uint64_t round_ = 0;
    std::vector<shard> plan_;
    std::map<units_key, std::vector<known_part>> parts_;
    std::map<units_key, std::set<base::node_id>> tried_;  ///< owners so far, where there were more
    std::map<units_key, base::time_point> reassigned_;
    std::uint64_t changes_ = 1, plans_ = 1;
    change_log<std::size_t> recent_;
    std::map<base::node_id, std::uint64_t> rates_;
};

}  // namespace tequio::training::crew_protocol
