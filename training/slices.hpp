#pragma once

/// How a lane of a recipe with cuts can be divided among nodes (DESIGN.md section 7): which layers
/// each gets, and what that takes of it. Nothing here changes a bit.

#include <cstdint>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Layers first .. end - 1 of a model. The first slice has the embedding too, the last one the last
/// norm and the head.
struct slice_range {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
    bool operator==(const slice_range&) const = default;
};

/// The most slices that a lane of the recipe can have: one more than it has cuts.
std::uint64_t slices_max(const recipe& r);

/// Divides the layers at cuts into `count` slices (1 to `slices_max`), so that the one with the
/// most floating-point operations has as few as possible. Of several such divisions, the one whose
/// first slices are largest.
std::vector<slice_range> choose_slices(const recipe& r, std::uint64_t count);

/// The tensors of slice `index` of `count`, laid out as `layout_of` lays out all. A tied
/// embedding's table is the last slice's, with the head.
state_layout layout_of_slice(const recipe& r, std::uint64_t index, std::uint64_t count);

/// The digest of a whole state from what its slices say of their parts: slices[i] are the
/// `tensor_digests` of slice i of slices.size(). Errors: `errc::bad_message` when a slice has not
/// as many as it has tensors, times the arrays of the recipe's method.
base::result<base::digest> join_state_digests(const recipe& r,
                                              std::span<const std::vector<base::digest>> slices);
/// The digest of one slice's tensors alone, as a state of those. Errors: as above.
base::result<base::digest> slice_state_digest(const recipe& r, std::uint64_t index,
                                              std::uint64_t count,
                                              std::span<const base::digest> tensors);

/// Floating-point operations of a token in a slice, counted as `token_flops` counts: 6 for each
/// parameter that it multiplies by, and 12 * context * width a layer. An embedding that is only
/// looked up counts nothing, a tied one at the head.
std::uint64_t slice_token_flops(const recipe& r, slice_range slice);

/// Bytes of a micro-batch's activations across a cut, or of the gradients by them.
std::uint64_t slice_message_bytes(const recipe& r, std::uint64_t micro_batch = 0);

/// Share of a step in which a stage waits, when all stages take equally long and messages no time:
/// (S - 1) / (M + S - 1). Source: Narayanan et al. 2021 (Megatron-LM), section 2.2.1, where it is
/// told as (S - 1) / M of the working time.
double pipeline_bubble(std::uint64_t stages, std::uint64_t micro_batches);

/// What one slice takes of the node that has it.
struct slice_cost {
    slice_range layers;
    std::uint64_t parameters = 0;    ///< trained ones that it updates
    std::uint64_t token_flops = 0;   ///< see above
    std::uint64_t memory_bytes = 0;  ///< while a lane runs, without the state it starts from
    std::uint64_t recompute_memory_bytes = 0;  ///< the same with `engine_options::recompute`
    std::uint64_t message_bytes = 0;  ///< of a micro-batch across the slice's end; 0 for the last
};

/// `slice_cost::memory_bytes` of slice `index` alone, or `recompute_memory_bytes`.
std::uint64_t slice_memory_bytes(const recipe& r, std::uint64_t index, std::uint64_t count,
                                 unsigned threads, std::uint64_t micro_batch = 0,
                                 bool recompute = false);
/// Of each of `count` slices, chosen by `choose_slices`, with this many threads a node.
/// micro_batch: as in `engine_options`.
std::vector<slice_cost> slice_costs(const recipe& r, std::uint64_t count, unsigned threads,
                                    std::uint64_t micro_batch = 0);

}  // namespace tequio::training
