#pragma once

/// What families of language models have in common beside kernels: the shape of a batch, the output
/// head in chunks, and how many rows of logits exist at a time.

#include <cstddef>
#include <cstdint>
#include <span>

#include "training/executor.hpp"
#include "training/model/network.hpp"

namespace tequio::training {

/// A batch of equally long sequences, laid out one after the other.
struct batch_shape {
    std::size_t sequences, time, tokens;
};

/// Ensures that the batch fits a plan for `sequences` sequences of `context` tokens.
batch_shape shape_of(const batch_view& batch, std::uint64_t sequences, std::uint64_t context);

/// Rows of logits that exist at a time: a multiple of 256 (or all tokens, if those are fewer), so
/// that chunks add up like one product.
std::uint64_t head_rows_of(std::uint64_t tokens, std::uint64_t vocabulary);

/// The output head: logits = x W^T.
struct head_operands {
    const float* x;       ///< (tokens, width), flushed
    const float* weight;  ///< (vocabulary, width)
    float* logits;        ///< (rows, vocabulary): room for a chunk
    std::size_t rows, width, vocabulary;
};

/// Where its gradients go. dx: (tokens, width), written, not flushed. dweight: (vocabulary, width),
/// added to; `first`: from +0, and the old contents do not matter.
struct head_gradients {
    float *dx, *dweight;
    bool first;
};

/// Cross-entropy of every target, `rows` rows at a time. losses: (targets), written. gradients:
/// null for losses alone; then `scale`, the share of one target in the step, does not matter.
void head_losses(const head_operands& head, std::span<const std::uint32_t> targets, float scale,
                 std::span<float> losses, const head_gradients* gradients,
                 std::span<std::byte> workspace, executor& run);

/// Logits of one row of x alone. out: (vocabulary), written.
void head_logits(const head_operands& head, std::size_t row, std::span<float> out,
                 std::span<std::byte> workspace, executor& run);

/// Workspace of the head's products for chunks of `rows`.
std::uint64_t head_workspace_bytes(std::uint64_t rows, std::uint64_t width,
                                   std::uint64_t vocabulary, unsigned threads);

}  // namespace tequio::training
