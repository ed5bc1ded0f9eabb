#pragma once

/// Which layers of a model a network has: all of them, or, as one stage of a divided lane, a range
/// between two cuts; and where values are rounded on the way.

#include <algorithm>
#include <cstdint>

#include "training/numerics/cut_format.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// Layers first .. end - 1. A part that begins with layer 0 has the embedding, one that ends with
/// the last layer has the last norm and the head. `first` and `end`, where they are inside the
/// model, are cuts.
struct network_part {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
    slices_config slices = {};
    /// Micro-batches whose activations are kept at a time.
    std::uint64_t in_flight = 1;

    std::uint64_t layers() const { return end - first; }
    bool has_embedding() const { return first == 0; }
    bool has_head(const model_config& m) const { return end == m.layers; }
    /// True when the first or the last layers are elsewhere.
    bool divided(const model_config& m) const { return !has_embedding() || !has_head(m); }
    /// True when a lane can be divided before `layer` of the model.
    bool cut_before(std::uint64_t layer) const {
        return std::binary_search(slices.cuts.begin(), slices.cuts.end(), layer);
    }
    numerics::cut_format format() const { return numerics::cut_format_of(slices.activations); }
};

/// All layers, rounded at the cuts.
inline network_part whole_of(const model_config& m, const slices_config& slices = {}) {
    return {0, m.layers, slices};
}

}  // namespace tequio::training
