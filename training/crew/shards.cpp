#include "training/crew/shards.hpp"

#include <algorithm>
#include <tuple>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {
namespace {

constexpr std::uint64_t weight_of_median = 1024;
constexpr std::uint64_t rate_max = std::uint64_t{1} << 40;  // a terabyte a second

}  // namespace

std::vector<contribution_run> cut_units(std::uint64_t units,
                                        std::span<const std::uint64_t> weights) {
    std::uint64_t total = 0;
    for (const auto w : weights) total += w;
    base::ensure(total > 0 && units < (std::uint64_t{1} << 31), "there is something to share out");
    std::vector<contribution_run> out;
    std::uint64_t below = 0, first = 0;
    for (const auto w : weights) {
        below += w;
        // Rounded, in 128 bits: 31 of units and up to 48 of weights.
        const auto product = static_cast<unsigned __int128>(units) * below + total / 2;
        const auto end = static_cast<std::uint64_t>(product / total);
        out.push_back({first, end - first});
        first = end;
    }
    return out;
}

std::vector<std::uint64_t> capped_weights(std::span<const std::optional<std::uint64_t>> rates) {
    std::vector<std::uint64_t> known;
    for (const auto& r : rates) {
        if (r) known.push_back(std::clamp<std::uint64_t>(*r, 1, rate_max));
    }
    std::vector<std::uint64_t> out(rates.size(), weight_of_median);
    if (known.empty()) return out;
    std::sort(known.begin(), known.end());
    const auto median = known[known.size() / 2];
    for (std::size_t i = 0; i < rates.size(); ++i) {
        if (!rates[i]) continue;
        const auto rate = std::clamp<std::uint64_t>(*rates[i], 1, rate_max);
        out[i] = std::clamp(rate * weight_of_median / median, weight_of_median / 4,
                            weight_of_median * 4);
    }
    return out;
}

void shard_book::open(std::uint64_t round) {
    round_ = round;
    plan_changed();
    plan_.clear();
    parts_.clear();
    tried_.clear();
    reassigned_.clear();
}

void shard_book::plan_changed() {
    ++changes_;
    ++plans_;
    recent_.forget(changes_);
}

void shard_book::make(const std::vector<shard_candidate>& candidates) {
    auto ordered = candidates;
    std::sort(ordered.begin(), ordered.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    // Another one is first in each round: where units are few, not always the same get none.
    if (!ordered.empty()) {
        const auto turn = static_cast<std::ptrdiff_t>(round_ % ordered.size());
        std::rotate(ordered.begin(), ordered.begin() + turn, ordered.end());
    }
    std::vector<shard> plan;
    if (ordered.size() > 1 && shape_.mean_units > 1) {
        std::vector<std::optional<std::uint64_t>> rates;
        for (const auto& c : ordered) rates.push_back(c.rate);
        const auto runs = cut_units(shape_.mean_units, capped_weights(rates));
        for (std::size_t i = 0; i < runs.size(); ++i) {
            if (runs[i].count > 0) plan.push_back({runs[i], ordered[i].node});
        }
    }
    if (plan.size() < 2) plan.clear();
    if (plan != plan_) {
        const auto round = round_;
        open(round);
        plan_ = std::move(plan);
    }
}

bool shard_book::adopt(const std::vector<shard>& plan) {
    std::uint64_t next = 0;
    for (const auto& s : plan) {
        if (s.units.first != next) return false;
        next = s.units.end();
    }
    if (!plan.empty() && next != shape_.mean_units) return false;
    plan_ = plan;
    plan_changed();
    std::set<units_key> cut;
    for (const auto& s : plan_) cut.insert(key_of(s.units));
    std::erase_if(parts_, [&](const auto& p) { return !cut.contains(p.first); });
    return true;
}

void shard_book::reassign(base::time_point now, std::size_t index,
                          const std::vector<base::node_id>& candidates,
                          const std::vector<base::node_id>& preferred) {
    auto& s = plan_.at(index);
    auto& tried = tried_[key_of(s.units)];
    tried.insert(s.owner);
    const auto load = [&](const base::node_id& node) {
        return std::count_if(plan_.begin(), plan_.end(),
                             [&](const shard& other) { return other.owner == node; });
    };
    const base::node_id* best = nullptr;
    for (const auto& node : preferred) {
        const bool fits = node == self_ ||
                          std::find(candidates.begin(), candidates.end(), node) != candidates.end();
        if (best == nullptr && fits && !tried.contains(node)) best = &node;
    }
    const bool chosen = best != nullptr;
    for (const auto& node : candidates) {
        if (chosen || tried.contains(node)) continue;
        if (best == nullptr || std::tuple(load(node), node) < std::tuple(load(*best), *best)) {
            best = &node;
        }
    }
    s.owner = best == nullptr ? self_ : *best;
    reassigned_[key_of(s.units)] = now;
}

std::vector<base::node_id> shard_book::standbys(
    std::size_t index, std::size_t count,
    const std::function<bool(const base::node_id&)>& fits) const {
    std::vector<base::node_id> out;
    for (std::size_t i = 1; i < plan_.size() && out.size() < count; ++i) {
        const auto& node = plan_[(index + i) % plan_.size()].owner;
        const bool known = std::find(out.begin(), out.end(), node) != out.end();
        if (!known && node != plan_[index].owner && fits(node)) out.push_back(node);
    }
    return out;
}

void shard_book::give_back(std::size_t index, const sum_part& made) {
    auto& s = plan_.at(index);
    const auto it = tried_.find(key_of(s.units));
    if (it == tried_.end() || made.units != s.units) return;
    for (const auto& node : makers(made)) {
        if (node == s.owner) return;
    }
    for (const auto& node : makers(made)) {
        if (!it->second.contains(node)) continue;
        s.owner = node;
        return;
    }
}

std::optional<base::time_point> shard_book::reassigned(contribution_run units) const {
    const auto it = reassigned_.find(key_of(units));
    if (it == reassigned_.end()) return std::nullopt;
    return it->second;
}

std::size_t shard_book::owners_before(std::size_t index) const {
    const auto it = tried_.find(key_of(plan_.at(index).units));
    return it == tried_.end() ? 0 : it->second.size();
}

const std::vector<known_part>& shard_book::parts_of(contribution_run units) const {
    static const std::vector<known_part> none;
    const auto it = parts_.find(key_of(units));
    return it == parts_.end() ? none : it->second;
}

std::optional<std::size_t> shard_book::index_of(contribution_run units) const {
    const auto it =
        std::lower_bound(plan_.begin(), plan_.end(), units.first,
                         [](const shard& s, std::uint64_t unit) { return s.units.first < unit; });
    if (it == plan_.end() || it->units != units) return std::nullopt;
    return static_cast<std::size_t>(it - plan_.begin());
}

shard_book::added shard_book::add(known_part p) {
    const auto index = index_of(p.said.units);
    if (p.said.round != round_ || !index) return added::stale;
    auto& list = parts_[key_of(p.said.units)];
    for (const auto& k : list) {
        if (k.said.node != p.said.node || k.said.inputs != p.said.inputs) continue;
        return k.said == p.said ? added::known : added::contradiction;
    }
    if (list.size() >= parts_per_shard_max && p.said.node != self_) return added::stale;
    list.push_back(std::move(p));
    recent_.note(++changes_, *index);
    return added::fresh;
}

bool shard_book::knows(const sum_part& said, const signed_fact& fact) const {
    const auto& list = parts_of(said.units);
    return said.round == round_ && std::any_of(list.begin(), list.end(), [&](const known_part& k) {
               return k.said.node == said.node && k.fact == fact;
           });
}

const known_part* shard_book::own(contribution_run units, const base::digest& inputs) const {
    for (const auto& k : parts_of(units)) {
        if (k.said.node == self_ && k.said.inputs == inputs) return &k;
    }
    return nullptr;
}

bool shard_book::disputed(contribution_run units, const base::digest& inputs) const {
    const known_part* first = nullptr;
    for (const auto& k : parts_of(units)) {
        if (k.said.inputs != inputs) continue;
        if (first != nullptr && first->said.blob != k.said.blob) return true;
        first = &k;
    }
    return false;
}

const known_part* shard_book::resolved(contribution_run units, const base::digest& inputs) const {
    if (const auto* mine = own(units, inputs)) return mine;
    if (disputed(units, inputs)) return nullptr;
    for (const auto& k : parts_of(units)) {
        if (k.said.inputs == inputs) return &k;
    }
    return nullptr;
}

std::vector<base::node_id> shard_book::makers(const sum_part& p) const {
    std::vector<base::node_id> out;
    for (const auto& k : parts_of(p.units)) {
        if (k.said.blob == p.blob && k.said.node != self_) out.push_back(k.said.node);
    }
    return out;
}

std::vector<const known_part*> shard_book::all() const {
    std::vector<const known_part*> out;
    for (const auto& [units, list] : parts_) {
        for (const auto& k : list) out.push_back(&k);
    }
    return out;
}

std::vector<signed_fact> shard_book::own_facts() const {
    std::vector<signed_fact> out;
    for (const auto& [units, list] : parts_) {
        for (const auto& k : list) {
            if (k.said.node == self_ && out.size() < facts_max) out.push_back(k.fact);
        }
    }
    return out;
}

std::set<base::blob_ref> shard_book::blobs() const {
    std::set<base::blob_ref> out;
    for (const auto& [units, list] : parts_) {
        for (const auto& k : list) out.insert(k.said.blob);
    }
    return out;
}

void shard_book::measured(const base::node_id& node, std::uint64_t bytes, base::duration took) {
    const auto seconds = std::max(std::chrono::duration<double>(took).count(), 1e-3);
    const auto sample = static_cast<double>(bytes) / seconds;
    const auto it = rates_.find(node);
    if (it == rates_.end() && rates_.size() >= rates_max) return;
    const auto before = it == rates_.end() ? sample : static_cast<double>(it->second);
    rates_[node] = static_cast<std::uint64_t>(
        std::clamp(before + (sample - before) / 4, 1.0, static_cast<double>(rate_max)));
}

std::optional<std::uint64_t> shard_book::rate_of(const base::node_id& node) const {
    const auto it = rates_.find(node);
    if (it == rates_.end()) return std::nullopt;
    return it->second;
}

void shard_book::check() const {
    std::uint64_t next = 0;
    for (const auto& s : plan_) {
        base::ensure(s.units.first == next && s.units.count > 0, "shards follow one another");
        next = s.units.end();
    }
    base::ensure(plan_.empty() || next == shape_.mean_units, "shards cover every unit");
    for (const auto& [units, list] : parts_) {
        base::ensure(list.size() <= parts_per_shard_max + 1, "bounded parts");
    }
}

}  // namespace tequio::training::crew_protocol
