#pragma once

/// Who hands out the work, and how. Both are hints: a wrong one wastes work, never falsifies it.

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/time.hpp"
#include "training/crew/round_book.hpp"

namespace tequio::training::crew_protocol {

/// Follows a steward, and takes over when there is none. Rule: the later round leads, then the
/// higher term, then the smaller id; a steward that hears of a better one steps down.
class leadership {
public:
    leadership(const job_shape& shape, base::node_id self, const crew_timings& timings,
               base::time_point now);

    /// A round-open arrived. True when its sender is now followed, so that its assignments count.
    bool heard(base::time_point now, const steward_name& who);
    /// This steward's chronicle is another one: it is followed no more.
    void disown(base::time_point now, const base::node_id& node);
    /// A status says whom its sender follows; a steward that follows another one has stepped down.
    void heard_status(base::time_point now, const base::node_id& from,
                      const std::optional<steward_name>& follows);
    /// Takes over when the time has come. `present`: members that could, this node apart;
    /// `expecting`: more may speak up soon.
    void beat(base::time_point now, std::uint64_t round, bool may_lead,
              const std::vector<base::node_id>& present, bool expecting);
    /// This node's round moved on.
    void advance(std::uint64_t round);

    bool leading() const { return current_ && current_->node == self_; }
    /// The steward followed, this node included; nothing when it has been silent for too long.
    const std::optional<steward_name>& current() const { return current_; }
    bool follows(const base::node_id& node) const { return current_ && current_->node == node; }
    /// No steward has been heard for that long, this node apart.
    bool silent_for(base::time_point now, base::duration time) const;

private:
    void lose(base::time_point when);

    job_shape shape_;
    base::node_id self_;
    const crew_timings& timings_;
    std::optional<steward_name> current_;
    base::time_point heard_at_{};
    base::time_point lost_at_;  ///< meaningful while there is no current one
    std::uint64_t term_seen_ = 0;
};

/// A node as the planner sees it.
struct worker_slot {
    base::node_id node;
    bool fit = false;               ///< present, at the open round, takes work
    bool busy = false;              ///< with something of its own
    std::optional<item_key> doing;  ///< an item it says it works on
    bool able = true;               ///< takes part, though perhaps not at the open round yet
    bool newcomer = false;
};

/// A node's place among those that take part: lane `index`, `index` + `count`, ... of a round are
/// the ones it begins with, unless told otherwise. Nodes that know their place need not wait for
/// the steward's word when a round opens.
struct crew_place {
    std::uint32_t index = 0;
    std::uint32_t count = 0;  ///< 0: none is known
    bool operator==(const crew_place&) const = default;
};

/// The lane to begin with among `wanted`: the lowest of the place's own that is not in `taken`,
/// else the highest of the others, whose own node comes to it last. Lanes are below `lanes`. Cost:
/// `taken`, and at most 64 looks for an own one.
std::optional<std::uint32_t> lane_for(const crew_place& place,
                                      const std::set<std::uint32_t>& wanted,
                                      const std::set<std::uint32_t>& taken, std::uint32_t lanes);

/// The same in a group of a crew: of the group's own lanes first. `others`: then those of other
/// groups, from the end of the lanes before the own ones backwards, as others rarely do.
std::optional<std::uint32_t> lane_for(const crew_place& place, contribution_run own,
                                      const std::set<std::uint32_t>& wanted,
                                      const std::set<std::uint32_t>& taken, std::uint32_t lanes,
                                      bool others);

/// Leases items: to each node the one it works on, and a lane to go on with, so that no message
/// need come in between. Order of preference: diverged and disputed results of the open round; its
/// lanes whose results were lost; those nobody has; lanes leased to go on with that nobody has
/// begun, from the slowest node (stolen); its validation; lanes that take too long; checks, oldest
/// round first; what would be done last and the node would have sooner; at last a second copy of
/// whatever still runs. Who did not deliver comes last for a
/// while and gets no lane to go on with; newcomers hold at most half of all leases.
class planner {
public:
    explicit planner(const job_shape& shape) : shape_(shape) {}

    struct books {
        const round_book* open = nullptr;       ///< nullptr: none may be worked on
        std::vector<const round_book*> closed;  ///< unsettled ones, oldest first
        /// Whether a node is to check an item of a closed round; nullptr: any may.
        std::function<bool(const base::node_id&, item_key)> may_check = nullptr;
        bool awaited = false;  ///< the crew goes no further until a closed round is settled
        /// Lanes of the open round that were computed by nodes that are gone, and whose
        /// contributions are gone with them.
        std::set<std::uint32_t> lost = {};
        /// Of a crew in groups: the lanes with which this group begins, and whether an item is for
        /// another group to do.
        std::optional<contribution_run> column = std::nullopt;
        std::function<bool(item_key)> elsewhere = nullptr;
        /// Nothing more has to be computed for this item.
        bool decided(const round_book& book, std::uint32_t item) const {
            return book.decided(item) && !(&book == open && lost.contains(item));
        }
        const round_book* find(std::uint64_t round) const;
    };
    /// Brings the leases up to date. Cost: nodes squared.
    void plan(base::time_point now, const books& b, const std::vector<worker_slot>& slots);
    void clear();

    /// Leases by node: `present`, and `next` lanes of the open round.
    std::vector<std::pair<base::node_id, item_key>> assignments() const;
    std::vector<std::pair<base::node_id, item_key>> next_assignments() const;
    std::optional<item_key> of(const base::node_id& node) const;
    std::optional<item_key> next_of(const base::node_id& node) const;
    /// Among the nodes able to work when last planned.
    crew_place place_of(const base::node_id& node) const;

private:
    struct lease {
        item_key key;
        base::time_point since;
    };
    struct node_record {
        base::duration lane_time{};                 ///< of its last lane; zero when not known
        std::optional<base::time_point> out_until;  ///< did not deliver
        std::optional<item_key> left;               ///< what it did not begin
    };
    void release(base::time_point now, const books& b, const std::vector<worker_slot>& slots);
    void adopt(base::time_point now, const books& b, const std::vector<worker_slot>& slots);
    std::optional<item_key> pick(base::time_point now, const books& b, const base::node_id& node);
    std::set<std::uint32_t> taken_lanes(const books& b) const;
    const std::set<std::uint32_t>& unclaimed_here(const books& b);
    std::set<std::uint32_t> running(const std::set<std::uint32_t>& items,
                                    std::uint64_t round) const;
    std::optional<item_key> pick_lane(base::time_point now, const books& b,
                                      const base::node_id& node,
                                      const std::set<std::uint32_t>& taken);
    std::optional<item_key> steal(const round_book& open);
    base::time_point expected(base::time_point now, item_key key) const;
    std::optional<item_key> hasten(base::time_point now, const round_book& open,
                                   const base::node_id& node) const;
    void lease_next(base::time_point now, const books& b, const std::vector<worker_slot>& slots);
    void undelivered(base::time_point now, const base::node_id& node);
    std::size_t copies(item_key key) const;
    bool overdue(base::time_point now, item_key key) const;
    bool out(base::time_point now, const base::node_id& node) const;
    base::duration typical_lane() const;

    job_shape shape_;
    std::map<base::node_id, lease> assigned_;
    std::map<base::node_id, item_key> next_;
    std::map<base::node_id, node_record> records_;
    /// Of a group: items of the open round that nobody has and no other group has in hand; found
    /// once a plan, for every node that looks for work goes through them.
    std::optional<std::set<std::uint32_t>> here_;
    std::vector<base::node_id> crew_;         ///< able nodes by id
    std::set<item_key> parked_;               ///< in the hands of nodes that were given back
    std::vector<base::duration> lane_times_;  ///< the latest few, for `overdue`
};

}  // namespace tequio::training::crew_protocol
