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

#include "training/executor.hpp"
#include "training/model/arena.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

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
struct gpt2_plan {
    gpt2_plan(const model_config& config, std::uint64_t at_most_sequences, bool for_training,
              unsigned threads, arena_plan& plan);

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
    arena_slice workspace;                    ///< of gemm and attention
};

/// Where a micro-batch adds its gradients.
struct gpt2_gradients {
    std::span<float> flat;           ///< (padded_size); wte's place takes the head's use of it
    std::span<float> embedding_use;  ///< (vocabulary, d), the embedding's use of wte
    bool first;  ///< of the step: sums start at +0 and the old contents do not matter
};

/// Tokens of some sequences and what should follow each.
struct gpt2_batch {
    std::span<const std::uint32_t> tokens;   ///< (n, time), each below the vocabulary
    std::span<const std::uint32_t> targets;  ///< (n, time), likewise
    std::uint64_t time;                      ///< at most the context
};

/// Runs the plan in an arena. Not thread-safe; all buffers belong to the arena, which outlives it.
class gpt2 {
public:
    gpt2(const state_layout& layout, gpt2_plan plan, const arena& memory, executor& run);

    /// Losses and gradients of one micro-batch. losses: (tokens), written. scale: 1 / counted
    /// tokens of the whole step. Weight gradients sum over tokens by the matrix rule with panels
    /// from the micro-batch's start: a micro-batch of a multiple of 256 tokens continues the sum of
    /// the one before exactly as if both were one.
    void train(std::span<const float> parameters, const gpt2_batch& batch, float scale,
               std::span<float> losses, const gpt2_gradients& gradients);
    /// Losses alone, by the same operations. losses: (tokens), written.
    void evaluate(std::span<const float> parameters, const gpt2_batch& batch,
                  std::span<float> losses);
    /// Logits that follow the last of `tokens` (one sequence). out: (vocabulary), written.
    void next_logits(std::span<const float> parameters, std::span<const std::uint32_t> tokens,
                     std::span<float> out);

private:
    struct sizes {
        std::size_t sequences, time, tokens;
    };
    sizes sizes_of(const gpt2_batch& batch) const;
    float* at(arena_slice slice) const { return memory_.floats(slice).data(); }
    const float* layer_input(std::size_t layer) const;
    void forward(const float* parameters, std::span<const std::uint32_t> tokens, sizes n);
    void forward_attention(const float* parameters, std::size_t layer, sizes n);
    void forward_mlp(const float* parameters, std::size_t layer, sizes n);
    void head(const float* parameters, const gpt2_batch& batch, float scale,
              std::span<float> losses, const gpt2_gradients* gradients);
    void backward_mlp(const float* parameters, std::size_t layer, sizes n,
                      const gpt2_gradients& gradients);
    void backward_attention(const float* parameters, std::size_t layer, sizes n,
                            const gpt2_gradients& gradients);
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
