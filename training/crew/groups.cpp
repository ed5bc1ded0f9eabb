#include "training/crew/groups.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::training::crew_protocol {

std::uint32_t group_map::of(const base::node_id& node) const {
    // Keys are spread evenly as they are. The task is mixed in so that who is in one group of one
    // task is not always in one group.
    const auto bits = static_cast<std::uint32_t>((node.bytes[0] ^ task_.bytes[0]) << 8 |
                                                 (node.bytes[1] ^ task_.bytes[1]));
    return bits >> (16 - depth_);
}

contribution_run group_map::column(std::uint32_t g, std::uint32_t lanes) const {
    const auto border = [&](std::uint64_t at) { return lanes * at >> depth_; };
    const auto first = border(g);
    return {first, border(std::uint64_t{g} + 1) - first};
}

std::uint32_t group_map::column_of(std::uint32_t lane, std::uint32_t lanes) const {
    // The last whose first lane is not beyond it: (lane + 1) 2^depth / lanes, rounded up, less one.
    const auto scaled = (std::uint64_t{lane} + 1) << depth_;
    return static_cast<std::uint32_t>((scaled + lanes - 1) / lanes - 1);
}

std::uint32_t group_map::served_by(std::uint32_t g, std::uint64_t live) const {
    for (std::uint32_t i = 0; i < count(); ++i) {
        const auto next = (g + i) & (count() - 1);
        if (live >> next & 1) return next;
    }
    return own();
}

std::uint32_t depth_max(std::uint64_t nodes, std::uint64_t group) {
    std::uint32_t depth = 0;
    while (depth < group_depth_max && (group << depth) <= nodes) ++depth;
    return nodes > group ? depth : 0;
}

void sums_book::open(std::uint64_t round) {
    round_ = round;
    sums_.clear();
    own_.clear();
    by_lanes_.clear();
    distrusted_.clear();
    ++changes_;
}

bool sums_book::add(known_sums s) {
    if (s.said.round != round_) return false;
    std::size_t alike = 0;
    auto& same_lanes = by_lanes_[s.said.which.lanes.first];
    for (const auto i : same_lanes) {
        const auto& k = sums_[i];
        if (k.said.which.lanes != s.said.which.lanes) continue;
        ++alike;
        if (k.said.node != s.said.node || k.said.which.units != s.said.which.units) continue;
        // Of other contributions, after a dispute, it is another fact.
        if (k.said.inputs == s.said.inputs) return false;
    }
    if (alike >= per_lanes_max && s.said.node != self_) return false;
    same_lanes.push_back(sums_.size());
    if (s.said.node == self_) own_.push_back(sums_.size());
    sums_.push_back(std::move(s));
    ++changes_;
    return true;
}

bool sums_book::knows(const lane_sums& said, const signed_fact& fact) const {
    const auto same_lanes = by_lanes_.find(said.which.lanes.first);
    return same_lanes != by_lanes_.end() &&
           std::ranges::any_of(same_lanes->second, [&](std::size_t i) {
               return sums_[i].said.node == said.node && sums_[i].fact == fact;
           });
}

const known_sums* sums_book::find(contribution_run lanes, contribution_run shard,
                                  const base::digest& inputs) const {
    const known_sums* best = nullptr;
    const auto same_lanes = by_lanes_.find(lanes.first);
    if (same_lanes == by_lanes_.end()) return nullptr;
    for (const auto i : same_lanes->second) {
        const auto& k = sums_[i];
        const auto& units = k.said.which.units;
        if (k.said.which.lanes != lanes || k.said.inputs != inputs || units.first > shard.first ||
            units.end() < shard.end() || distrusted_.contains({k.said.node, k.said.blob})) {
            continue;
        }
        if (k.said.node == self_) return &k;
        if (best == nullptr) best = &k;
    }
    return best;
}

const known_sums* sums_book::own(const partial_sums& which) const {
    // The latest: after a dispute there may be two.
    const auto it = std::find_if(own_.rbegin(), own_.rend(),
                                 [&](std::size_t i) { return sums_[i].said.which == which; });
    return it == own_.rend() ? nullptr : &sums_[*it];
}

void sums_book::check() const {
    for (const auto& k : sums_) {
        base::ensure(k.said.round == round_ && k.said.which.lanes.end() <= shape_.lanes &&
                         k.said.which.units.end() <= shape_.mean_units,
                     "sums of the open round");
    }
}

std::vector<contribution_run> group_shards(std::uint64_t mean_units) {
    const std::vector<std::uint64_t> alike(std::min(mean_units, group_shards_max), 1);
    return cut_units(mean_units, alike);
}

std::vector<shard> cut_rows(const std::vector<contribution_run>& shards,
                            const std::vector<shard_candidate>& candidates) {
    auto ordered = candidates;
    std::sort(ordered.begin(), ordered.end(),
              [](const auto& a, const auto& b) { return a.node < b.node; });
    std::vector<std::optional<std::uint64_t>> rates;
    for (const auto& c : ordered) rates.push_back(c.rate);
    const auto runs = cut_units(shards.size(), capped_weights(rates));
    std::vector<shard> out;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        if (runs[i].count == 0) continue;
        const auto first = shards[runs[i].first].first;
        out.push_back({{first, shards[runs[i].end() - 1].end() - first}, ordered[i].node});
    }
    return out;
}

std::pair<std::size_t, std::size_t> shards_of(const shard& row,
                                              const std::vector<contribution_run>& shards) {
    const auto at = [&](std::uint64_t unit) {
        const auto it = std::lower_bound(
            shards.begin(), shards.end(), unit,
            [](const contribution_run& s, std::uint64_t u) { return s.first < u; });
        return static_cast<std::size_t>(it - shards.begin());
    };
    return {at(row.units.first), at(row.units.end())};
}

bool rows_fit(const std::vector<shard>& rows, const std::vector<contribution_run>& shards) {
    std::uint64_t next = 0;
    std::size_t s = 0;
    for (const auto& row : rows) {
        if (row.units.first != next || row.units.count == 0) return false;
        next = row.units.end();
        while (s < shards.size() && shards[s].end() < next) ++s;
        if (s == shards.size() || shards[s].end() != next) return false;
    }
    return !rows.empty() && next == shards.back().end();
}

}  // namespace tequio::training::crew_protocol
