#include "training/crew/round_book.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::training::crew_protocol {
namespace {

/// What two books must agree on about a claim: who, what, which result. Not its bytes: a node that
/// encodes one statement twice must not keep two books apart for ever.
std::uint64_t hash_of(const claim& c) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(c.node.view());
    w.u64(c.key.round);
    w.u32(c.key.item);
    w.raw(c.result.view());
    return base::byte_reader(base::sha256(bytes).view()).u64();
}

/// Finaliser of splitmix64 (Steele, Lea and Flood 2014).
std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

bool is_decided(item_standing s) {
    return s != item_standing::unclaimed && s != item_standing::single &&
           s != item_standing::disputed;
}

}  // namespace

round_book::round_book(const job_shape& shape, std::uint64_t round, base::digest state,
                       base::node_id self)
    : shape_(shape), round_(round), state_(state), self_(self), items_(shape.items()) {
    for (std::uint32_t item = 0; item < shape_.items(); ++item) {
        if (shape_.has({round_, item})) unclaimed_.insert(item);
    }
}

round_book::added round_book::add(known_claim k) {
    base::ensure(k.said.key.round == round_ && shape_.has(k.said.key), "claim of this round");
    if (k.said.state != state_) return added::stale;
    const std::uint32_t item = k.said.key.item;
    auto& record = items_[item];
    for (const auto& other : record.claims) {
        if (other.said.node != k.said.node) continue;
        return other.said.result == k.said.result ? added::known : added::contradiction;
    }
    if (!has_room(item, k.said.node)) return added::full;
    fold_ ^= fold_of(item);
    const auto hash = hash_of(k.said);
    record.fold ^= hash;
    if (k.said.divergence) diverged_.insert(item);
    if (item < shape_.lanes && k.said.of.is_zero()) workers_.insert(k.said.node);
    // By node, so that nothing depends on the order of arrival.
    const auto at = std::lower_bound(
        record.claims.begin(), record.claims.end(), k.said.node,
        [](const known_claim& a, const base::node_id& node) { return a.said.node < node; });
    record.hashes.insert(record.hashes.begin() + (at - record.claims.begin()), hash);
    record.claims.insert(at, std::move(k));
    fold_ ^= fold_of(item);
    judge_again(item);
    return added::fresh;
}

bool round_book::has_room(std::uint32_t item, const base::node_id& node) const {
    return items_[item].claims.size() < claims_per_item_max || node == self_;
}

/// Which claims a full item keeps depends on the order of arrival, and more are refused: two full
/// ones count as alike, or nodes would compare them for ever.
std::uint64_t round_book::fold_of(std::uint32_t item) const {
    const auto& record = items_[item];
    return record.claims.size() < claims_per_item_max ? record.fold : mix(item + 1);
}

void round_book::own_counts(bool counts) {
    if (own_counts_ == counts) return;
    own_counts_ = counts;
    for (std::uint32_t item = 0; item < shape_.items(); ++item) {
        if (shape_.has({round_, item})) judge_again(item);
    }
}

void round_book::close(std::vector<base::digest> results) {
    base::ensure(!closed_ && results.size() == shape_.items(), "a round closes once");
    results_ = std::move(results);
    closed_ = true;
    for (std::uint32_t item = 0; item < shape_.items(); ++item) {
        if (shape_.has({round_, item})) judge_again(item);
    }
}

const known_claim* round_book::claim_of(std::uint32_t item, const base::node_id& node) const {
    for (const auto& k : items_[item].claims) {
        if (k.said.node == node) return &k;
    }
    return nullptr;
}

std::size_t round_book::supporters(const item_record& record, const base::digest& result) const {
    return static_cast<std::size_t>(
        std::count_if(record.claims.begin(), record.claims.end(),
                      [&](const known_claim& k) { return k.said.result == result; }));
}

/// The claim with strictly most nodes behind its result.
const known_claim* round_book::leading(const item_record& record) const {
    const known_claim* best = nullptr;
    std::size_t most = 0;
    bool tie = false;
    for (const auto& k : record.claims) {
        const auto count = supporters(record, k.said.result);
        if (count > most) {
            best = &k;
            most = count;
            tie = false;
        } else if (count == most && best != nullptr && k.said.result != best->said.result) {
            tie = true;
        }
    }
    return tie ? nullptr : best;
}

const known_claim* round_book::resolved(std::uint32_t item) const {
    const auto& record = items_[item];
    if (closed_) {
        for (const auto& k : record.claims) {
            if (k.said.result == results_[item]) return &k;
        }
        return nullptr;
    }
    if (const auto* own = own_claim(item)) return own;
    return leading(record);
}

item_standing round_book::judge(std::uint32_t item) const {
    const auto& record = items_[item];
    const auto* own = own_claim(item);
    const auto* lead = leading(record);
    if (closed_) {
        const auto& stands = results_[item];
        if (own != nullptr && own->said.result != stands) return item_standing::refuted;
        const auto behind = supporters(record, stands);
        if (behind == record.claims.size()) {
            if (behind >= 2) return item_standing::matched;
        } else if (own != nullptr || (lead != nullptr && lead->said.result == stands)) {
            return item_standing::defended;
        } else if (lead != nullptr && supporters(record, lead->said.result) >= 2) {
            return item_standing::refuted;
        } else {
            return record.given_up ? item_standing::unchecked : item_standing::disputed;
        }
    } else if (lead == nullptr || supporters(record, lead->said.result) != record.claims.size()) {
        if (record.claims.empty()) return item_standing::unclaimed;
        return own != nullptr || lead != nullptr ? item_standing::defended
                                                 : item_standing::disputed;
    } else if (record.claims.size() >= 2) {
        return item_standing::matched;
    }
    if (record.given_up) return item_standing::unchecked;
    if (record.waived && !record.claims.empty()) return item_standing::undrawn;
    return record.claims.empty() ? item_standing::unclaimed : item_standing::single;
}

void round_book::judge_again(std::uint32_t item) {
    auto& record = items_[item];
    record.standing = judge(item);
    const auto put = [item](std::set<std::uint32_t>& set, bool in) {
        if (in) {
            set.insert(item);
        } else {
            set.erase(item);
        }
    };
    put(unclaimed_, record.standing == item_standing::unclaimed);
    put(undecided_,
        record.standing == item_standing::single || record.standing == item_standing::disputed);
    put(disputed_, record.standing == item_standing::disputed);
    put(refuted_, record.standing == item_standing::refuted);
    put(undrawn_, record.standing == item_standing::undrawn);
}

bool round_book::decided(std::uint32_t item) const {
    return is_decided(items_[item].standing);
}

void round_book::waive(std::uint32_t lane, bool enough) {
    base::ensure(lane < shape_.lanes, "only lanes are drawn");
    if (items_[lane].waived == enough) return;
    items_[lane].waived = enough;
    if (shape_.has({round_, lane})) judge_again(lane);
}

const base::digest& round_book::stands(std::uint32_t item) const {
    base::ensure(closed_, "only in a closed round does something stand");
    return results_[item];
}

std::vector<std::uint32_t> round_book::mark_unchecked(std::optional<std::uint32_t> only) {
    base::ensure(closed_, "only closed rounds are given up");
    std::vector<std::uint32_t> given_up;
    std::set<std::uint32_t> open = unclaimed_;
    open.insert(undecided_.begin(), undecided_.end());
    for (const std::uint32_t item : open) {
        if (only && *only != item) continue;
        items_[item].given_up = true;
        judge_again(item);
        if (item < shape_.lanes) given_up.push_back(item);
    }
    return given_up;
}

std::uint64_t round_book::lanes_matched() const {
    std::uint64_t count = 0;
    if (round_ >= shape_.rounds) return 0;
    for (std::uint32_t lane = 0; lane < shape_.lanes; ++lane) {
        count += items_[lane].standing == item_standing::matched;
    }
    return count;
}

base::byte_vector round_book::tags(std::uint64_t nonce, std::uint32_t first) const {
    base::byte_vector out;
    const auto end = std::min<std::size_t>(items_.size(), std::size_t{first} + tags_max);
    for (std::uint32_t item = first; item < end; ++item) {
        // A fresh nonce each time: two sets that collide once do not collide for ever.
        const bool empty = items_[item].claims.empty();
        const auto tag = static_cast<std::uint8_t>(1 + mix(fold_of(item) ^ mix(nonce)) % 255);
        out.push_back(empty ? std::uint8_t{0} : tag);
    }
    return out;
}

void round_book::check() const {
    std::uint64_t fold = 0;
    for (std::uint32_t item = 0; item < shape_.items(); ++item) {
        const auto& record = items_[item];
        const bool exists = shape_.has({round_, item});
        base::ensure(exists || record.claims.empty(), "no claim on what does not exist");
        std::uint64_t item_fold = 0;
        base::ensure(record.hashes.size() == record.claims.size(), "a hash a claim");
        for (std::size_t i = 0; i < record.claims.size(); ++i) {
            const auto& said = record.claims[i].said;
            base::ensure(said.state == state_, "claims start from this round's state");
            base::ensure(i == 0 || record.claims[i - 1].said.node < said.node,
                         "one claim a node and item");
            item_fold ^= record.hashes[i];
        }
        base::ensure(item_fold == record.fold, "item fold");
        fold ^= fold_of(item);
        if (!exists) continue;
        base::ensure(record.standing == judge(item), "standing follows from the claims");
        base::ensure(unclaimed_.contains(item) == (record.standing == item_standing::unclaimed),
                     "set of unclaimed items");
        base::ensure(undrawn_.contains(item) == (record.standing == item_standing::undrawn),
                     "set of undrawn lanes");
    }
    base::ensure(fold == fold_, "fold of the book");
}

}  // namespace tequio::training::crew_protocol
