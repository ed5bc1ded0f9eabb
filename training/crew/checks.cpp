#include "training/crew/checks.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {
namespace {

enum class part { none, worker, checker };

/// This node's part towards the node of `other`, the same on both sides.
part part_of(const claim& own, const claim& other) {
    if (own.of == other.node) return part::checker;
    if (other.of == own.node) return part::worker;
    if (!own.of.is_zero() || !other.of.is_zero()) return part::none;
    return own.node < other.node ? part::worker : part::checker;
}

check_recorded record_of(const claim& worker, const claim& checker) {
    auto r = record_of(worker);
    r.checker = checker.node;
    r.checker_result = checker.result;
    r.checker_commitment = checker.commitment;
    r.checkers = team_of(checker);
    return r;
}

/// It had a slice of what another node claims.
bool has_part(const base::node_id& node, const claim& c) {
    return std::any_of(c.team.members.begin(), c.team.members.end(),
                       [&](const team_member& m) { return m.node == node; });
}

}  // namespace

check_recorded record_of(const claim& worker) {
    check_recorded r;
    r.round = base::round_index{worker.key.round};
    r.lane = base::lane_index{worker.key.item};
    r.worker = worker.node;
    r.state = worker.state;
    r.result = worker.result;
    r.commitment = worker.commitment;
    r.workers = team_of(worker);
    return r;
}

void check_desk::own_trace(item_key key, const base::digest& trace) {
    traces_[key] = trace;
}

void check_desk::pair_up(base::time_point now, const round_book& book, std::uint32_t lane,
                         std::vector<crew_effect>& out) {
    if (lane >= shape_.lanes) return;
    look_on(book, lane, out);
    const auto* own = book.claim_of(lane, self_);
    const item_key key{book.round(), lane};
    if (own == nullptr || !traces_.contains(key)) return;
    for (const auto& k : book.claims(lane)) {
        if (k.said.node == self_ || pairs_.contains({key, k.said.node})) continue;
        const auto role = part_of(own->said, k.said);
        if (role == part::none) continue;
        if (role == part::checker) {
            // A node is a lane's checker once.
            const bool taken = std::any_of(pairs_.begin(), pairs_.end(), [&](const auto& p) {
                return p.first.first == key && !p.second.worker;
            });
            if (taken) continue;
        }
        const bool is_worker = role == part::worker;
        const claim& worker = is_worker ? own->said : k.said;
        const claim& checker = is_worker ? k.said : own->said;
        auto& p = pairs_[{key, k.said.node}];
        p.worker = is_worker;
        p.since = now;
        p.record = record_of(worker, checker);
        if (is_worker) p.record.trace = traces_[key];
        if (worker.result != checker.result) finish(p, check_verdict::refuted, out);
    }
}

/// What the first members of teams record between them, as the others can know it.
void check_desk::look_on(const round_book& book, std::uint32_t lane,
                         std::vector<crew_effect>& out) {
    for (const auto& w : book.claims(lane)) {
        for (const auto& c : book.claims(lane)) {
            const bool involved = has_part(self_, w.said) || has_part(self_, c.said);
            const bool own = w.said.node == self_ || c.said.node == self_;
            if (!involved || own || part_of(w.said, c.said) != part::worker ||
                !looked_on_.insert({w.said.key, {w.said.node, c.said.node}}).second) {
                continue;
            }
            auto record = record_of(w.said, c.said);
            const bool alike = w.said.result == c.said.result;
            record.verdict = alike ? check_verdict::matched : check_verdict::refuted;
            out.push_back(std::move(record));
        }
    }
}

bool check_desk::may_show(const round_book& book, item_key key, const base::node_id& to) const {
    const auto* own = book.claim_of(key.item, self_);
    const auto* other = book.claim_of(key.item, to);
    return own != nullptr && other != nullptr && traces_.contains(key) &&
           own->said.result == other->said.result;
}

bool check_desk::heard(const round_book* book, const opening& o, std::vector<crew_effect>& out) {
    if (book == nullptr || !may_show(*book, o.key, o.node)) return false;
    const auto* other = book->claim_of(o.key.item, o.node);
    if (commitment_of(other->said.result, o.trace, o.node) != other->said.commitment) return false;
    const auto it = pairs_.find({o.key, o.node});
    const auto* own = book->claim_of(o.key.item, self_);
    const bool answer = part_of(own->said, other->said) != part::worker;
    if (it == pairs_.end() || it->second.done) return answer;
    auto& p = it->second;
    if (!p.worker) p.record.trace = o.trace;
    finish(p, o.trace == traces_[o.key] ? check_verdict::matched : check_verdict::refuted, out);
    return answer;
}

std::vector<check_desk::saying> check_desk::beat(base::time_point now,
                                                 std::vector<crew_effect>& out) {
    std::vector<saying> sayings;
    for (auto& [at, p] : pairs_) {
        if (p.done) continue;
        if (now - p.since > timings_.opening_timeout) {
            finish(p, check_verdict::unanswered, out);
            continue;
        }
        if (p.said && now - *p.said < std::chrono::seconds(1)) continue;
        // The checker waits a little: the worker shows its trace as soon as it hears the claim.
        if (!p.worker && now - p.since < timings_.beat) continue;
        p.said = now;
        sayings.push_back({at.second, at.first, p.worker});
    }
    return sayings;
}

void check_desk::finish(pair& p, check_verdict verdict, std::vector<crew_effect>& out) {
    p.done = true;
    p.record.verdict = verdict;
    out.push_back(p.record);
}

bool check_desk::waiting(base::time_point now, const roster& members) const {
    return std::any_of(pairs_.begin(), pairs_.end(), [&](const auto& p) {
        return !p.second.done && members.present(now, p.first.second);
    });
}

bool check_desk::has_checker(item_key key) const {
    const auto it = pairs_.lower_bound({key, base::node_id{}});
    return it != pairs_.end() && it->first.first == key;
}

std::optional<base::digest> check_desk::trace(item_key key) const {
    const auto it = traces_.find(key);
    if (it == traces_.end()) return std::nullopt;
    return it->second;
}

void check_desk::forget_before(std::uint64_t round) {
    traces_.erase(traces_.begin(), traces_.lower_bound(item_key{round, 0}));
    pairs_.erase(pairs_.begin(), pairs_.lower_bound({item_key{round, 0}, base::node_id{}}));
    looked_on_.erase(looked_on_.begin(), looked_on_.lower_bound({item_key{round, 0}, {}}));
}

void check_desk::check() const {
    for (const auto& [at, p] : pairs_) {
        base::ensure(traces_.contains(at.first), "a pair has an own claim behind it");
        base::ensure(at.second != self_, "nobody checks itself");
    }
}

}  // namespace tequio::training::crew_protocol
