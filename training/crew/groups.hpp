#pragma once

/// A crew of more nodes than can all tell one another everything is in groups: hints, leases and
/// the first addition of a sum go by group, facts by all. groups.md says how. Here is what needs no
/// core: which node and lane belongs where, what stewards of groups know of one another, and the
/// sums that groups publish.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/time.hpp"
#include "training/crew/shards.hpp"

namespace tequio::training::crew_protocol {

/// Shards that a crew in groups cuts the mean into, where it has as many units (guess: as many as
/// nodes at most).
inline constexpr std::uint64_t group_shards_max = crew_groups_nodes_max;

/// Which group is whose. Follows from the depth alone, so nothing has to be agreed on: group g of
/// 2^depth are the nodes whose id, mixed with the task's, begins with the bits of g. A group that
/// has more nodes than fit divides in two, and so do all others.
class group_map {
public:
    group_map(const base::task_id& task, base::node_id self) : task_(task), self_(self) {}

    std::uint32_t depth() const { return depth_; }
    void set_depth(std::uint32_t depth) { depth_ = depth; }
    /// There is more than one group.
    bool several() const { return depth_ > 0; }
    std::uint32_t count() const { return std::uint32_t{1} << depth_; }
    std::uint32_t of(const base::node_id& node) const;
    std::uint32_t own() const { return of(self_); }
    /// Of another group. Cost: none.
    bool foreign(const base::node_id& node) const { return several() && of(node) != own(); }

    /// The lanes that group `g` begins with, and whose contributions it sums, whoever computed
    /// them. None where lanes are fewer than groups.
    contribution_run column(std::uint32_t g, std::uint32_t lanes) const;
    std::uint32_t column_of(std::uint32_t lane, std::uint32_t lanes) const;
    /// Who does what falls to group `g`: itself, or the next of `live` (a bit each) when nobody of
    /// it is heard of.
    std::uint32_t served_by(std::uint32_t g, std::uint64_t live) const;

private:
    base::task_id task_;
    base::node_id self_;
    std::uint32_t depth_ = 0;
};

/// How many times a crew of at most `nodes` in groups of at most `group` may divide: no group is
/// meant to have less than half of what fits.
std::uint32_t depth_max(std::uint64_t nodes, std::uint64_t group);

/// What the steward of a group knows of another one.
struct group_contact {
    steward_name steward;
    std::optional<base::time_point> heard;  ///< its note; nothing when others named it only
    group_note said;
    std::set<std::uint32_t> leased;
    base::time_point asked{}, compared{}, pushed{};

    bool silent_for(base::time_point now, base::duration time) const {
        return !heard || now - *heard > time;
    }
};

/// Published sums as parsed and as received.
struct known_sums {
    lane_sums said;
    signed_fact fact;
};

/// The sums of the open round that are known here. Facts; a wrong one makes a wrong part, which the
/// merge's check finds.
class sums_book {
public:
    sums_book(const job_shape& shape, base::node_id self) : shape_(shape), self_(self) {}

    void open(std::uint64_t round);
    std::uint64_t round() const { return round_; }
    /// True when it is new. Refused: of another round; more than are kept of a run of lanes; other
    /// sums of the same lanes and units by the same node.
    bool add(known_sums s);
    bool knows(const lane_sums& said, const signed_fact& fact) const;
    /// Sums of these lanes over units that hold `shard`, of these contributions: this node's own,
    /// or the first heard that is not distrusted.
    const known_sums* find(contribution_run lanes, contribution_run shard,
                           const base::digest& inputs) const;
    const known_sums* own(const partial_sums& which) const;
    /// Could not be had from this maker, or is none. The same sums made by another are another's.
    void distrust(const base::node_id& maker, const base::blob_ref& ref) {
        distrusted_.emplace(maker, ref);
        ++changes_;
    }
    /// Another number when sums are others, or count for another reason.
    std::uint64_t changes() const { return changes_; }
    const std::vector<known_sums>& all() const { return sums_; }
    void check() const;

private:
    /// Of a run of lanes: a steward hears of each of a group's owners, and of who came after them.
    static constexpr std::size_t per_lanes_max = 4 * crew_members_max;

    job_shape shape_;
    base::node_id self_;
    std::uint64_t round_ = 0;
    std::uint64_t changes_ = 0;
    std::vector<known_sums> sums_;
    std::vector<std::size_t> own_;  ///< which of them this node made, in order
    /// Which of them are of a run of lanes, by its first; in order.
    std::map<std::uint64_t, std::vector<std::size_t>> by_lanes_;
    std::set<std::pair<base::node_id, base::blob_ref>> distrusted_;
};

/// Lanes of a round that live groups have in hand. Asked of every lane nobody has, after every
/// event of a steward; made again when it is of another round or other groups.
struct lanes_abroad {
    bool known = false;
    std::uint64_t round = 0, live = 0;
    std::vector<bool> leased;  ///< by lane
};

/// A part that can be made now: of these units, out of these sums.
struct addable_part {
    contribution_run units;
    std::vector<partial_sums> sums;
    std::vector<base::blob_ref> inputs;  ///< those, in the same order
};

/// What the last look at the sums that own parts are made of was at, and what came of it: as long
/// as that is the same, and it is not later than `due`, the next comes to the same.
struct sums_look {
    struct circumstances {
        base::digest inputs;
        std::uint64_t round = 0, live = 0;
        /// Numbers: of sums, parts, blobs, the roster, of who sums what.
        std::uint64_t sums = 0, parts = 0, blobs = 0, members = 0, rows = 0;
        bool able = false;
        bool operator==(const circumstances&) const = default;
    };
    std::optional<circumstances> at;
    base::time_point due{};
    std::optional<addable_part> addable;
    std::uint64_t wanted = 0;  ///< groups whose sums are not known, a bit each
};

/// Cuts the mean's units into the shards of a crew in groups: as many units each, in order.
std::vector<contribution_run> group_shards(std::uint64_t mean_units);

/// Whose run of units is whose within a group: runs of whole shards, in proportion to `rates` (see
/// `capped_weights`). Every unit once, in order; with fewer shards than candidates some get none.
std::vector<shard> cut_rows(const std::vector<contribution_run>& shards,
                            const std::vector<shard_candidate>& candidates);
/// Which of `shards` make up a row of whole ones: the first, and the one behind the last.
std::pair<std::size_t, std::size_t> shards_of(const shard& row,
                                              const std::vector<contribution_run>& shards);
/// True when the rows cover every unit once, in order, and cut no shard.
bool rows_fit(const std::vector<shard>& rows, const std::vector<contribution_run>& shards);

}  // namespace tequio::training::crew_protocol
