#pragma once

/// Everything known about one round: who computed which item and with which result. A grow-only set
/// of signed claims, so two nodes that exchange what the other lacks hold the same book.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "training/crew/messages.hpp"

namespace tequio::training::crew_protocol {

/// Claims of different nodes kept an item; more are refused, but this node's own (two are enough to
/// settle; the rest are for disputes).
inline constexpr std::size_t claims_per_item_max = 8;

/// A claim as parsed and as received.
struct known_claim {
    claim said;
    signed_fact fact;
};

/// One of this node's, as stored.
struct own_claim : known_claim {
    base::digest trace;
};

/// How things stand with an item, as this node sees it.
enum class item_standing {
    unclaimed,  ///< nobody has computed it
    single,     ///< one node has
    matched,    ///< two nodes have, alike; in a closed round: and the chronicle says the same
    disputed,   ///< results differ, and this node cannot tell which is right
    defended,   ///< results differ; this node computed what stands, or two nodes did
    refuted,    ///< closed round: the chronicle says something else than this node computed, or
                ///< than more nodes computed than what it says
    unchecked,  ///< there was no second node when it mattered
    undrawn,    ///< single, and nobody has drawn its check
};

class round_book {
public:
    round_book(const job_shape& shape, std::uint64_t round, base::digest state, base::node_id self);

    enum class added { fresh, known, stale, full, contradiction };
    /// Keeps a claim whose signature was verified. `stale`: on another state. `contradiction`: the
    /// node has claimed another result before; the first stays.
    added add(known_claim claim);

    std::uint64_t round() const { return round_; }
    const base::digest& state() const { return state_; }
    bool closed() const { return closed_; }
    /// The chronicle has this round now. `results`: by lane; then the validation item's and the
    /// entry's own digest.
    void close(std::vector<base::digest> results);

    const std::vector<known_claim>& claims(std::uint32_t item) const { return items_[item].claims; }
    const known_claim* claim_of(std::uint32_t item, const base::node_id& node) const;
    /// This node's own claim, where that is more than another's word (`own_counts`).
    const known_claim* own_claim(std::uint32_t item) const {
        return own_counts_ || item == shape_.merge_item() ? claim_of(item, self_) : nullptr;
    }
    /// Whether what this node claims outweighs what any number of others say: not where a team
    /// computed it, of whom one may have forged its slice, and a third team can tell. Sums are
    /// each node's own.
    void own_counts(bool counts);
    /// One more claim on this item would be kept, should it be this node's.
    bool has_room(std::uint32_t item, const base::node_id& node) const;
    /// The result to build on: in a closed round the chronicle's; else this node's own, or the one
    /// with most nodes behind it. Nullptr while unclaimed or disputed.
    const known_claim* resolved(std::uint32_t item) const;
    item_standing standing(std::uint32_t item) const { return items_[item].standing; }
    /// True when nothing more has to be computed for this item.
    bool decided(std::uint32_t item) const;
    /// Says whether a single result of this lane is enough.
    void waive(std::uint32_t lane, bool enough);
    /// What the chronicle has for this item. Ensures that the round is closed.
    const base::digest& stands(std::uint32_t item) const;
    /// Nodes that have computed a lane of their own accord, not as another's check.
    std::size_t workers() const { return workers_.size(); }

    /// Ascending sets of items, for planning.
    const std::set<std::uint32_t>& unclaimed() const { return unclaimed_; }
    const std::set<std::uint32_t>& undecided() const { return undecided_; }  ///< but claimed
    const std::set<std::uint32_t>& disputed() const { return disputed_; }
    const std::set<std::uint32_t>& diverged() const { return diverged_; }  ///< some claim says so
    const std::set<std::uint32_t>& refuted() const { return refuted_; }
    const std::set<std::uint32_t>& undrawn() const { return undrawn_; }

    /// True when the round is closed and each of its items decided.
    bool settled() const { return closed_ && unclaimed_.empty() && undecided_.empty(); }
    /// Gives up on checking what is not decided (closed rounds only); returns the lanes concerned.
    /// With `only`, that item alone.
    std::vector<std::uint32_t> mark_unchecked(std::optional<std::uint32_t> only = std::nullopt);
    std::uint64_t lanes_matched() const;

    /// Hash of all claims, whatever their order; equal books have equal folds. Items with as many
    /// claims as are kept are alike.
    std::uint64_t fold() const { return fold_; }
    /// One byte an item from `first`, at most tags_max: 0 for no claims, else a hash under `nonce`.
    base::byte_vector tags(std::uint64_t nonce, std::uint32_t first) const;

    /// Aborts when the sets do not follow from the claims.
    void check() const;

private:
    struct item_record {
        std::vector<known_claim> claims;
        std::vector<std::uint64_t> hashes;  ///< of the claims, in their order
        item_standing standing = item_standing::unclaimed;
        bool given_up = false;
        bool waived = false;
        std::uint64_t fold = 0;
    };
    item_standing judge(std::uint32_t item) const;
    void judge_again(std::uint32_t item);
    std::uint64_t fold_of(std::uint32_t item) const;
    std::size_t supporters(const item_record& record, const base::digest& result) const;
    const known_claim* leading(const item_record& record) const;

    job_shape shape_;
    std::uint64_t round_;
    base::digest state_;
    base::node_id self_;
    bool closed_ = false;
    bool own_counts_ = true;
    std::vector<base::digest> results_;
    std::vector<item_record> items_;
    std::set<std::uint32_t> unclaimed_;
    std::set<std::uint32_t> undecided_;
    std::set<std::uint32_t> disputed_;
    std::set<std::uint32_t> diverged_;
    std::set<std::uint32_t> refuted_;
    std::set<std::uint32_t> undrawn_;
    std::set<base::node_id> workers_;
    std::uint64_t fold_ = 0;
};

}  // namespace tequio::training::crew_protocol
