#include "training/crew/blob_desk.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {

const blob_desk::entry* blob_desk::find(const base::blob_ref& ref,
                                        const base::piece_run& pieces) const {
    const auto it = blobs_.find(ref);
    if (it == blobs_.end()) return nullptr;
    for (const auto& [run, e] : it->second) {
        if (run == pieces) return &e;
    }
    return nullptr;
}

blob_desk::entry* blob_desk::find(const base::blob_ref& ref, const base::piece_run& pieces) {
    return const_cast<entry*>(std::as_const(*this).find(ref, pieces));
}

blob_desk::entry& blob_desk::at(const base::blob_ref& ref, const base::piece_run& pieces) {
    if (auto* e = find(ref, pieces)) return *e;
    return blobs_[ref].emplace_back(pieces, entry{}).second;
}

bool blob_desk::want(base::time_point now, const wish& w, std::vector<crew_effect>& out) {
    if (here(w.ref, w.pieces)) return true;
    const auto* known = find(w.ref, w.pieces);
    // Other holders are another chance: what failed with the old ones is forgotten.
    const bool others = known != nullptr && known->holders != w.holders;
    if (known != nullptr &&
        ((now < known->next && (known->asked || !others)) || (known->asked && !others))) {
        return false;
    }
    if (known == nullptr || !known->asked) {
        if (!has_room()) return false;
        ++in_flight_;
    }
    auto& e = at(w.ref, w.pieces);
    e.asked = true;
    e.deliver = w.deliver;
    e.round = w.round;
    if (others) e.failures = 0;
    e.holders = w.holders;
    e.next = now + timings_.fetch_retry;
    out.push_back(fetch_blob{w.ref, w.holders, w.deliver, w.pieces});
    return false;
}

bool blob_desk::here(const base::blob_ref& ref, const base::piece_run& pieces) const {
    const auto* e = find(ref, pieces);
    if (e != nullptr && e->is_here) return true;
    return !pieces.whole() && here(ref);
}

blob_desk::standing blob_desk::look(const base::blob_ref& ref,
                                    const base::piece_run& pieces) const {
    standing s;
    if (const auto* e = find(ref, pieces)) s = {e->is_here, e->asked, e->failures, e->next};
    s.here = s.here || (!pieces.whole() && here(ref));
    return s;
}

bool blob_desk::asked(const base::blob_ref& ref, const base::piece_run& pieces) const {
    const auto* e = find(ref, pieces);
    return e != nullptr && e->asked;
}

unsigned blob_desk::failures(const base::blob_ref& ref, const base::piece_run& pieces) const {
    const auto* e = find(ref, pieces);
    return e == nullptr ? 0 : e->failures;
}

void blob_desk::settle(entry& e, const base::blob_ref& ref, const base::piece_run& pieces) {
    ++changes_;
    if (pieces.whole()) {
        whole_changed_ = changes_;
        recent_.note(changes_, ref);
    } else {
        run_changed_[pieces] = changes_;
    }
    if (e.asked) --in_flight_;
    e.asked = false;
}

std::uint64_t blob_desk::changes(const base::piece_run& pieces) const {
    const auto it = run_changed_.find(pieces);
    return std::max(whole_changed_, it == run_changed_.end() ? 0 : it->second);
}

void blob_desk::arrived(const base::blob_ref& ref, const base::piece_run& pieces) {
    auto* e = find(ref, pieces);
    if (e == nullptr) return;
    settle(*e, ref, pieces);
    if (e->deliver) {
        auto& list = blobs_.at(ref);
        std::erase_if(list, [&](const auto& r) { return r.first == pieces; });
        if (list.empty()) blobs_.erase(ref);
        return;
    }
    e->is_here = true;
    e->failures = 0;
}

void blob_desk::failed(base::time_point now, const base::blob_ref& ref,
                       const base::piece_run& pieces) {
    auto* e = find(ref, pieces);
    if (e == nullptr || !e->asked) return;
    settle(*e, ref, pieces);
    ++e->failures;
    e->next = now + timings_.fetch_retry * std::min(e->failures, 30u);
}

void blob_desk::made(const base::blob_ref& ref, std::uint64_t round) {
    auto& e = at(ref, {});
    settle(e, ref, {});
    e.is_here = true;
    e.failures = 0;
    e.round = round;
}

void blob_desk::drop(const base::blob_ref& ref, std::vector<crew_effect>& out) {
    const auto* whole = find(ref, {});
    if (whole != nullptr && whole->kept) return;
    if (const auto it = blobs_.find(ref); it != blobs_.end()) {
        for (auto& [run, e] : it->second) settle(e, ref, run);
        blobs_.erase(it);
    }
    out.push_back(drop_blob{ref});
}

void blob_desk::drop_before(std::uint64_t round, std::vector<crew_effect>& out) {
    std::set<base::blob_ref> dropped;
    for (auto it = blobs_.begin(); it != blobs_.end();) {
        auto& [ref, list] = *it;
        const auto* whole = find(ref, {});
        const bool kept = whole != nullptr && whole->kept;
        const auto old = [&](const auto& r) { return !r.second.kept && r.second.round < round; };
        if (!kept && std::any_of(list.begin(), list.end(), old)) {
            dropped.insert(ref);
            for (auto& r : list) {
                if (old(r)) settle(r.second, ref, r.first);
            }
            std::erase_if(list, old);
        }
        it = list.empty() ? blobs_.erase(it) : std::next(it);
    }
    for (const auto& ref : dropped) out.push_back(drop_blob{ref});
    // Runs are of rounds' plans, which come and go.
    if (!dropped.empty()) {
        run_changed_.clear();
        whole_changed_ = ++changes_;
    }
}

void blob_desk::keep(const base::blob_ref& ref) {
    at(ref, {}).kept = true;
}

void blob_desk::check() const {
    std::size_t asked = 0;
    for (const auto& [ref, list] : blobs_) {
        base::ensure(!list.empty(), "a blob that somebody asked for");
        for (const auto& [run, e] : list) asked += e.asked;
    }
    base::ensure(asked == in_flight_, "fetches in flight");
    base::ensure(in_flight_ <= in_flight_max, "bounded fetches");
}

}  // namespace tequio::training::crew_protocol
