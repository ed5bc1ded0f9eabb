#include "training/crew/stewardship.hpp"

#include <algorithm>

#include "base/sha256.hpp"

namespace tequio::training::crew_protocol {
namespace {

/// Lane times remembered; the median of these is typical.
constexpr std::size_t lane_times_max = 15;
/// Nodes with a record: those of a full crew, and as many that have gone.
constexpr std::size_t records_max = 2 * crew_members_max;
/// A lease that its node does not begin by then goes to another (guess: some beats, and a slow
/// link).
constexpr base::duration begin_patience = std::chrono::seconds(3);
/// Who did not deliver is served last for a typical lane's time, and at least for so long (guess).
constexpr base::duration out_min = std::chrono::seconds(5);
constexpr int own_looks_max = 64;

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
    : shape_(shape), self_(self), timings_(timings), lost_at_(now + timings.beat) {}

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

bool leadership::silent_for(base::time_point now, base::duration time) const {
    return !leading() && now - (current_ ? heard_at_ : lost_at_) > time;
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

std::optional<std::uint32_t> lane_for(const crew_place& place,
                                      const std::set<std::uint32_t>& wanted,
                                      const std::set<std::uint32_t>& taken, std::uint32_t lanes) {
    const auto free = [&](std::uint32_t lane) { return lane < lanes && !taken.contains(lane); };
    std::uint64_t from = place.index;
    for (int looks = 0; place.count > 0 && looks < own_looks_max && from < lanes; ++looks) {
        const auto it = wanted.lower_bound(static_cast<std::uint32_t>(from));
        if (it == wanted.end() || *it >= lanes) break;
        if (*it == from && free(*it)) return *it;
        // The next of its own lanes that is not below what was found.
        const std::uint64_t steps = (*it - from + place.count - 1) / place.count;
        from += std::max<std::uint64_t>(steps, *it == from ? 1 : 0) * place.count;
    }
    for (auto it = wanted.lower_bound(lanes); it != wanted.begin();) {
        --it;
        if (free(*it)) return *it;
    }
    return std::nullopt;
}

std::optional<std::uint32_t> lane_for(const crew_place& place, contribution_run own,
                                      const std::set<std::uint32_t>& wanted,
                                      const std::set<std::uint32_t>& taken, std::uint32_t lanes,
                                      bool others) {
    const auto first = static_cast<std::uint32_t>(own.first);
    const auto end = static_cast<std::uint32_t>(own.end());
    std::set<std::uint32_t> own_wanted, own_taken;
    for (auto it = wanted.lower_bound(first); it != wanted.end() && *it < end; ++it) {
        own_wanted.insert(*it - first);
    }
    for (auto it = taken.lower_bound(first); it != taken.end() && *it < end; ++it) {
        own_taken.insert(*it - first);
    }
    if (const auto lane = lane_for(place, own_wanted, own_taken, end - first)) {
        return *lane + first;
    }
    if (!others) return std::nullopt;
    const auto last_free = [&](std::uint32_t low, std::uint32_t high) {
        const auto begin = wanted.lower_bound(low);
        for (auto it = wanted.lower_bound(high); it != begin;) {
            --it;
            if (!taken.contains(*it)) return std::optional(*it);
        }
        return std::optional<std::uint32_t>();
    };
    if (const auto lane = last_free(0, first)) return lane;
    return last_free(first, lanes);
}

void planner::clear() {
    assigned_.clear();
    next_.clear();
}

std::size_t planner::copies(item_key key) const {
    return static_cast<std::size_t>(std::count_if(
        assigned_.begin(), assigned_.end(), [&](const auto& a) { return a.second.key == key; }));
}

base::duration planner::typical_lane() const {
    if (lane_times_.empty()) return {};
    auto times = lane_times_;
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    return *middle;
}

bool planner::overdue(base::time_point now, item_key key) const {
    if (lane_times_.empty()) return false;
    // Twice the typical time and a second: a straggler is doubled early, a jitter is not (guess).
    const auto limit = 2 * typical_lane() + std::chrono::seconds(1);
    return std::all_of(assigned_.begin(), assigned_.end(), [&](const auto& a) {
        return a.second.key != key || now - a.second.since > limit;
    });
}

bool planner::out(base::time_point now, const base::node_id& node) const {
    const auto it = records_.find(node);
    return it != records_.end() && it->second.out_until && now < *it->second.out_until;
}

void planner::undelivered(base::time_point now, const base::node_id& node) {
    if (records_.size() >= records_max && !records_.contains(node)) return;
    records_[node].out_until = now + std::max(out_min, typical_lane());
}

/// Takes back what is done, moot, not begun, or in the hands of a node that is gone.
void planner::release(base::time_point now, const books& b, const std::vector<worker_slot>& slots) {
    for (auto it = assigned_.begin(); it != assigned_.end();) {
        const auto& [node, given] = *it;
        const auto slot =
            std::find_if(slots.begin(), slots.end(), [&](const auto& s) { return s.node == node; });
        const auto* book = b.find(given.key.round);
        const bool fit = slot != slots.end() && slot->fit;
        const bool moot = book == nullptr || b.decided(*book, given.key.item);
        const bool done = book != nullptr && book->claim_of(given.key.item, node) != nullptr;
        const bool begun = fit && (slot->doing == given.key || slot->busy);
        const bool late = fit && !begun && now - given.since > begin_patience;
        const bool barred = fit && !begun && b.may_check && !b.may_check(node, given.key);
        if (done && given.key.item < shape_.lanes) {
            if (lane_times_.size() >= lane_times_max) lane_times_.erase(lane_times_.begin());
            lane_times_.push_back(now - given.since);
            if (records_.contains(node) || records_.size() < records_max) {
                records_[node].lane_time = now - given.since;
                records_[node].left.reset();
            }
        } else if (!moot && slot == slots.end()) {
            undelivered(now, node);
        } else if (!moot && late) {
            undelivered(now, node);
            if (records_.contains(node)) records_[node].left = given.key;
        }
        const bool keep = fit && !moot && !done && !late && !barred;
        it = keep ? std::next(it) : assigned_.erase(it);
    }
    std::erase_if(next_, [&](const auto& n) {
        const auto& [node, key] = n;
        const bool fit = std::any_of(slots.begin(), slots.end(),
                                     [&](const auto& s) { return s.node == n.first && s.fit; });
        if (!fit) return true;
        const auto* book = b.find(key.round);
        return book == nullptr || book->closed() || !book->claims(key.item).empty();
    });
}

/// What nodes say they are doing counts: a new steward learns its predecessor's leases so, and any
/// steward what a node has begun by its place, or of itself.
void planner::adopt(base::time_point now, const books& b, const std::vector<worker_slot>& slots) {
    for (const auto& slot : slots) {
        if (!slot.fit || !slot.doing) continue;
        const auto* book = b.find(slot.doing->round);
        if (book == nullptr || b.decided(*book, slot.doing->item) ||
            book->claim_of(slot.doing->item, slot.node) != nullptr) {
            continue;
        }
        std::erase_if(next_, [&](const auto& n) { return n.second == *slot.doing; });
        assigned_.emplace(slot.node, lease{*slot.doing, now});
    }
}

std::set<std::uint32_t> planner::taken_lanes(const books& b) const {
    const auto& open = *b.open;
    std::set<std::uint32_t> taken;
    for (const auto& [other, given] : assigned_) {
        if (given.key.round == open.round()) taken.insert(given.key.item);
    }
    for (const auto& [other, key] : next_) taken.insert(key.item);
    // Who parked a lane may be back before it is needed.
    for (const auto& key : parked_) {
        if (key.round == open.round()) taken.insert(key.item);
    }
    return taken;
}

const std::set<std::uint32_t>& planner::unclaimed_here(const books& b) {
    const auto& open = *b.open;
    if (!b.elsewhere) return open.unclaimed();
    if (!here_) {
        here_.emplace();
        for (const auto item : open.unclaimed()) {
            if (!b.elsewhere({open.round(), item})) here_->insert(here_->end(), item);
        }
    }
    return *here_;
}

/// Those of `items` that a node has in hand.
std::set<std::uint32_t> planner::running(const std::set<std::uint32_t>& items,
                                         std::uint64_t round) const {
    std::set<std::uint32_t> out;
    for (const auto& [node, given] : assigned_) {
        if (given.key.round == round && items.contains(given.key.item)) out.insert(given.key.item);
    }
    return out;
}

std::optional<item_key> planner::pick_lane(base::time_point now, const books& b,
                                           const base::node_id& node,
                                           const std::set<std::uint32_t>& taken) {
    const auto& open = *b.open;
    const auto record = records_.find(node);
    const bool shunned = record != records_.end() && record->second.left && out(now, node) &&
                         record->second.left->round == open.round();
    auto others = shunned ? taken : std::set<std::uint32_t>{};
    if (shunned) others.insert(record->second.left->item);
    const auto& barred = shunned ? others : taken;
    const auto lane = b.column ? lane_for(place_of(node), *b.column, unclaimed_here(b), barred,
                                          shape_.lanes, true)
                               : lane_for(place_of(node), open.unclaimed(), barred, shape_.lanes);
    if (!lane) return std::nullopt;
    return item_key{open.round(), *lane};
}

/// A lane that nobody has begun, from the node that would come to it last.
std::optional<item_key> planner::steal(const round_book& open) {
    auto from = next_.end();
    for (auto it = next_.begin(); it != next_.end(); ++it) {
        if (it->second.round != open.round()) continue;
        const auto time = [&](const auto& n) {
            const auto record = records_.find(n->first);
            return record == records_.end() ? base::duration{} : record->second.lane_time;
        };
        if (from == next_.end() || time(it) > time(from)) from = it;
    }
    if (from == next_.end()) return std::nullopt;
    const auto key = from->second;
    next_.erase(from);
    return key;
}

/// When the first of those who compute a lane will have it, by their last lanes. Who has computed
/// none yet is expected to need as long again as it has taken so far.
base::time_point planner::expected(base::time_point now, item_key key) const {
    auto soonest = base::time_point::max();
    for (const auto& [node, given] : assigned_) {
        if (given.key != key) continue;
        const auto record = records_.find(node);
        const auto time = record == records_.end() ? base::duration{} : record->second.lane_time;
        const auto end =
            time > base::duration{} ? std::max(now, given.since + time) : now + (now - given.since);
        soonest = std::min(soonest, end);
    }
    return soonest;
}

/// Of the lanes that others compute, the last that this node would have before any of them: a round
/// ends with its last lane, and that may be in the hands of the slowest, twice.
std::optional<item_key> planner::hasten(base::time_point now, const round_book& open,
                                        const base::node_id& node) const {
    const auto record = records_.find(node);
    if (record == records_.end() || record->second.lane_time == base::duration{}) {
        return std::nullopt;
    }
    std::optional<item_key> best;
    // A quarter more than its last took: a copy that comes second is for nothing (guess).
    auto latest = now + record->second.lane_time * 5 / 4;
    for (const auto lane : running(open.unclaimed(), open.round())) {
        const item_key key{open.round(), lane};
        if (lane >= shape_.lanes) continue;
        if (out(now, node) && record->second.left == key) continue;
        if (const auto end = expected(now, key); end > latest) {
            latest = end;
            best = key;
        }
    }
    return best;
}

std::optional<item_key> planner::pick(base::time_point now, const books& b,
                                      const base::node_id& node) {
    const auto record = records_.find(node);
    const auto not_begun = [&](item_key key) {
        return record != records_.end() && record->second.left && out(now, node) &&
               key == *record->second.left;
    };
    const auto first = [&](const round_book& book, const std::set<std::uint32_t>& items,
                           auto&& wanted) -> std::optional<item_key> {
        for (const std::uint32_t item : items) {
            // Merges are checked beside the items, without an order (`crew::core::drive_audit`).
            if (item == shape_.merge_item()) continue;
            const item_key key{book.round(), item};
            if (not_begun(key) || book.claim_of(item, node) != nullptr || !wanted(key)) continue;
            if (b.elsewhere && !b.lost.contains(item) && b.elsewhere(key)) continue;
            const bool checks = book.closed() && !book.claims(item).empty();
            if (!checks || !b.may_check || b.may_check(node, key)) return key;
        }
        return std::nullopt;
    };
    const auto idle = [&](item_key key) { return copies(key) == 0 && !parked_.contains(key); };
    const auto parked = [&](item_key key) { return copies(key) == 0; };
    const auto late = [&](item_key key) { return copies(key) == 1 && overdue(now, key); };
    const auto doubled = [&](item_key key) { return copies(key) == 1; };
    // A check is not broken off for the next round's lanes: two at once only if all wait for it.
    const auto late_check = [&](item_key key) { return b.awaited ? doubled(key) : late(key); };
    if (b.open != nullptr) {
        const auto& open = *b.open;
        // Every node judges a dispute for itself; a divergence needs one more witness.
        const auto any = [](item_key) { return true; };
        const auto single = [&](item_key key) { return !open.decided(key.item) && parked(key); };
        if (auto key = first(open, open.disputed(), any)) return key;
        if (auto key = first(open, open.diverged(), single)) return key;
        // The round waits for these; once for all, however many miss them.
        if (auto key = first(open, b.lost, idle)) return key;
        if (auto key = first(open, b.lost, late)) return key;
        if (auto key = pick_lane(now, b, node, taken_lanes(b))) return key;
        if (auto key = steal(open)) return key;
        if (auto key = first(open, unclaimed_here(b), idle)) return key;
        if (auto key = first(open, unclaimed_here(b), parked)) return key;
        if (auto key = first(open, running(open.unclaimed(), open.round()), late)) return key;
    }
    const auto check = [&](const round_book& book) {
        for (const auto* items : {&book.undecided(), &book.unclaimed()}) {
            if (items == &book.unclaimed() && !book.closed()) break;
            if (auto key = first(book, *items, idle)) return key;
            if (auto key = first(book, *items, parked)) return key;
        }
        return std::optional<item_key>();
    };
    for (const auto* book : b.closed) {
        if (auto key = check(*book)) return key;
    }
    if (b.open != nullptr) {
        if (auto key = check(*b.open)) return key;
        if (auto key = hasten(now, *b.open, node)) return key;
        const auto begun = running(b.open->unclaimed(), b.open->round());
        if (auto key = first(*b.open, begun, doubled)) return key;
    }
    for (const auto* book : b.closed) {
        if (auto key = first(*book, book->unclaimed(), doubled)) return key;
        if (auto key = first(*book, book->undecided(), late_check)) return key;
    }
    return std::nullopt;
}

/// Lanes to go on with, for those first who will be free first.
void planner::lease_next(base::time_point now, const books& b,
                         const std::vector<worker_slot>& slots) {
    std::vector<std::pair<base::duration, const worker_slot*>> order;
    std::size_t fit = 0, newcomer_slots = 0, newcomers = 0;
    for (const auto& slot : slots) {
        const auto given = assigned_.find(slot.node);
        if (!slot.fit) continue;
        ++fit;
        newcomer_slots += slot.newcomer;
        newcomers += slot.newcomer && given != assigned_.end();
        newcomers += slot.newcomer && next_.contains(slot.node);
        if (given == assigned_.end() || next_.contains(slot.node) || out(now, slot.node)) continue;
        const auto record = records_.find(slot.node);
        const auto time = record == records_.end() ? typical_lane() : record->second.lane_time;
        order.emplace_back(given->second.since.time_since_epoch() + time, &slot);
    }
    std::stable_sort(order.begin(), order.end(),
                     [](const auto& x, const auto& y) { return x.first < y.first; });
    auto taken = taken_lanes(b);
    for (const auto& [free_at, slot] : order) {
        // Of two leases a node; where all are newcomers nobody is kept waiting for it.
        if (slot->newcomer && newcomers >= fit && newcomer_slots < fit) continue;
        const auto key = pick_lane(now, b, slot->node, taken);
        if (!key) continue;
        taken.insert(key->item);
        next_.emplace(slot->node, *key);
        newcomers += slot->newcomer;
    }
}

void planner::plan(base::time_point now, const books& b, const std::vector<worker_slot>& slots) {
    crew_.clear();
    parked_.clear();
    here_.reset();
    for (const auto& slot : slots) {
        if (slot.able) crew_.push_back(slot.node);
        if (!slot.able && slot.doing) parked_.insert(*slot.doing);
    }
    std::sort(crew_.begin(), crew_.end());
    release(now, b, slots);
    adopt(now, b, slots);
    // Who did not deliver is served last.
    for (const bool last : {false, true}) {
        for (const auto& slot : slots) {
            if (!slot.fit || slot.busy || assigned_.contains(slot.node)) continue;
            if (out(now, slot.node) != last) continue;
            if (const auto it = next_.find(slot.node); it != next_.end()) {
                assigned_.emplace(slot.node, lease{it->second, now});
                next_.erase(it);
                continue;
            }
            if (const auto key = pick(now, b, slot.node)) {
                assigned_.emplace(slot.node, lease{*key, now});
            }
        }
    }
    if (b.open != nullptr) lease_next(now, b, slots);
}

std::vector<std::pair<base::node_id, item_key>> planner::assignments() const {
    std::vector<std::pair<base::node_id, item_key>> out;
    for (const auto& [node, a] : assigned_) out.emplace_back(node, a.key);
    return out;
}

std::vector<std::pair<base::node_id, item_key>> planner::next_assignments() const {
    return {next_.begin(), next_.end()};
}

std::optional<item_key> planner::of(const base::node_id& node) const {
    const auto it = assigned_.find(node);
    if (it == assigned_.end()) return std::nullopt;
    return it->second.key;
}

std::optional<item_key> planner::next_of(const base::node_id& node) const {
    const auto it = next_.find(node);
    if (it == next_.end()) return std::nullopt;
    return it->second;
}

crew_place planner::place_of(const base::node_id& node) const {
    const auto it = std::lower_bound(crew_.begin(), crew_.end(), node);
    if (it == crew_.end() || *it != node) return {};
    return {static_cast<std::uint32_t>(it - crew_.begin()),
            static_cast<std::uint32_t>(crew_.size())};
}

}  // namespace tequio::training::crew_protocol
