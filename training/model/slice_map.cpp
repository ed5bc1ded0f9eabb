#include "training/model/slice_map.hpp"

#include <algorithm>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "training/model/family.hpp"
#include "training/round/units.hpp"

namespace tequio::training {
namespace {

constexpr std::uint64_t piece_floats = base::piece_size_bytes / sizeof(float);

void add_once(std::vector<std::size_t>& sorted, std::size_t value) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), value);
    if (at == sorted.end() || *at != value) sorted.insert(at, value);
}

}  // namespace

slice_map::slice_map(const model_config& model, const state_layout& whole,
                     std::span<const slice_range> slices)
    : whole_(whole),
      owners_(whole.tensors.size(), slices.size()),
      holders_((whole.padded_size + piece_floats - 1) / piece_floats) {
    for (std::size_t s = 0; s < slices.size(); ++s) {
        layouts_.push_back(layout_of_part(model, {slices[s].first, slices[s].end}));
        for (const auto& t : layouts_.back().tensors) {
            owners_[static_cast<std::size_t>(&whole.tensor(t.name) - whole.tensors.data())] = s;
        }
    }
    for (std::size_t i = 0; i < owners_.size(); ++i) {
        base::ensure(owners_[i] < slices.size(), "every tensor is in some slice");
        const auto& t = whole.tensors[i];
        const auto last = (t.offset + t.size - 1) / piece_floats;
        for (auto piece = t.offset / piece_floats; piece <= last; ++piece) {
            add_once(holders_[piece], owners_[i]);
        }
    }
}

std::vector<slice_map::stretch> slice_map::stretches(std::size_t slice,
                                                     contribution_run run) const {
    std::vector<stretch> out;
    const auto& own = layouts_[slice];
    auto at = std::upper_bound(whole_.tensors.begin(), whole_.tensors.end(), run.first,
                               [](std::uint64_t first, const auto& t) { return first < t.offset; });
    if (at != whole_.tensors.begin()) --at;
    for (; at != whole_.tensors.end() && at->offset < run.end(); ++at) {
        if (owners_[static_cast<std::size_t>(at - whole_.tensors.begin())] != slice) continue;
        const auto first = std::max(at->offset, run.first);
        const auto end = std::min(at->offset + at->size, run.end());
        if (first >= end) continue;
        out.push_back({first, end - first, own.tensor(at->name).offset + (first - at->offset)});
    }
    return out;
}

void slice_map::place(std::size_t slice, const contribution_shape& shape, contribution_run run,
                      const coded_blocks& blocks, std::span<std::uint8_t> container) const {
    const auto& tensors = layouts_[slice].tensors;
    auto t = std::upper_bound(tensors.begin(), tensors.end(), run.first,
                              [](std::uint64_t first, const auto& x) { return first < x.offset; });
    base::ensure(t != tensors.begin(), "a slice's first tensor starts at 0");
    --t;
    // Tensors are whole blocks here and there, so a run is placed stretch by stretch.
    for (auto at = run.first; at < run.end(); ++t) {
        const auto padded = (t->size + block_elements - 1) / block_elements * block_elements;
        const auto stop = std::min(run.end(), t->offset + padded);
        place_blocks(shape, {whole_.tensor(t->name).offset + (at - t->offset), stop - at},
                     blocks_at(shape.codec, blocks, at - run.first, stop - at), container);
        at = stop;
    }
}

contribution_run slice_map::elements_of(std::uint64_t piece) const {
    const auto first = piece * piece_floats;
    return {first, std::min(piece_floats, whole_.padded_size - first)};
}

}  // namespace tequio::training
