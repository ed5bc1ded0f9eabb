#include "training/crew/catch_up.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {

base::digest catch_up::state_at(std::uint64_t round) const {
    base::ensure(round <= length() && state_, "a state that the chronicle reaches");
    return round == length() ? *state_ : entries_[round].state_before;
}

bool catch_up::set_initial(const base::digest& state) {
    if (!entries_.empty()) return entries_.front().state_before == state;
    state_ = state;
    return true;
}

base::result<void> catch_up::fits_shape(std::uint64_t round, const chronicle_entry& entry) const {
    const bool closing = round == shape_.rounds;
    if (entry.round.value != round) return fail(errc::bad_chronicle, "an entry of another round");
    if (entry.contributions.size() != (closing ? 0 : shape_.lanes)) {
        return fail(errc::bad_chronicle, "an entry with the wrong number of lanes");
    }
    if (entry.validation_loss.has_value() != shape_.validation) {
        return fail(errc::bad_chronicle, "an entry's validation does not follow the recipe");
    }
    if (!closing && entry.mean.size != shape_.mean_bytes) {
        return fail(errc::bad_chronicle, "an entry's mean has the wrong size");
    }
    return {};
}

base::result<void> catch_up::fits(const chronicle_entry& entry) const {
    TEQUIO_CHECK(fits_shape(length(), entry));
    if (state_ && entry.state_before != *state_) {
        return fail(errc::bad_chronicle, "an entry that starts from another state");
    }
    return chronicle_entry_follows(entries_.empty() ? nullptr : &entries_.back(), entry);
}

std::pair<base::byte_vector, base::blob_ref> catch_up::append(const chronicle_entry& entry) {
    base::ensure(fits(entry).has_value(), "the chronicle grows by entries that fit");
    const std::string text = chronicle_entry_text(entry);
    const auto view = base::as_bytes(text);
    const auto ref = base::blob_ref_of(view);
    entries_.push_back(entry);
    refs_.push_back(ref);
    state_ = entry.state_after;
    candidates_.erase(candidates_.begin(), candidates_.lower_bound(length()));
    return {base::byte_vector(view.begin(), view.end()), ref};
}

bool catch_up::is_rejected(const base::blob_ref& ref) const {
    return std::find(rejected_.begin(), rejected_.end(), ref) != rejected_.end();
}

void catch_up::offer(std::uint64_t round, const base::blob_ref& ref, const base::node_id& from) {
    if (round < length() || round >= horizon() || is_rejected(ref)) return;
    auto& list = candidates_[round];
    for (auto& c : list) {
        if (c.ref == ref) {
            if (c.from.size() < crew_members_max) c.from.insert(from);
            return;
        }
    }
    if (list.size() < candidates_max) list.push_back({ref, {from}, std::nullopt});
}

std::optional<std::uint64_t> catch_up::missing_from(std::uint64_t their_length) const {
    std::uint64_t round = length();
    const auto end = std::min(their_length, horizon());
    while (round < end && candidates_.contains(round)) ++round;
    if (round >= end) return std::nullopt;
    return round;
}

void catch_up::reach(std::uint64_t round) {
    reach_ = round;
    candidates_.erase(candidates_.lower_bound(horizon()), candidates_.end());
}

std::vector<const catch_up::candidate*> catch_up::way_to(
    std::uint64_t round, const std::set<base::node_id>& preferred) const {
    std::vector<const candidate*> out;
    const chronicle_entry* last = entries_.empty() ? nullptr : &entries_.back();
    const auto* state = state_ ? &*state_ : nullptr;
    const auto is_preferred = [&](const candidate& c) {
        return std::any_of(c.from.begin(), c.from.end(),
                           [&](const auto& node) { return preferred.contains(node); });
    };
    for (auto at = length(); at < round; ++at) {
        const auto it = candidates_.find(at);
        const candidate* found = nullptr;
        for (std::size_t i = 0; it != candidates_.end() && i < it->second.size(); ++i) {
            const auto& c = it->second[i];
            if (!c.entry || (state != nullptr && c.entry->state_before != *state) ||
                !chronicle_entry_follows(last, *c.entry)) {
                continue;
            }
            if (found == nullptr || (is_preferred(c) && !is_preferred(*found))) found = &c;
        }
        if (found == nullptr) break;
        out.push_back(found);
        last = &*found->entry;
        state = &last->state_after;
    }
    return out;
}

base::digest catch_up::history(std::uint64_t round,
                               const std::vector<const candidate*>& way) const {
    base::ensure(round <= length() + way.size(), "a history that is known");
    base::sha256_stream out;
    out.add("tequio/history/v1\n");
    for (std::uint64_t at = 0; at < round; ++at) {
        const auto& ref = at < length() ? refs_[at] : way[at - length()]->ref;
        out.add(base::byte_view(ref.root.bytes));
    }
    return out.finish();
}

void catch_up::step(base::time_point now, const roster& members, blob_desk& desk,
                    bool next_in_parts, bool abroad, std::vector<crew_effect>& out) {
    for (auto& [round, list] : candidates_) {
        for (auto& c : list) {
            const bool for_mean = c.entry.has_value();
            if (for_mean &&
                (c.entry->closes() || round < reach_ || (next_in_parts && round == length()))) {
                continue;
            }
            blob_desk::wish w{c.ref, {}, round, true};
            for (const auto& [node, m] : members.all()) {
                const bool has = c.from.contains(node) || m.said.chronicle > round;
                const bool had_mean = m.said.means_from <= round;
                if (has && (!for_mean || had_mean) && members.present(now, node)) {
                    w.holders.push_back(node);
                }
            }
            for (const auto& node : c.from) {
                if (abroad && members.foreign(node)) w.holders.push_back(node);
            }
            if (!for_mean) {
                // Without anyone to ask there is nothing to ask for.
                if (!w.holders.empty()) desk.want(now, w, out);
            } else {
                desk.want(now, {c.entry->mean, w.holders, round, false}, out);
            }
        }
    }
}

base::result<void> catch_up::arrived(const base::blob_ref& ref, base::byte_view text) {
    for (auto& [round, list] : candidates_) {
        for (auto& c : list) {
            if (c.ref != ref || c.entry) continue;
            auto entry = parse_chronicle_entry(base::as_text(text));
            base::result<void> verdict;
            if (base::blob_ref_of(text) != ref) {
                verdict = fail(errc::bad_chronicle, "an entry's bytes are not what they are named");
            } else if (!entry) {
                verdict = entry.error();
            } else {
                verdict = fits_shape(round, *entry);
            }
            if (!verdict) {
                reject(ref);
                return verdict;
            }
            c.entry = std::move(*entry);
            return {};
        }
    }
    return {};
}

const catch_up::candidate* catch_up::next() const {
    const auto it = candidates_.find(length());
    if (it == candidates_.end()) return nullptr;
    for (const auto& c : it->second) {
        if (c.entry && fits(*c.entry)) return &c;
    }
    return nullptr;
}

bool catch_up::expecting() const {
    return candidates_.contains(length());
}

std::set<base::node_id> catch_up::reject_misfits() {
    std::set<base::node_id> who;
    std::vector<base::blob_ref> misfits;
    const auto it = candidates_.find(length());
    if (it == candidates_.end() || !state_) return who;
    for (const auto& c : it->second) {
        if (!c.entry || fits(*c.entry)) continue;
        who.insert(c.from.begin(), c.from.end());
        misfits.push_back(c.ref);
    }
    for (const auto& ref : misfits) reject(ref);
    return who;
}

void catch_up::reject(const base::blob_ref& ref) {
    const base::blob_ref bad = ref;  // `ref` may lie in the list that is about to shrink
    rejected_.push_back(bad);
    if (rejected_.size() > rejected_max) rejected_.pop_front();
    for (auto it = candidates_.begin(); it != candidates_.end();) {
        std::erase_if(it->second, [&](const candidate& c) { return c.ref == bad; });
        it = it->second.empty() ? candidates_.erase(it) : std::next(it);
    }
}

void catch_up::check() const {
    base::ensure(refs_.size() == entries_.size(), "a name an entry");
    base::ensure(entries_.size() <= shape_.rounds + 1, "no entry after the closing one");
    if (!entries_.empty()) {
        base::ensure(state_ == entries_.back().state_after, "state after the last entry");
    }
    for (const auto& [round, list] : candidates_) {
        base::ensure(round >= length() && list.size() <= candidates_max, "bounded candidates");
    }
}

}  // namespace tequio::training::crew_protocol
