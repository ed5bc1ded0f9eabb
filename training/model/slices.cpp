#include "training/slices.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/contribution.hpp"
#include "training/errc.hpp"
#include "training/model/family.hpp"
#include "training/model/stage.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

network_part part_of(const recipe& r, slice_range slice) {
    return {slice.first, slice.end, r.slices};
}

/// The finest division.
std::vector<slice_range> all_slices(const recipe& r) {
    std::vector<slice_range> out;
    std::uint64_t first = 0;
    for (const auto cut : r.slices.cuts) {
        out.push_back({first, cut});
        first = cut;
    }
    out.push_back({first, r.model.layers});
    return out;
}

/// `slice_token_flops` of a part that has so many parameters.
std::uint64_t flops_of(const recipe& r, slice_range slice, std::uint64_t parameters) {
    const auto& m = r.model;
    const auto part = part_of(r, slice);
    auto multiplied = parameters;
    // Looked up, not multiplied by; a tied table is the head's.
    if (part.has_embedding() && m.family == "gpt2") multiplied -= m.context * m.width;
    if (part.has_embedding() && m.family == "llama" && !m.tied)
        multiplied -= m.vocabulary * m.width;
    return 6 * multiplied + 12 * part.layers() * m.context * m.width;
}

/// The same of each of several slices that make up the model. Cost: one list of its tensors.
std::vector<std::uint64_t> flops_of_all(const recipe& r, const std::vector<slice_range>& slices) {
    const auto layout = layout_of(r.model);
    if (slices.size() == 1) return {flops_of(r, slices.front(), layout.parameters)};
    std::vector<std::uint64_t> parameters(slices.size());
    for (const auto& t : layout.tensors) {
        const auto layer = family_of(r.model).layer_of(r.model, t.name);
        const auto it = std::upper_bound(slices.begin(), slices.end(), layer,
                                         [](auto l, const auto& s) { return l < s.end; });
        parameters[static_cast<std::size_t>(it - slices.begin())] += t.size;
    }
    std::vector<std::uint64_t> out;
    for (std::size_t i = 0; i < slices.size(); ++i) {
        out.push_back(flops_of(r, slices[i], parameters[i]));
    }
    return out;
}

/// Joins neighbours as long as none gets more than `most`, into `count` slices if that is possible.
std::vector<slice_range> joined(const std::vector<slice_range>& finest,
                                const std::vector<std::uint64_t>& flops, std::uint64_t count,
                                std::uint64_t most) {
    std::vector<slice_range> out;
    std::uint64_t load = 0;
    for (std::size_t i = 0; i < finest.size(); ++i) {
        const bool fits = !out.empty() && load + flops[i] <= most;
        // Each slice that is to come needs a range of its own.
        const bool spare = out.size() + (finest.size() - i) > count;
        if (fits && spare) {
            out.back().end = finest[i].end;
            load += flops[i];
        } else {
            out.push_back(finest[i]);
            load = flops[i];
        }
    }
    return out;
}

stage_config stage_config_of(const recipe& r, const std::vector<slice_range>& ranges,
                             std::uint64_t index, std::uint64_t micro_batch, bool recompute) {
    const trainer_config lane{
        r.model,       r.train.batch,          micro_batch == 0 ? r.train.micro_batch : micro_batch,
        r.train.inner, !r.train.synchronous(), r.slices,
        recompute};
    return {lane, index, ranges.size(), ranges[index].first, ranges[index].end};
}

/// Digests that the slice's part of a state has.
base::result<void> check_count(const recipe& r, std::uint64_t index, const state_layout& layout,
                               std::size_t found) {
    const auto wanted = (1 + optimizer_arrays(r.train)) * layout.tensors.size();
    if (found == wanted) return {};
    return fail(errc::bad_message, "slice " + std::to_string(index) + ": found " +
                                       std::to_string(found) + " digests of tensors, it has " +
                                       std::to_string(wanted));
}

}  // namespace

std::uint64_t slices_max(const recipe& r) {
    return r.slices.cuts.size() + 1;
}

std::uint64_t slice_token_flops(const recipe& r, slice_range slice) {
    return flops_of(r, slice, layout_of_part(r.model, part_of(r, slice)).parameters);
}

std::uint64_t slice_message_bytes(const recipe& r, std::uint64_t micro_batch) {
    const auto sequences = micro_batch == 0 ? r.train.micro_batch : micro_batch;
    return numerics::cut_message_bytes(part_of(r, {}).format(), sequences * r.model.context,
                                       r.model.width);
}

std::vector<slice_range> choose_slices(const recipe& r, std::uint64_t count) {
    base::ensure(count >= 1 && count <= slices_max(r), "no more slices than cuts allow");
    const auto finest = all_slices(r);
    const auto flops = flops_of_all(r, finest);
    std::uint64_t low = *std::max_element(flops.begin(), flops.end());
    std::uint64_t high = 0;
    for (const auto f : flops) high += f;
    // The least load with which no more than `count` slices are needed.
    while (low < high) {
        const auto middle = low + (high - low) / 2;
        if (joined(finest, flops, count, middle).size() <= count) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return joined(finest, flops, count, low);
}

state_layout layout_of_slice(const recipe& r, std::uint64_t index, std::uint64_t count) {
    base::ensure(index < count, "a slice is one of the slices");
    return layout_of_part(r.model, part_of(r, choose_slices(r, count)[index]));
}

base::result<base::digest> join_state_digests(const recipe& r,
                                              std::span<const std::vector<base::digest>> slices) {
    if (slices.empty() || slices.size() > slices_max(r)) {
        return fail(errc::bad_message, "digests of " + std::to_string(slices.size()) +
                                           " slices; the recipe's cuts allow " +
                                           std::to_string(slices_max(r)));
    }
    const auto whole = layout_of(r.model);
    const std::size_t arrays = 1 + optimizer_arrays(r.train);
    std::vector<base::digest> all(arrays * whole.tensors.size());
    for (std::size_t s = 0; s < slices.size(); ++s) {
        const auto layout = layout_of_slice(r, s, slices.size());
        TEQUIO_CHECK(check_count(r, s, layout, slices[s].size()));
        for (std::size_t i = 0; i < layout.tensors.size(); ++i) {
            const auto at = static_cast<std::size_t>(&whole.tensor(layout.tensors[i].name) -
                                                     whole.tensors.data());
            for (std::size_t a = 0; a < arrays; ++a) {
                all[a * whole.tensors.size() + at] = slices[s][a * layout.tensors.size() + i];
            }
        }
    }
    return state_digest_from(whole, all);
}

base::result<base::digest> slice_state_digest(const recipe& r, std::uint64_t index,
                                              std::uint64_t count,
                                              std::span<const base::digest> tensors) {
    const auto layout = layout_of_slice(r, index, count);
    TEQUIO_CHECK(check_count(r, index, layout, tensors.size()));
    return state_digest_from(layout, tensors);
}

std::uint64_t slice_memory_bytes(const recipe& r, std::uint64_t index, std::uint64_t count,
                                 unsigned threads, std::uint64_t micro_batch, bool recompute) {
    base::ensure(index < count, "a slice is one of the slices");
    return stage::memory_bytes_for(
        stage_config_of(r, choose_slices(r, count), index, micro_batch, recompute),
        codec_of(contribution_kind::lane, r), threads);
}

std::vector<slice_cost> slice_costs(const recipe& r, std::uint64_t count, unsigned threads,
                                    std::uint64_t micro_batch) {
    const auto ranges = choose_slices(r, count);
    const auto flops = flops_of_all(r, ranges);
    const auto codec = codec_of(contribution_kind::lane, r);
    std::vector<slice_cost> out;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        auto config = stage_config_of(r, ranges, i, micro_batch, false);
        slice_cost cost{ranges[i]};
        cost.parameters = layout_of_part(r.model, config.part()).parameters;
        cost.token_flops = flops[i];
        cost.memory_bytes = stage::memory_bytes_for(config, codec, threads);
        if (i + 1 < count) {
            cost.message_bytes = slice_message_bytes(r, micro_batch);
        }
        config.lane.recompute = true;
        cost.recompute_memory_bytes = stage::memory_bytes_for(config, codec, threads);
        out.push_back(cost);
    }
    return out;
}

}  // namespace tequio::training
