#include "training/crew/stewardship.hpp"

#include <algorithm>

#include "base/sha256.hpp"

namespace tequio::training::crew_protocol {
namespace {

/// Lane times remembered; the median of these is typical.
constexpr std::size_t lane_times_max = 15;

base::digest rank_of(const base::task_id& task, const base::node_id& node) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.raw(task.view());
    w.raw(node.view());
    return base::sha256(bytes);
}

}  // namespace

leadership::leadership(const job_shape& shape, base::node_id self, const crew_timings& timings,
                       base::time_point now)
    : shape_(shape), self_(self), timings_(timings), lost_at_(now + timings.steward_lost) {}

void leadership::lose(base::time_point when) {
    current_.reset();
    lost_at_ = when;
}

bool leadership::heard(base::time_point now, const steward_name& who) {
    term_seen_ = std::max(term_seen_, who.term);
    if (current_ && current_->node != who.node && !who.leads(*current_)) return false;
    current_ = who;
    heard_at_ = now;
    return true;
}

void leadership::disown(base::time_point now, const base::node_id& node) {
    if (follows(node) && node != self_) lose(now);
}

void leadership::heard_status(base::time_point now, const base::node_id& from,
                              const std::optional<steward_name>& follows) {
    if (follows) term_seen_ = std::max(term_seen_, follows->term);
    if (current_ && current_->node == from && from != self_ &&
        (!follows || follows->node != from)) {
        lose(now);
    }
}

void leadership::beat(base::time_point now, std::uint64_t round, bool may_lead,
                      const std::vector<base::node_id>& present, bool expecting) {
    if (leading()) {
        if (!may_lead) lose(now);
        return;
    }
    if (current_) {
        if (now - heard_at_ < timings_.steward_lost) return;
        lose(now);
    }
    if (!may_lead) return;
    const auto own = rank_of(shape_.task, self_);
    const auto before = std::count_if(present.begin(), present.end(), [&](const auto& node) {
        return rank_of(shape_.task, node) < own;
    });
    const bool alone = present.empty() && !expecting;
    if (!alone && now < lost_at_ + before * timings_.steward_rank) return;
    current_ = steward_name{round, ++term_seen_, self_};
    heard_at_ = now;
}

void leadership::advance(std::uint64_t round) {
    if (leading()) current_->round = round;
}

const round_book* planner::books::find(std::uint64_t round) const {
    if (open != nullptr && open->round() == round) return open;
    for (const auto* book : closed) {
        if (book->round() == round) return book;
    }
    return nullptr;
}

std::size_t planner::copies(item_key key) const {
    return static_cast<std::size_t>(std::count_if(
        assigned_.begin(), assigned_.end(), [&](const auto& a) { return a.second.key == key; }));
}

bool planner::overdue(base::time_point now, item_key key) const {
    if (lane_times_.empty()) return false;
    auto times = lane_times_;
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    // Twice the typical time and a second: a straggler is doubled early, a jitter is not (guess).
    const auto limit = 2 * *middle + std::chrono::seconds(1);
    return std::all_of(assigned_.begin(), assigned_.end(), [&](const auto& a) {
        return a.second.key != key || now - a.second.since > limit;
    });
}

/// Takes back what is done, moot, or in the hands of a node that is gone; notes what nodes say they
/// are doing (a new steward learns its predecessor's assignments so).
void planner::release(base::time_point now, const books& b, const std::vector<worker_slot>& slots) {
    std::erase_if(assigned_, [&](const auto& a) {
        const auto& [node, given] = a;
        const auto slot =
            std::find_if(slots.begin(), slots.end(), [&](const auto& s) { return s.node == node; });
        if (slot == slots.end() || !slot->fit) return true;
        const auto* book = b.find(given.key.round);
        if (book == nullptr || book->decided(given.key.item)) return true;
        if (b.may_check && slot->doing != given.key && !b.may_check(node, given.key)) return true;
        if (book->claim_of(given.key.item, node) == nullptr) return false;
        if (given.key.item < shape_.lanes) {
            if (lane_times_.size() >= lane_times_max) lane_times_.erase(lane_times_.begin());
            lane_times_.push_back(now - given.since);
        }
        return true;
    });
    for (const auto& slot : slots) {
        if (!slot.fit || !slot.doing || assigned_.contains(slot.node)) continue;
        const auto* book = b.find(slot.doing->round);
        if (book == nullptr || book->decided(slot.doing->item) ||
            book->claim_of(slot.doing->item, slot.node) != nullptr) {
            continue;
        }
        assigned_.emplace(slot.node, assignment{*slot.doing, now});
    }
}

std::optional<item_key> planner::pick(base::time_point now, const books& b,
                                      const base::node_id& node) const {
    const auto first = [&](const round_book& book, const std::set<std::uint32_t>& items,
                           auto&& wanted) -> std::optional<item_key> {
        for (const std::uint32_t item : items) {
            if (item == shape_.merge_item() && !book.closed()) continue;
            const item_key key{book.round(), item};
            if (book.claim_of(item, node) != nullptr || !wanted(key)) continue;
            const bool checks = book.closed() && !book.claims(item).empty();
            if (!checks || !b.may_check || b.may_check(node, key)) return key;
        }
        return std::nullopt;
    };
    const auto idle = [&](item_key key) { return copies(key) == 0; };
    const auto late = [&](item_key key) { return copies(key) == 1 && overdue(now, key); };
    const auto doubled = [&](item_key key) { return copies(key) == 1; };
    if (b.open != nullptr) {
        const auto& open = *b.open;
        // Every node judges a dispute for itself; a divergence needs one more witness.
        const auto any = [](item_key) { return true; };
        const auto single = [&](item_key key) { return !open.decided(key.item) && idle(key); };
        if (auto key = first(open, open.disputed(), any)) return key;
        if (auto key = first(open, open.diverged(), single)) return key;
        if (auto key = first(open, open.unclaimed(), idle)) return key;
        if (auto key = first(open, open.unclaimed(), late)) return key;
    }
    for (const auto* book : b.closed) {
        if (auto key = first(*book, book->undecided(), idle)) return key;
        if (auto key = first(*book, book->unclaimed(), idle)) return key;
    }
    if (b.open != nullptr) {
        if (auto key = first(*b.open, b.open->undecided(), idle)) return key;
        if (auto key = first(*b.open, b.open->unclaimed(), doubled)) return key;
    }
    for (const auto* book : b.closed) {
        if (auto key = first(*book, book->unclaimed(), doubled)) return key;
        if (auto key = first(*book, book->undecided(), late)) return key;
    }
    return std::nullopt;
}

void planner::plan(base::time_point now, const books& b, const std::vector<worker_slot>& slots) {
    release(now, b, slots);
    for (const auto& slot : slots) {
        if (!slot.fit || slot.busy || assigned_.contains(slot.node)) continue;
        if (const auto key = pick(now, b, slot.node)) {
            assigned_.emplace(slot.node, assignment{*key, now});
        }
    }
}

std::vector<std::pair<base::node_id, item_key>> planner::assignments() const {
    std::vector<std::pair<base::node_id, item_key>> out;
    for (const auto& [node, a] : assigned_) out.emplace_back(node, a.key);
    return out;
}

std::optional<item_key> planner::of(const base::node_id& node) const {
    const auto it = assigned_.find(node);
    if (it == assigned_.end()) return std::nullopt;
    return it->second.key;
}

}  // namespace tequio::training::crew_protocol
