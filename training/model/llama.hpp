#pragma once

/// Llama: rotary positions, pre-norm RMSNorm, grouped-query attention, SwiGLU, no biases, output
/// head tied to the token embedding or not. Forward and backward over the kernels of
/// training/numerics; this file fixes the order in which they are called, and so the bits.
///
/// Notation of shapes: n sequences of time tokens, tokens = n * time, sequence-major; d = width;
/// kd = kv_heads * d / heads, the width of keys and of values; f = hidden. Weights are (out, in).
/// Source: Touvron et al. 2023; Hugging Face modeling_llama.py.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "training/model/embedding_use.hpp"
#include "training/model/family.hpp"
#include "training/model/layers.hpp"

namespace tequio::training {

/// Where one layer's tensors start in a flat array of the layout, in floats.
struct llama_layer_tensors {
    std::uint64_t input_norm, q_proj, k_proj, v_proj, o_proj, post_norm, gate_proj, up_proj,
        down_proj;
};

/// The same for the part's layers and ends. `head` is `embedding` where they are tied. Of what the
/// part does not have: not meant.
struct llama_tensors {
    std::uint64_t embedding = 0, norm = 0, head = 0;
    std::vector<llama_layer_tensors> layers;
};

/// `layout` is `layout_of_part`.
llama_tensors llama_tensors_of(const state_layout& layout, const model_config& model,
                               const network_part& part);

/// What one layer keeps of the forward pass for the backward pass.
struct llama_layer_saved {
    arena_slice norm_1, norm_1_inverse;  ///< (tokens, d), (tokens)
    arena_slice qkv;                     ///< (tokens, d + 2 kd), queries and keys turned
    arena_slice row_max, inverse_sum;    ///< (n, heads, time)
    arena_slice attention;               ///< (tokens, d), before the projection
    arena_slice middle;                  ///< (tokens, d), residual after attention
    arena_slice norm_2, norm_2_inverse;  ///< as norm_1
    arena_slice gate, up;                ///< (tokens, f); backward leaves their gradients here
    arena_slice gated;                   ///< (tokens, f), silu(gate) * up
    arena_slice out;                     ///< (tokens, d), residual after the layer
};

/// What a micro-batch keeps.
struct llama_saved {
    arena_slice embedded;  ///< (tokens, d): the first layer's input
    std::vector<llama_layer_saved> layers;
    arena_slice norm, norm_inverse;  ///< the last one; as norm_1
};

/// Buffers of a model, or a part of it, working on batches of these sizes. When not training, all
/// layers share one set and there are no gradients.
struct llama_plan final : network_plan {
    llama_plan(const model_config& config, const network_part& of, const batch_sizes& sizes,
               bool for_training, unsigned threads, arena_plan& plan);
    std::unique_ptr<network> build(const state_layout& layout, const arena& memory,
                                   executor& run) const override;
    std::unique_ptr<stage_network> build_stage(const state_layout& layout, const arena& memory,
                                               executor& run) const override;

    model_config model;
    network_part part;
    std::uint64_t sequences;
    bool training;
    std::uint64_t head_size;                 ///< d / heads
    std::uint64_t kv_width;                  ///< kd
    std::uint64_t head_rows;                 ///< rows of logits that exist at a time
    arena_slice cosine, sine;                ///< (context, head_size / 2)
    std::vector<llama_saved> saved;          ///< (part.in_flight)
    arena_slice logits;                      ///< (head_rows, vocabulary)
    arena_slice product;                     ///< (tokens, d): what a projection gives
    arena_slice d_residual, d_gated, d_qkv;  ///< (tokens, d), (tokens, f), (tokens, d + 2 kd)
    embedding_use_plan use;                  ///< tied: the embedding's gradient by its use as such
    embedding_share_plan share;              ///< in its place where two stages use it
    arena_slice workspace;                   ///< of gemm and attention
};

/// Runs the plan. In `gradients`, a tied embedding's place takes the head's use of it until
/// `finish`. The rotary table is filled at construction.
class llama final : public network, public stage_network {
public:
    llama(const state_layout& layout, llama_plan plan, const arena& memory, executor& run);

    void train(std::span<const float> parameters, const batch_view& batch, float scale,
               std::span<float> losses, std::span<float> gradients, bool first) override;
    void finish(std::span<float> gradients) override;
    void evaluate(std::span<const float> parameters, const batch_view& batch,
                  std::span<float> losses) override;
    void next_logits(std::span<const float> parameters, const batch_view& batch,
                     std::span<float> out) override;

    embedding_share* share() override { return share_ ? &*share_ : nullptr; }
    void forward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                 std::span<const float> in) override;
    std::span<const float> activations(const batch_view& batch, std::uint64_t slot) override;
    void losses(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                std::span<float> losses) override;
    void backward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                  std::span<const float> d_out, float scale, std::span<float> losses,
                  std::span<float> gradients, bool first) override;
    std::span<const float> gradients_back(const batch_view& batch) override;
    std::uint64_t table() const override { return tensors_.embedding; }

private:
    /// Where a micro-batch adds its gradients.
    struct gradient_sums {
        float* flat;
        bool first;
    };
    /// A matrix of one row a token: rows `stride` floats apart.
    struct token_rows {
        float* data;
        std::size_t stride;
    };
    /// One norm: its gain in the flat arrays, its results.
    struct norm_place {
        std::uint64_t gain;
        float *out, *inverse;
    };
    /// One weight matrix (out, in) at `weight` in the flat arrays.
    struct linear {
        std::uint64_t weight;
        std::size_t in, out;
    };
    batch_shape shape(const batch_view& batch) const;
    float* at(arena_slice slice) const { return memory_.floats(slice).data(); }
    // Layers are counted from the part's first.
    const llama_layer_saved& layer_saved(std::size_t layer) const { return saved_->layers[layer]; }
    /// True when what goes into `layer`, or out of the one before, is rounded.
    bool cut_before(std::size_t layer) const {
        return plan_.part.cut_before(plan_.part.first + layer);
    }
    void round(float* values, batch_shape n);
    void normalise(const float* parameters, const float* x, const norm_place& to, batch_shape n);
    /// Ends a layer at a cut: its output is rounded, and the norm of it belongs to what follows.
    void end_at_cut(const float* parameters, std::size_t layer, batch_shape n);
    const float* layer_input(std::size_t layer) const;
    /// The norms in the order of the forward pass: 2 i at the start of layer i, 2 i + 1 in its
    /// middle, and the last one.
    norm_place norm_of(std::size_t index) const;
    head_operands head(const float* parameters) const;
    /// Queries (part 0), keys (1) and values (2) inside a (tokens, d + 2 kd) buffer, and the
    /// projection that makes them.
    token_rows part_of(arena_slice qkv, int part) const;
    linear projection(const llama_layer_tensors& t, int part) const;

    void embed(const float* parameters, std::span<const std::uint32_t> tokens, batch_shape n);
    void forward_layers(const float* parameters, batch_shape n);
    void forward(const float* parameters, std::span<const std::uint32_t> tokens, batch_shape n);
    /// Of the layers, from the gradient by the last one's output in `d_residual`.
    void backward_layers(const float* parameters, batch_shape n, const gradient_sums& gradients);
    void backward_head(const float* parameters, const batch_view& batch, float scale,
                       std::span<float> losses, const gradient_sums& gradients);
    void forward_attention(const float* parameters, std::size_t layer, batch_shape n);
    void forward_mlp(const float* parameters, std::size_t layer, batch_shape n);
    /// sum = residual + product, and the norm of it.
    void join_residual(const float* parameters, const float* residual, float* sum,
                       const norm_place& next, batch_shape n);
    /// Backward through a norm of x, from `product` to `d_residual`, which is added to or, for the
    /// last norm, written.
    void norm_backward(const float* parameters, const norm_place& of, const float* x, bool last,
                       batch_shape n, const gradient_sums& gradients);
    void backward_mlp(const float* parameters, std::size_t layer, batch_shape n,
                      const gradient_sums& gradients);
    void backward_attention(const float* parameters, std::size_t layer, batch_shape n,
                            const gradient_sums& gradients);
    void backward_embedding(std::span<const std::uint32_t> tokens, const gradient_sums& gradients);
    /// Turns the queries and keys of `qkv`, which stand side by side.
    void turn(arena_slice qkv, batch_shape n, bool back);
    /// y (tokens, out) = x (tokens, in) W^T.
    void apply(const float* parameters, const linear& w, const float* x, token_rows y, bool flush,
               std::size_t tokens);
    /// W's gradient (+)= dy^T x.
    void add_weight_gradient(const gradient_sums& gradients, const linear& w, const float* x,
                             token_rows dy, std::size_t tokens);
    /// dx (tokens, in) = dy W, or added to what stands there.
    void apply_back(const float* parameters, const linear& w, token_rows dy, float* dx,
                    bool accumulate, bool flush, std::size_t tokens);

    llama_plan plan_;
    llama_tensors tensors_;
    const arena& memory_;
    std::span<std::byte> workspace_;
    const llama_saved* saved_;              // of the slot at work
    std::optional<embedding_use> use_;      // when training all of a tied model
    std::optional<embedding_share> share_;  // at one of its ends
    executor& run_;
};

}  // namespace tequio::training
