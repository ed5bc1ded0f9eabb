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

#include "training/model/decoder.hpp"

namespace tequio::training {

/// Where one layer's tensors start in a flat array of the layout, in floats.
struct llama_layer_tensors {
    std::uint64_t input_norm, q_proj, k_proj, v_proj, o_proj, post_norm, gate_proj, up_proj,
        down_proj;
};

/// The same for the part's layers and ends. Of what the part does not have: not meant.
struct llama_tensors {
    decoder_tensors ends;
    std::uint64_t norm = 0;
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
};

/// What a micro-batch keeps.
struct llama_saved {
    std::vector<llama_layer_saved> layers;
    arena_slice norm, norm_inverse;  ///< the last one; as norm_1
};

struct llama_plan final : decoder_buffers, network_plan {
    llama_plan(const model_config& config, const network_part& of, const batch_sizes& sizes,
               bool for_training, unsigned threads, arena_plan& plan);
    std::unique_ptr<network> build(const state_layout& layout, const arena& memory,
                                   executor& run) const override;
    std::unique_ptr<stage_network> build_stage(const state_layout& layout, const arena& memory,
                                               executor& run) const override;

    std::uint64_t head_size;         ///< d / heads
    std::uint64_t kv_width;          ///< kd
    arena_slice cosine, sine;        ///< (context, head_size / 2)
    std::vector<llama_saved> saved;  ///< (part.in_flight)
    arena_slice d_gated, d_qkv;      ///< (tokens, f), (tokens, d + 2 kd)
};

/// The rotary table is filled at construction.
class llama final : public decoder {
public:
    llama(const state_layout& layout, const llama_plan& plan, const arena& memory, executor& run);

private:
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
    const llama_saved& saved() const { return plan_.saved[slot()]; }
    const llama_layer_saved& layer_saved(std::size_t layer) const { return saved().layers[layer]; }
    /// The norms in the order of the forward pass: 2 i at the start of layer i, 2 i + 1 in its
    /// middle, and the last one.
    norm_place norm_of(std::size_t index) const;
    /// Queries (part 0), keys (1) and values (2) inside a (tokens, d + 2 kd) buffer, and the
    /// projection that makes them.
    token_rows part_of(arena_slice qkv, int part) const;
    linear projection(const llama_layer_tensors& t, int part) const;

    void begin_layers(const float* parameters, batch_shape n) override;
    void forward_layer(const float* parameters, std::size_t layer, batch_shape n) override;
    const float* head_input() const override { return at(saved().norm); }
    void backward_last_norm(const float* parameters, batch_shape n,
                            const gradient_sums& gradients) override;
    void begin_backward(batch_shape, const gradient_sums&) override {}  // there are no biases
    void backward_layer(const float* parameters, std::size_t layer, batch_shape n,
                        const gradient_sums& gradients) override;

    void normalise(const float* parameters, const float* x, const norm_place& to, batch_shape n);
    /// Ends a layer at a cut: its output is rounded, and the norm of it belongs to what follows.
    void end_at_cut(const float* parameters, std::size_t layer, batch_shape n);
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
};

}  // namespace tequio::training
