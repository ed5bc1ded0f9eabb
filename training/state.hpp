#pragma once

/// The state that a round starts from: named float32 tensors in one flat, padded array, and the
/// optimizer's arrays of the same layout: of method diloco the outer optimizer's velocity, of
/// method synchronous AdamW's two moments.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/ids.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// Every tensor starts at, and is padded with +0 to, a multiple of this many floats: a contribution
/// block (NUMERICS.md, Contributions), two vectors of 16 lanes, two cache lines.
inline constexpr std::uint64_t tensor_align_floats = 32;

/// One tensor of a layout.
struct tensor_spec {
    std::string name;                  ///< as Hugging Face's model of this family has it
    std::vector<std::uint64_t> shape;  ///< row-major
    std::uint64_t offset = 0;          ///< in floats, a multiple of `tensor_align_floats`
    std::uint64_t size = 0;            ///< in floats, without padding
    bool decay = false;                ///< AdamW's weight decay: true for tensors of 2 dimensions
    double initial_deviation = 0;      ///< S(0) is drawn from normal(0, this); 0: `initial_value`
    float initial_value = 0;
};

/// Where each tensor lies. Pure function of the model.
struct state_layout {
    std::vector<tensor_spec> tensors;  ///< sorted by name bytes, which is also the order of offsets
    std::uint64_t padded_size = 0;     ///< in floats, of the whole array
    std::uint64_t parameters = 0;      ///< in floats, without padding
    /// The tensor called `name`. Ensures that there is one: names come from our own code.
    const tensor_spec& tensor(std::string_view name) const;
};

/// Layout of a model: the tensors of its family (training/model), sorted by name. `model` is within
/// the bounds that `parse_recipe` checks.
state_layout layout_of(const model_config& model);

/// Arrays that a state has beside its parameters: 1 with method diloco, 2 with synchronous.
inline std::uint32_t optimizer_arrays(const train_config& train) {
    return train.synchronous() ? 2 : 1;
}

/// A state to read. Arrays: (padded_size) floats, padding +0.
struct state_view {
    std::span<const float> parameters;
    std::span<const float> momentum;     ///< Nesterov's velocity, or AdamW's first moment
    std::span<const float> second = {};  ///< AdamW's second moment; empty with method diloco
};

/// A state to write; shapes as `state_view`.
struct state_span {
    std::span<float> parameters;
    std::span<float> momentum;
    std::span<float> second = {};
    operator state_view() const { return {parameters, momentum, second}; }
};

/// Merkle root (base/merkle.hpp) over the tensors sorted by name: leaf data = name, one zero byte,
/// and the 32-byte blob root of the tensor's little-endian bytes without padding. Before all
/// parameters stand velocities under "momentum/" + name, or, where `second` is not empty, AdamW's
/// moments: all of "first_moment/" + name, then all of "second_moment/" + name. Cost: one SHA-256
/// pass over the arrays.
base::digest state_digest(const state_layout& layout, state_view state);

/// What the leaves of `state_digest` are about: the blob root of each tensor's bytes, array after
/// array and by name in each, as the leaves stand. Cost: one SHA-256 pass over the arrays.
std::vector<base::digest> tensor_digests(const state_layout& layout, state_view state);
/// `state_digest` from these alone. Ensures that there are two or three for each tensor.
base::digest state_digest_from(const state_layout& layout, std::span<const base::digest> tensors);

/// The little-endian bytes of floats; the view lives as long as `values`.
base::byte_view float_bytes(std::span<const float> values);

}  // namespace tequio::training
