#pragma once

/// What every family of models can do, seen from a training step. A family's file fixes the order
/// in which kernels are called, and so the bits.

#include <cstdint>
#include <memory>
#include <span>

#include "training/executor.hpp"
#include "training/model/arena.hpp"
#include "training/model/embedding_share.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Some sequences and what should follow each token. For an mlp a sequence is one example.
struct batch_view {
    std::span<const std::uint32_t>
        tokens;                     ///< (n, time), each below the vocabulary; of an mlp none
    std::span<const float> inputs;  ///< mlp: (n, inputs), flushed
    std::span<const std::uint32_t> targets;  ///< (n, time), each below the vocabulary
    std::uint64_t time = 0;                  ///< at most the context
};

/// The same to be filled in.
struct batch_span {
    std::span<std::uint32_t> tokens;
    std::span<float> inputs;
    std::span<std::uint32_t> targets;
};

/// A model at work in an arena. Not thread-safe; buffers belong to the arena, which outlives it.
class network {
public:
    virtual ~network() = default;

    /// Losses and gradients of one micro-batch. losses: (targets), written. scale: 1 / counted
    /// targets of the whole step. gradients: (padded_size); `first` of the step: sums start at +0
    /// and the old contents do not matter. Weight gradients sum over tokens by the matrix rule with
    /// panels from the micro-batch's start: a micro-batch of a multiple of 256 tokens continues the
    /// sum of the one before exactly as if both were one. Ensures that the plan is for training.
    virtual void train(std::span<const float> parameters, const batch_view& batch, float scale,
                       std::span<float> losses, std::span<float> gradients, bool first) = 0;
    /// After a step's last micro-batch: adds up the gradients of tensors used more than once.
    virtual void finish(std::span<float> gradients) = 0;
    /// Losses alone, by the same operations. losses: (targets), written.
    virtual void evaluate(std::span<const float> parameters, const batch_view& batch,
                          std::span<float> losses) = 0;
    /// Scores of what follows the last of `batch`'s tokens (one sequence), or of one example. out:
    /// (vocabulary), written. Targets do not matter.
    virtual void next_logits(std::span<const float> parameters, const batch_view& batch,
                             std::span<float> out) = 0;
};

/// A part of a model at work as one stage of a divided lane: pure functions of its parameters and
/// of what the stages beside it send. Arrays that cross a cut are (tokens, width) and rounded
/// already (numerics/cut_format.hpp), by who sends them. Micro-batch k of a step has the slot
/// k % in_flight, until its backward pass. Backward passes come in ascending order of
/// micro-batches.
class stage_network {
public:
    virtual ~stage_network() = default;

    /// For a tied embedding whose table another stage has, or which another stage shares; else
    /// null.
    virtual embedding_share* share() = 0;
    /// in: activations that came, empty at the first stage.
    virtual void forward(std::span<const float> parameters, const batch_view& batch,
                         std::uint64_t slot, std::span<const float> in) = 0;
    /// What the forward pass in that slot sends on; empty at the last stage. Valid until the slot
    /// is used again.
    virtual std::span<const float> activations(const batch_view& batch, std::uint64_t slot) = 0;
    /// The last stage, after `forward`: as `network::evaluate`.
    virtual void losses(std::span<const float> parameters, const batch_view& batch,
                        std::uint64_t slot, std::span<float> losses) = 0;
    /// As `network::train`, of the slot's forward pass. d_out: gradients that came; empty at the
    /// last stage, which alone writes losses. gradients: (padded_size) of the stage's layout.
    virtual void backward(std::span<const float> parameters, const batch_view& batch,
                          std::uint64_t slot, std::span<const float> d_out, float scale,
                          std::span<float> losses, std::span<float> gradients, bool first) = 0;
    /// What the last backward pass sends back; empty at the first stage. Valid until the next one.
    virtual std::span<const float> gradients_back(const batch_view& batch) = 0;
    /// Where the table of a shared embedding starts in the layout's arrays. Of the last stage.
    virtual std::uint64_t table() const = 0;
};

/// Buffers of a network, laid out in an arena plan before there is memory.
class network_plan {
public:
    virtual ~network_plan() = default;
    /// The network in the memory of that plan. `layout` is `layout_of` the plan's model. All three
    /// outlive the network; the plan need not.
    virtual std::unique_ptr<network> build(const state_layout& layout, const arena& memory,
                                           executor& run) const = 0;
    /// The same as a stage: `layout` is `layout_of_part`. Null for a family that is not divided.
    virtual std::unique_ptr<stage_network> build_stage(const state_layout&, const arena&,
                                                       executor&) const {
        return nullptr;
    }
};

}  // namespace tequio::training
