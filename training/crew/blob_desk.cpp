#include "training/crew/blob_desk.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {

const blob_desk::entry* blob_desk::find(const base::blob_ref& ref,
                                        const base::piece_run& pieces) const {
    const auto it = blobs_.find({ref, pieces});
    return it == blobs_.end() ? nullptr : &it->second;
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
    auto& e = blobs_[{w.ref, w.pieces}];
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

bool blob_desk::asked(const base::blob_ref& ref, const base::piece_run& pieces) const {
    const auto* e = find(ref, pieces);
    return e != nullptr && e->asked;
}

unsigned blob_desk::failures(const base::blob_ref& ref, const base::piece_run& pieces) const {
    const auto* e = find(ref, pieces);
    return e == nullptr ? 0 : e->failures;
}

void blob_desk::settle(entry& e) {
    if (e.asked) --in_flight_;
    e.asked = false;
}

void blob_desk::arrived(const base::blob_ref& ref, const base::piece_run& pieces) {
    const auto it = blobs_.find({ref, pieces});
    if (it == blobs_.end()) return;
    settle(it->second);
    if (it->second.deliver) {
        blobs_.erase(it);
        return;
    }
    it->second.is_here = true;
    it->second.failures = 0;
}

void blob_desk::failed(base::time_point now, const base::blob_ref& ref,
                       const base::piece_run& pieces) {
    const auto it = blobs_.find({ref, pieces});
    if (it == blobs_.end() || !it->second.asked) return;
    auto& e = it->second;
    settle(e);
    ++e.failures;
    e.next = now + timings_.fetch_retry * std::min(e.failures, 30u);
}

void blob_desk::made(const base::blob_ref& ref, std::uint64_t round) {
    auto& e = blobs_[{ref, {}}];
    settle(e);
    e.is_here = true;
    e.failures = 0;
    e.round = round;
}

void blob_desk::drop(const base::blob_ref& ref, std::vector<crew_effect>& out) {
    const auto* whole = find(ref, {});
    if (whole != nullptr && whole->kept) return;
    for (auto it = blobs_.lower_bound({ref, {}}); it != blobs_.end() && it->first.first == ref;) {
        settle(it->second);
        it = blobs_.erase(it);
    }
    out.push_back(drop_blob{ref});
}

void blob_desk::drop_before(std::uint64_t round, std::vector<crew_effect>& out) {
    for (auto it = blobs_.begin(); it != blobs_.end();) {
        auto& [where, e] = *it;
        const auto* whole = find(where.first, {});
        if (e.kept || e.round >= round || (whole != nullptr && whole->kept)) {
            ++it;
            continue;
        }
        settle(e);
        out.push_back(drop_blob{where.first});
        it = blobs_.erase(it);
    }
}

void blob_desk::keep(const base::blob_ref& ref) {
    blobs_[{ref, {}}].kept = true;
}

void blob_desk::check() const {
    const auto asked =
        std::count_if(blobs_.begin(), blobs_.end(), [](const auto& b) { return b.second.asked; });
    base::ensure(static_cast<std::size_t>(asked) == in_flight_, "fetches in flight");
    base::ensure(in_flight_ <= in_flight_max, "bounded fetches");
}

}  // namespace tequio::training::crew_protocol
