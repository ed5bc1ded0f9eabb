#include "training/model/gpt2.hpp"

#include "training/numerics/attention.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training {

using numerics::gemm_form;

gpt2::gpt2(const state_layout& layout, const gpt2_plan& plan, const arena& memory, executor& run)
    : decoder(plan, gpt2_tensors_of(layout, plan.model, plan.part).ends, memory, run),
      plan_(plan),
      tensors_(gpt2_tensors_of(layout, plan.model, plan.part)) {}

void gpt2::product(const float* x, const float* weight, const float* bias, bool flush, float* y,
                   std::size_t rows, std::size_t in, std::size_t out) {
    const numerics::gemm_options options{
        .form = gemm_form::nn, .accumulate = false, .flush = flush, .bias = bias};
    run().note({"linear forward", 2 * rows * in * out, 0});
    numerics::gemm(options, {rows, out, in}, {x, in}, {weight, out}, {y, out}, workspace(), run());
}

void gpt2::product_backward(const product_gradients& g, std::size_t rows, std::size_t in,
                            std::size_t out, bool first) {
    const numerics::gemm_options to_weight{
        .form = gemm_form::tn, .accumulate = !first, .flush = false, .bias = nullptr};
    run().note({"linear to weight", 2 * rows * in * out, 0});
    numerics::gemm(to_weight, {in, out, rows}, {g.x, in}, {g.dy, out}, {g.dweight, out},
                   workspace(), run());
    const numerics::gemm_options to_input{
        .form = gemm_form::nt, .accumulate = false, .flush = g.flush_dx, .bias = nullptr};
    run().note({"linear to input", 2 * rows * in * out, 0});
    numerics::gemm(to_input, {rows, in, out}, {g.dy, out}, {g.weight, out}, {g.dx, in}, workspace(),
                   run());
}

gpt2::norm gpt2::norm_of(std::size_t index) const {
    if (index == 2 * saved().layers.size()) {
        return {tensors_.ln_f_weight, tensors_.ln_f_bias, at(saved().ln_f), at(saved().ln_f_mean),
                at(saved().ln_f_deviation)};
    }
    const auto& t = tensors_.layers[index / 2];
    const auto& s = layer_saved(index / 2);
    if (index % 2 == 0) {
        return {t.ln_1_weight, t.ln_1_bias, at(s.ln_1), at(s.ln_1_mean), at(s.ln_1_deviation)};
    }
    return {t.ln_2_weight, t.ln_2_bias, at(s.ln_2), at(s.ln_2_mean), at(s.ln_2_deviation)};
}

void gpt2::join_residual(const float* p, std::uint64_t bias, const float* residual, float* sum,
                         const norm& next, batch_shape n) {
    numerics::residual_layernorm_forward(at(plan_.product), p + bias, residual, sum,
                                         p + next.weight, p + next.bias, next.out, next.mean,
                                         next.deviation, n.tokens, plan_.model.width, run());
}

void gpt2::normalise(const float* p, const float* x, const norm& to, batch_shape n) {
    numerics::layernorm_forward(x, p + to.weight, p + to.bias, to.out, to.mean, to.deviation,
                                n.tokens, plan_.model.width, run());
}

void gpt2::end_at_cut(const float* p, std::size_t layer, batch_shape n) {
    const auto& s = layer_saved(layer);
    numerics::add_bias_residual(at(plan_.product), p + tensors_.layers[layer].mlp_proj_bias,
                                at(s.middle), layer_output(layer), n.tokens, plan_.model.width,
                                run());
    round(layer_output(layer), n);
    if (!is_last(layer)) normalise(p, layer_output(layer), norm_of(2 * layer + 2), n);
}

void gpt2::forward_attention(const float* p, std::size_t layer, batch_shape n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto d = plan_.model.width;
    const auto heads = plan_.model.heads;
    float* qkv = at(s.qkv);
    product(at(s.ln_1), p + t.c_attn_weight, p + t.c_attn_bias, true, qkv, n.tokens, d, 3 * d);
    numerics::attention_forward({n.sequences, n.time, heads, d / heads},
                                {qkv, qkv + d, qkv + 2 * d, 3 * d}, at(s.attention),
                                {at(s.row_max), at(s.inverse_sum)}, workspace(), run());
    product(at(s.attention), p + t.attn_proj_weight, nullptr, false, at(plan_.product), n.tokens, d,
            d);
    join_residual(p, t.attn_proj_bias, layer_input(layer), at(s.middle), norm_of(2 * layer + 1), n);
}

void gpt2::forward_mlp(const float* p, std::size_t layer, batch_shape n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto d = plan_.model.width;
    product(at(s.ln_2), p + t.c_fc_weight, nullptr, false, at(s.before_gelu), n.tokens, d, 4 * d);
    numerics::bias_gelu_forward(at(s.before_gelu), p + t.c_fc_bias, at(s.after_gelu), n.tokens,
                                4 * d, run());
    product(at(s.after_gelu), p + t.mlp_proj_weight, nullptr, false, at(plan_.product), n.tokens,
            4 * d, d);
    if (cut_before(layer + 1)) return end_at_cut(p, layer, n);
    join_residual(p, t.mlp_proj_bias, at(s.middle), layer_output(layer), norm_of(2 * layer + 2), n);
}

void gpt2::begin_layers(const float* p, batch_shape n) {
    normalise(p, layer_input(0), norm_of(0), n);
}

void gpt2::forward_layer(const float* p, std::size_t layer, batch_shape n) {
    forward_attention(p, layer, n);
    forward_mlp(p, layer, n);
}

void gpt2::norm_backward(const float* p, const norm& of, const float* x, bool residual,
                         std::optional<std::uint64_t> bias_before, batch_shape n,
                         const gradient_sums& gradients) {
    float* g = gradients.flat;
    float* dx = at(plan_.d_residual);
    numerics::layernorm_backward_and_sums(
        x, p + of.weight, of.mean, of.deviation, at(plan_.product), residual ? dx : nullptr, dx,
        {g + of.weight, g + of.bias, bias_before ? g + *bias_before : nullptr, !gradients.first},
        n.tokens, plan_.model.width, workspace(), run());
}

void gpt2::backward_mlp(const float* p, std::size_t layer, batch_shape n,
                        const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto d = plan_.model.width;
    float* g = gradients.flat;
    float* dh = at(plan_.d_hidden);
    product_backward({at(s.after_gelu), p + t.mlp_proj_weight, at(plan_.d_residual),
                      g + t.mlp_proj_weight, dh, false},
                     n.tokens, 4 * d, d, gradients.first);
    numerics::bias_gelu_backward(at(s.before_gelu), p + t.c_fc_bias,
                                 {dh, dh, g + t.c_fc_bias, !gradients.first}, n.tokens, 4 * d,
                                 workspace(), run());
    product_backward(
        {at(s.ln_2), p + t.c_fc_weight, dh, g + t.c_fc_weight, at(plan_.product), false}, n.tokens,
        d, 4 * d, gradients.first);
    norm_backward(p, norm_of(2 * layer + 1), at(s.middle), true, t.attn_proj_bias, n, gradients);
}

void gpt2::backward_attention(const float* p, std::size_t layer, batch_shape n,
                              const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto d = plan_.model.width;
    const auto heads = plan_.model.heads;
    float* g = gradients.flat;
    float* dy = at(plan_.product);
    // The attention kernel multiplies by this gradient, hence the flush.
    product_backward({at(s.attention), p + t.attn_proj_weight, at(plan_.d_residual),
                      g + t.attn_proj_weight, dy, true},
                     n.tokens, d, d, gradients.first);
    const float* qkv = at(s.qkv);
    float* dqkv = at(plan_.d_qkv);
    numerics::attention_backward({n.sequences, n.time, heads, d / heads},
                                 {qkv, qkv + d, qkv + 2 * d, 3 * d}, at(s.attention), dy,
                                 {at(s.row_max), at(s.inverse_sum)},
                                 {dqkv, dqkv + d, dqkv + 2 * d, 3 * d}, workspace(), run());
    numerics::column_sums({dqkv, 3 * d}, n.tokens, 3 * d, !gradients.first, g + t.c_attn_bias,
                          run());
    product_backward({at(s.ln_1), p + t.c_attn_weight, dqkv, g + t.c_attn_weight, dy, false},
                     n.tokens, d, 3 * d, gradients.first);
    std::optional<std::uint64_t> bias_before;
    const bool cut = cut_before(layer);
    if (layer > 0) bias_before = tensors_.layers[layer - 1].mlp_proj_bias;
    norm_backward(p, norm_of(2 * layer), layer_input(layer), true, cut ? std::nullopt : bias_before,
                  n, gradients);
    if (!cut) return;
    // Before the cut there is the rounded gradient only, and so are its sums.
    round(at(plan_.d_residual), n);
    if (bias_before) add_bias_gradient(*bias_before, n, gradients);
}

void gpt2::add_bias_gradient(std::uint64_t bias, batch_shape n, const gradient_sums& gradients) {
    const auto d = plan_.model.width;
    numerics::column_sums({at(plan_.d_residual), d}, n.tokens, d, !gradients.first,
                          gradients.flat + bias, run());
}

void gpt2::backward_last_norm(const float* p, batch_shape n, const gradient_sums& gradients) {
    norm_backward(p, last_norm(), layer_input(saved().layers.size()), false,
                  tensors_.layers.back().mlp_proj_bias, n, gradients);
}

void gpt2::begin_backward(batch_shape n, const gradient_sums& gradients) {
    add_bias_gradient(tensors_.layers.back().mlp_proj_bias, n, gradients);
}

void gpt2::backward_layer(const float* p, std::size_t layer, batch_shape n,
                          const gradient_sums& gradients) {
    backward_mlp(p, layer, n, gradients);
    backward_attention(p, layer, n, gradients);
}

}  // namespace tequio::training
