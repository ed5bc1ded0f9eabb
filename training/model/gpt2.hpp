#pragma once

/// GPT-2: learned positions, pre-norm LayerNorm (eps 1e-5), tanh GELU, biases everywhere, output
/// head tied to the token embedding, no dropout. Forward and backward over the kernels of
/// training/numerics; this file fixes the order in which they are called, and so the bits.
///
/// Notation of shapes: n sequences of time tokens, tokens = n * time, sequence-major; d = width.
/// Source: Radford et al. 2019; Hugging Face modeling_gpt2.py.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "training/model/decoder.hpp"

namespace tequio::training {

/// Where one layer's tensors start in a flat array of the layout, in floats.
struct gpt2_layer_tensors {
    std::uint64_t ln_1_weight, ln_1_bias, c_attn_weight, c_attn_bias, attn_proj_weight,
        attn_proj_bias, ln_2_weight, ln_2_bias, c_fc_weight, c_fc_bias, mlp_proj_weight,
        mlp_proj_bias;
};

/// The same for the part's layers and ends. Of what the part does not have: not meant.
struct gpt2_tensors {
    decoder_tensors ends;  ///< wte, twice, and wpe
    std::uint64_t ln_f_weight = 0, ln_f_bias = 0;
    std::vector<gpt2_layer_tensors> layers;
};

/// `layout` is `layout_of_part`.
gpt2_tensors gpt2_tensors_of(const state_layout& layout, const model_config& model,
                             const network_part& part);

/// What one layer keeps of the forward pass for the backward pass.
struct gpt2_layer_saved {
    arena_slice ln_1, ln_1_mean, ln_1_deviation;  ///< (tokens, d), (tokens), (tokens)
    arena_slice qkv;                              ///< (tokens, 3 d)
    arena_slice row_max, inverse_sum;             ///< (n, heads, time)
    arena_slice attention;                        ///< (tokens, d), before the projection
    arena_slice middle;                           ///< (tokens, d), residual after attention
    arena_slice ln_2, ln_2_mean, ln_2_deviation;  ///< as ln_1
    arena_slice before_gelu, after_gelu;          ///< (tokens, 4 d); before without the bias
};

/// What a micro-batch keeps.
struct gpt2_saved {
    std::vector<gpt2_layer_saved> layers;
    arena_slice ln_f, ln_f_mean, ln_f_deviation;
};

struct gpt2_plan final : decoder_buffers, network_plan {
    gpt2_plan(const model_config& config, const network_part& of, const batch_sizes& sizes,
              bool for_training, unsigned threads, arena_plan& plan);
    std::unique_ptr<network> build(const state_layout& layout, const arena& memory,
                                   executor& run) const override;
    std::unique_ptr<stage_network> build_stage(const state_layout& layout, const arena& memory,
                                               executor& run) const override;

    std::vector<gpt2_saved> saved;  ///< (part.in_flight)
    arena_slice d_hidden, d_qkv;    ///< (tokens, 4 d), (tokens, 3 d)
};

class gpt2 final : public decoder {
public:
    gpt2(const state_layout& layout, const gpt2_plan& plan, const arena& memory, executor& run);

private:
    /// One of the norms: where its weights start in a flat array, and its buffers.
    struct norm {
        std::uint64_t weight, bias;
        float *out, *mean, *deviation;
    };
    const gpt2_saved& saved() const { return plan_.saved[slot()]; }
    const gpt2_layer_saved& layer_saved(std::size_t layer) const { return saved().layers[layer]; }
    /// In the order of the forward pass: ln_1 and ln_2 of layer i are 2 i and 2 i + 1, then ln_f.
    norm norm_of(std::size_t index) const;
    norm last_norm() const { return norm_of(2 * saved().layers.size()); }

    void begin_layers(const float* parameters, batch_shape n) override;
    void forward_layer(const float* parameters, std::size_t layer, batch_shape n) override;
    const float* head_input() const override { return at(saved().ln_f); }
    void backward_last_norm(const float* parameters, batch_shape n,
                            const gradient_sums& gradients) override;
    void begin_backward(batch_shape n, const gradient_sums& gradients) override;
    void backward_layer(const float* parameters, std::size_t layer, batch_shape n,
                        const gradient_sums& gradients) override;

    /// Ends a block: sum = residual + (product + bias), and its norm.
    void join_residual(const float* parameters, std::uint64_t bias, const float* residual,
                       float* sum, const norm& next, batch_shape n);
    void normalise(const float* parameters, const float* x, const norm& to, batch_shape n);
    /// The same at a cut: the sum is rounded, and its norm belongs to what follows.
    void end_at_cut(const float* parameters, std::size_t layer, batch_shape n);
    /// From the gradient by the norm's output (in `product`) to that by its input x (in
    /// `d_residual`, to which it is added if `residual`); and the gradient of the bias, if any, of
    /// the block that x comes from.
    void norm_backward(const float* parameters, const norm& of, const float* x, bool residual,
                       std::optional<std::uint64_t> bias_before, batch_shape n,
                       const gradient_sums& gradients);
    /// The gradient of a bias that was added just before `d_residual`.
    void add_bias_gradient(std::uint64_t bias, batch_shape n, const gradient_sums& gradients);
    void forward_attention(const float* parameters, std::size_t layer, batch_shape n);
    void forward_mlp(const float* parameters, std::size_t layer, batch_shape n);
    void backward_mlp(const float* parameters, std::size_t layer, batch_shape n,
                      const gradient_sums& gradients);
    void backward_attention(const float* parameters, std::size_t layer, batch_shape n,
                            const gradient_sums& gradients);
    /// y (rows, out) = x (rows, in) W (in, out); bias and flush as gemm's.
    void product(const float* x, const float* weight, const float* bias, bool flush, float* y,
                 std::size_t rows, std::size_t in, std::size_t out);
    /// Gradients of such a product: dW (in, out) is added to, dx (rows, in) written.
    struct product_gradients {
        const float *x, *weight, *dy;
        float *dweight, *dx;
        bool flush_dx;
    };
    void product_backward(const product_gradients& g, std::size_t rows, std::size_t in,
                          std::size_t out, bool first);

    gpt2_plan plan_;
    gpt2_tensors tensors_;
};

}  // namespace tequio::training
