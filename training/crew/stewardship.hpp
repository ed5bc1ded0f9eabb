#pragma once

/// Who hands out the work, and how. Both are hints: a wrong one wastes work, never falsifies it.

#include <functional>
#include <map>
#include <optional>
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
};

/// Hands out one item a node at a time. Order of preference: diverged and disputed results of the
/// open round; its lanes nobody has; its validation; lanes that take too long; checks, oldest round
/// first; at last a second copy of whatever still runs.
class planner {
public:
    explicit planner(const job_shape& shape) : shape_(shape) {}

    struct books {
        const round_book* open = nullptr;       ///< nullptr: none may be worked on
        std::vector<const round_book*> closed;  ///< unsettled ones, oldest first
        /// Whether a node is to check an item of a closed round; nullptr: any may.
        std::function<bool(const base::node_id&, item_key)> may_check = nullptr;
        const round_book* find(std::uint64_t round) const;
    };
    /// Brings the assignments up to date. Cost: nodes squared.
    void plan(base::time_point now, const books& b, const std::vector<worker_slot>& slots);
    void clear() { assigned_.clear(); }

    std::vector<std::pair<base::node_id, item_key>> assignments() const;
    std::optional<item_key> of(const base::node_id& node) const;

private:
    struct assignment {
        item_key key;
        base::time_point since;
    };
    void release(base::time_point now, const books& b, const std::vector<worker_slot>& slots);
    std::optional<item_key> pick(base::time_point now, const books& b,
                                 const base::node_id& node) const;
    std::size_t copies(item_key key) const;
    bool overdue(base::time_point now, item_key key) const;

    job_shape shape_;
    std::map<base::node_id, assignment> assigned_;
    std::vector<base::duration> lane_times_;  ///< the latest few, for `overdue`
};

}  // namespace tequio::training::crew_protocol
