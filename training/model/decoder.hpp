#pragma once

/// What language models of decoder blocks share: the way through their layers, forward and
/// backward, of the whole model or of one stage of a divided lane; the rounding at cuts; the
/// embedding, tied to the head or not; the head. A family adds how one block and its norms compute
/// (gpt2.hpp, llama.hpp). Both orders are part of the bits.
///
/// Notation of shapes: n sequences of time tokens, tokens = n * time, sequence-major; d = width.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "training/model/embedding_use.hpp"
#include "training/model/family.hpp"
#include "training/model/layers.hpp"

namespace tequio::training {

/// The residual of one micro-batch, kept for its backward pass.
struct decoder_residual {
    arena_slice embedded;            ///< (tokens, d): the first layer's input
    std::vector<arena_slice> after;  ///< (tokens, d): after each layer of the part
};

/// Buffers that every family has, of a model or a part of it working on batches of these sizes.
/// When not training, all layers share one set and there are no gradients. What belongs to a
/// micro-batch exists `part.in_flight` times.
struct decoder_buffers {
    decoder_buffers(const model_config& config, const network_part& of, const batch_sizes& sizes,
                    bool for_training, arena_plan& plan);

    /// Tokens at a time, and floats of a (tokens, d) array. Both saturate.
    std::uint64_t tokens() const;
    std::uint64_t wide() const;
    /// `layer` planned for each layer of the part; or once, for all.
    template <class Layer, class Plan>
    std::vector<Layer> per_layer(Plan layer) const {
        std::vector<Layer> out;
        for (std::uint64_t i = 0; i < part.layers(); ++i) {
            out.push_back(training || i == 0 ? layer() : out.front());
        }
        return out;
    }

    model_config model;
    network_part part;
    std::uint64_t sequences;
    bool training;
    std::uint64_t head_rows;                 ///< rows of logits that exist at a time
    std::vector<decoder_residual> residual;  ///< (part.in_flight)
    arena_slice logits;                      ///< (head_rows, vocabulary)
    arena_slice product;                     ///< (tokens, d): what a projection gives
    arena_slice d_residual;                  ///< (tokens, d)
    embedding_use_plan use;                  ///< tied: the embedding's gradient by its use as such
    embedding_share_plan share;              ///< in its place where two stages use it
    arena_slice workspace;                   ///< of all kernels; planned by the family
};

/// Where the embedding and the head start in a flat array of the layout, in floats. Of what the
/// part does not have: not meant.
struct decoder_tensors {
    std::uint64_t table = 0;
    std::optional<std::uint64_t> positions = {};  ///< learned ones, if the family has them
    std::uint64_t head = 0;                       ///< `table` where they are tied
};

/// Works in such buffers. In `gradients`, a tied table's place takes the head's use of it until
/// `finish`.
class decoder : public network, public stage_network {
public:
    void train(std::span<const float> parameters, const batch_view& batch, float scale,
               std::span<float> losses, std::span<float> gradients, bool first) final;
    void finish(std::span<float> gradients) final;
    void evaluate(std::span<const float> parameters, const batch_view& batch,
                  std::span<float> losses) final;
    void next_logits(std::span<const float> parameters, const batch_view& batch,
                     std::span<float> out) final;

    embedding_share* share() final { return share_ ? &*share_ : nullptr; }
    void forward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                 std::span<const float> in) final;
    std::span<const float> activations(const batch_view& batch, std::uint64_t slot) final;
    void losses(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                std::span<float> losses) final;
    void backward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                  std::span<const float> d_out, float scale, std::span<float> losses,
                  std::span<float> gradients, bool first) final;
    std::span<const float> gradients_back(const batch_view& batch) final;
    std::uint64_t table() const final { return ends_.table; }

protected:
    /// Where a micro-batch adds its gradients.
    struct gradient_sums {
        float* flat;
        bool first;
    };

    /// `memory` outlives it.
    decoder(const decoder_buffers& buffers, const decoder_tensors& ends, const arena& memory,
            executor& run);

    // What a family decides. Layers are counted from the part's first.

    /// The norm that the first layer begins with, of `embedded`.
    virtual void begin_layers(const float* parameters, batch_shape n) = 0;
    /// A layer, and the norm that comes after it: that of the next layer, or the last one.
    virtual void forward_layer(const float* parameters, std::size_t layer, batch_shape n) = 0;
    /// What the last norm left: (tokens, d).
    virtual const float* head_input() const = 0;
    /// Through the last norm: from `product` to `d_residual`.
    virtual void backward_last_norm(const float* parameters, batch_shape n,
                                    const gradient_sums& gradients) = 0;
    /// The stage's last layer ends at a cut; `d_residual` is what came across it.
    virtual void begin_backward(batch_shape n, const gradient_sums& gradients) = 0;
    /// A layer, from the gradient by its output in `d_residual` to that by its input there.
    virtual void backward_layer(const float* parameters, std::size_t layer, batch_shape n,
                                const gradient_sums& gradients) = 0;

    float* at(arena_slice slice) const { return memory_.floats(slice).data(); }
    /// Which micro-batch's buffers are at work.
    std::uint64_t slot() const { return slot_; }
    /// (tokens, d): the residual before and after a layer.
    float* layer_input(std::size_t layer) const;
    float* layer_output(std::size_t layer) const { return at(residual().after[layer]); }
    bool is_last(std::size_t layer) const { return layer + 1 == residual().after.size(); }
    /// True when what goes into `layer`, or out of the one before, is rounded.
    bool cut_before(std::size_t layer) const {
        return buffers_.part.cut_before(buffers_.part.first + layer);
    }
    /// values: (tokens, d).
    void round(float* values, batch_shape n);

    std::span<std::byte> workspace() const { return workspace_; }
    executor& run() const { return run_; }

private:
    const decoder_residual& residual() const { return buffers_.residual[slot_]; }
    batch_shape shape(const batch_view& batch) const;
    head_operands head(const float* parameters) const;
    void embed(const float* parameters, std::span<const std::uint32_t> tokens, batch_shape n);
    void forward_layers(const float* parameters, batch_shape n);
    void forward_all(const float* parameters, const batch_view& batch, batch_shape n);
    void backward_head(const float* parameters, const batch_view& batch, float scale,
                       std::span<float> losses, const gradient_sums& gradients);
    void backward_layers(const float* parameters, batch_shape n, const gradient_sums& gradients);
    void backward_embedding(std::span<const std::uint32_t> tokens, batch_shape n,
                            const gradient_sums& gradients);

    const decoder_buffers buffers_;
    const decoder_tensors ends_;
    const arena& memory_;
    std::span<std::byte> workspace_;
    executor& run_;
    std::uint64_t slot_ = 0;
    std::optional<embedding_use> use_;      // when training all of a tied model
    std::optional<embedding_share> share_;  // at one of its ends
};

}  // namespace tequio::training
