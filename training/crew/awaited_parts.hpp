#pragma once

/// Parts of a crew in groups: which are not here, and which of those there is reason to ask for.
/// There are a thousand, each event changes a few, and every event looks: what a look costs follows
/// from what changed.

#include <array>
#include <bit>
#include <cstdint>
#include <set>
#include <vector>

#include "training/crew/blob_desk.hpp"
#include "training/crew/shards.hpp"

namespace tequio::training::crew_protocol {

/// Some of the shards of a crew in groups, by index.
class shard_set {
public:
    static constexpr std::size_t size_max = crew_groups_nodes_max;

    void insert(std::size_t i) { words_[i / 64] |= bit(i); }
    void erase(std::size_t i) { words_[i / 64] &= ~bit(i); }
    bool contains(std::size_t i) const { return (words_[i / 64] & bit(i)) != 0; }
    void clear() { words_ = {}; }
    void insert(const shard_set& others) {
        for (std::size_t w = 0; w < words_.size(); ++w) words_[w] |= others.words_[w];
    }
    /// The first that is `from` or behind it; `size_max` when there is none.
    std::size_t next(std::size_t from) const;
    /// Likewise of those in either.
    static std::size_t next(const shard_set& a, const shard_set& b, std::size_t from) {
        return std::min(a.next(from), b.next(from));
    }

private:
    static std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << (i % 64); }
    std::array<std::uint64_t, size_max / 64> words_{};
};

class awaited_parts {
public:
    /// What says whom parts are asked of, beside who made them and who says that it has them.
    struct circumstances {
        std::uint64_t members = 0, rows = 0;  ///< numbers: of the roster, of who sums what
        bool closed = false;                  ///< an entry of the round is known
        bool operator==(const circumstances&) const = default;
    };

    /// Brings itself up to date: the sum of `inputs` in that round, by the shards of the book's
    /// plan, `shard_set::size_max` at most.
    void look(std::uint64_t round, const base::digest& inputs, const shard_book& shards,
              const blob_desk& desk);
    /// Shards that nobody has said a part of, or that are disputed.
    std::size_t unknown() const { return unknown_; }
    bool all_here() const { return unknown_ == 0 && coming_ == 0; }
    /// Every part is known, and none of those that are not here has failed so often.
    bool all_may_come(const blob_desk& desk, unsigned failures_max) const;

    /// Somebody says that it has this part.
    void told(const base::blob_ref& blob);
    void under(const circumstances& now);

    /// Calls `ask(shard, blob, how it stands)` for each part that is not here and that there is
    /// reason to ask for, in order: who may have it is another, its fetch failed, it is time to ask
    /// again, or there is room for what had none. `ask` says whether it did.
    template <class Ask>
    void each_due(base::time_point now, const blob_desk& desk, Ask&& ask) {
        if (now >= soonest_) {
            due_.insert(later_);
            later_.clear();
            soonest_ = base::time_point::max();
        }
        for (std::size_t i = 0;; ++i) {
            i = desk.has_room() ? shard_set::next(due_, roomless_, i) : due_.next(i);
            if (i == shard_set::size_max) return;
            due_.erase(i);
            roomless_.erase(i);
            const auto before = desk.look(parts_[i].blob);
            if (!before.asked && !desk.has_room()) {
                roomless_.insert(i);
                continue;
            }
            if (ask(i, parts_[i].blob, before)) continue;
            // Soon after a question, or a failure, others are not asked instead.
            const auto next = desk.look(parts_[i].blob).next;
            if (now >= next) continue;
            later_.insert(i);
            soonest_ = std::min(soonest_, next);
        }
    }

private:
    struct part {
        base::blob_ref blob;
        bool known = false, coming = false;
    };
    using named = std::pair<std::uint64_t, std::uint32_t>;
    static std::uint64_t head_of(const base::blob_ref& blob);
    template <class See>
    void each_of(const base::blob_ref& blob, See&& see);
    void refresh(std::size_t i, const shard_book& shards, const blob_desk& desk);
    void rebuild(const shard_book& shards, const blob_desk& desk);

    bool begun_ = false;
    std::uint64_t round_ = 0;
    base::digest inputs_;
    std::uint64_t shards_seen_ = 0, desk_seen_ = 0;  ///< their changes
    std::vector<part> parts_;                        ///< by shard
    std::vector<named> by_blob_;                     ///< the root's first bytes, shard; in order
    std::size_t unknown_ = 0, coming_ = 0;
    circumstances under_;
    shard_set due_;
    shard_set roomless_;            ///< would be asked for if there were room
    shard_set later_;               ///< looked at again from `soonest_` on
    std::set<std::size_t> failed_;  ///< their fetches have failed at some time
    base::time_point soonest_ = base::time_point::max();
};

}  // namespace tequio::training::crew_protocol
