#pragma once

/// GPT-2: learned positions, pre-norm LayerNorm (eps 1e-5), tanh GELU, biases everywhere, output
/// head tied to the token embedding, no dropout. Forward and backward over the kernels of
/// training/numerics; this file fixes the order in which they are called, and so the bits.
///
/// Notation of shapes: n sequences of time tokens, tokens = n * time, sequence-major; d = width.
/// Source: Radford et al. 2019; Hugging Face modeling_gpt2.py.

#include <cstdint>
#include <span>
#include <vector>

#include "training/model/family.hpp"

namespace tequio::training {

/// Where one layer's tensors start in a flat array of the layout, in floats.
struct gpt2_layer_tensors {
    std::uint64_t ln_1_weight, ln_1_bias, c_attn_weight, c_attn_bias, attn_proj_weight,
        attn_proj_bias, ln_2_weight, ln_2_bias, c_fc_weight, c_fc_bias, mlp_proj_weight,
        mlp_proj_bias;
};

/// The same for the whole model.
struct gpt2_tensors {
    std::uint64_t wte, wpe, ln_f_weight, ln_f_bias;
    std::vector<gpt2_layer_tensors> layers;
};

/// `layout` is `layout_of` the model with that number of layers.
gpt2_tensors gpt2_tensors_of(const state_layout& layout, std::uint64_t layers);

/// What one layer keeps of the forward pass for the backward pass.
struct gpt2_layer_saved {
    arena_slice ln_1, ln_1_mean, ln_1_deviation;  ///< (tokens, d), (tokens), (tokens)
    arena_slice qkv;                              ///< (tokens, 3 d)
    arena_slice row_max, inverse_sum;             ///< (n, heads, time)
    arena_slice attention;                        ///< (tokens, d), before the projection
    arena_slice middle;                           ///< (tokens, d), residual after attention
    arena_slice ln_2, ln_2_mean, ln_2_deviation;  ///< as ln_1
    arena_slice before_gelu, after_gelu;          ///< (tokens, 4 d)
    arena_slice out;                              ///< (tokens, d), residual after the layer
};

/// Buffers of a model working on at most `sequences` sequences at a time. When not training, all
/// layers share one set and there are no gradients.
struct gpt2_plan final : network_plan {
    gpt2_plan(const model_config& config, std::uint64_t at_most_sequences, bool for_training,
              unsigned threads, arena_plan& plan);
    std::unique_ptr<network> build(const state_layout& layout, const arena& memory,
                                   executor& run) const override;

    model_config model;
    std::uint64_t sequences;
    bool training;
    std::uint64_t head_rows;  ///< rows of logits that exist at a time: a multiple of 256
    arena_slice embedded;     ///< (tokens, d)
    std::vector<gpt2_layer_saved> layers;
    arena_slice ln_f, ln_f_mean, ln_f_deviation;
    arena_slice logits;                       ///< (head_rows, vocabulary)
    arena_slice product;                      ///< (tokens, d), product before its bias
    arena_slice d_residual, d_hidden, d_qkv;  ///< (tokens, d), (tokens, 4 d), (tokens, 3 d)
    arena_slice embedding_use;  ///< (vocabulary, d): gradient of wte by its use as the embedding
    arena_slice workspace;      ///< of gemm and attention
};

/// Runs the plan. In `gradients`, wte's place takes the head's use of it until `finish`.
class gpt2 final : public network {
public:
    gpt2(const state_layout& layout, gpt2_plan plan, const arena& memory, executor& run);

    void train(std::span<const float> parameters, const batch_view& batch, float scale,
               std::span<float> losses, std::span<float> gradients, bool first) override;
    void finish(std::span<float> gradients) override;
    void evaluate(std::span<const float> parameters, const batch_view& batch,
                  std::span<float> losses) override;
    void next_logits(std::span<const float> parameters, const batch_view& batch,
                     std::span<float> out) override;

private:
    /// Where a micro-batch adds its gradients.
    struct gradient_sums {
        float* flat;
        bool first;
    };
    struct sizes {
        std::size_t sequences, time, tokens;
    };
    sizes sizes_of(const batch_view& batch) const;
    float* at(arena_slice slice) const { return memory_.floats(slice).data(); }
    const float* layer_input(std::size_t layer) const;
    void forward(const float* parameters, std::span<const std::uint32_t> tokens, sizes n);
    void forward_attention(const float* parameters, std::size_t layer, sizes n);
    void forward_mlp(const float* parameters, std::size_t layer, sizes n);
    void head(const float* parameters, const batch_view& batch, float scale,
              std::span<float> losses, const gradient_sums* gradients);
    void backward_mlp(const float* parameters, std::size_t layer, sizes n,
                      const gradient_sums& gradients);
    void backward_attention(const float* parameters, std::size_t layer, sizes n,
                            const gradient_sums& gradients);
    /// y (rows, out) = x (rows, in) W (in, out); bias and flush as gemm's.
    void product(const float* x, const float* weight, const float* bias, bool flush, float* y,
                 std::size_t rows, std::size_t in, std::size_t out);
    /// Gradients of such a product: dW (in, out) and db (out) are added to, dx (rows, in) written.
    struct product_gradients {
        const float *x, *weight, *dy;
        float *dweight, *dbias, *dx;
        bool flush_dx;
    };
    void product_backward(const product_gradients& g, std::size_t rows, std::size_t in,
                          std::size_t out, bool first);

    gpt2_plan plan_;
    gpt2_tensors tensors_;
    const arena& memory_;
    std::span<std::byte> workspace_;
    executor& run_;
};

}  // namespace tequio::training
