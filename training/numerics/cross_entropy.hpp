#pragma once

/// Softmax cross-entropy over a chunk of rows. The caller makes the chunk's logits by `gemm` and
/// uses the gradient for two more products, so that (tokens x vocabulary) never exists at once.
/// Chunks of a multiple of 256 rows keep the embedding's gradient exact (gemm.hpp).

#include <cstddef>
#include <cstdint>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// A target that is not counted.
inline constexpr std::uint32_t ignored_target = 0xffffffff;

/// Per row: m = (max by compare) + (+0); e[j] = softmax_exp(x[j] - m); l = sum(e) (32-way);
/// loss = (m - x[target]) + log(l); i = 1 / l; x[j] = flush((e[j] * i - (j == target ? 1 : 0)) *
/// scale). Ignored rows: loss +0, all gradients +0.
/// logits: (targets.size(), vocabulary) with row stride `stride`; becomes the gradient in place.
/// losses: (targets.size()). scale: 1 / counted tokens of the step. Targets were checked by the
/// caller. gradient = false leaves logits undefined and saves the last pass (validation).
void cross_entropy(float* logits, std::size_t stride, std::span<const std::uint32_t> targets,
                   std::size_t vocabulary, float scale, float* losses, bool gradient,
                   executor& run);
void cross_entropy_reference(float* logits, std::size_t stride,
                             std::span<const std::uint32_t> targets, std::size_t vocabulary,
                             float scale, float* losses, bool gradient);

}  // namespace tequio::training::numerics
