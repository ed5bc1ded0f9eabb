#include "training/model/gpt2.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training {

using numerics::gemm_form;

gpt2::gpt2(const state_layout& layout, gpt2_plan plan, const arena& memory, executor& run)
    : plan_(std::move(plan)),
      tensors_(gpt2_tensors_of(layout, plan_.model.layers)),
      memory_(memory),
      workspace_(memory.bytes(plan_.workspace)),
      run_(run) {
    if (plan_.training) use_.emplace(plan_.use, memory);
}

batch_shape gpt2::shape(const batch_view& batch) const {
    return shape_of(batch, plan_.sequences, plan_.model.context);
}

head_operands gpt2::head(const float* p) const {
    return {at(plan_.ln_f),  p + tensors_.wte,  at(plan_.logits),
            plan_.head_rows, plan_.model.width, plan_.model.vocabulary};
}

const float* gpt2::layer_input(std::size_t layer) const {
    return at(layer == 0 ? plan_.embedded : plan_.layers[layer - 1].out);
}

void gpt2::product(const float* x, const float* weight, const float* bias, bool flush, float* y,
                   std::size_t rows, std::size_t in, std::size_t out) {
    const numerics::gemm_options options{
        .form = gemm_form::nn, .accumulate = false, .flush = flush, .bias = bias};
    run_.note({"linear forward", 2 * rows * in * out, 0});
    numerics::gemm(options, {rows, out, in}, {x, in}, {weight, out}, {y, out}, workspace_, run_);
}

void gpt2::product_backward(const product_gradients& g, std::size_t rows, std::size_t in,
                            std::size_t out, bool first) {
    const numerics::gemm_options to_weight{
        .form = gemm_form::tn, .accumulate = !first, .flush = false, .bias = nullptr};
    run_.note({"linear to weight", 2 * rows * in * out, 0});
    numerics::gemm(to_weight, {in, out, rows}, {g.x, in}, {g.dy, out}, {g.dweight, out}, workspace_,
                   run_);
    const numerics::gemm_options to_input{
        .form = gemm_form::nt, .accumulate = false, .flush = g.flush_dx, .bias = nullptr};
    run_.note({"linear to input", 2 * rows * in * out, 0});
    numerics::gemm(to_input, {rows, in, out}, {g.dy, out}, {g.weight, out}, {g.dx, in}, workspace_,
                   run_);
}

gpt2::norm gpt2::norm_of(std::size_t index) const {
    if (index == 2 * plan_.layers.size()) {
        return {tensors_.ln_f_weight, tensors_.ln_f_bias, at(plan_.ln_f), at(plan_.ln_f_mean),
                at(plan_.ln_f_deviation)};
    }
    const auto& t = tensors_.layers[index / 2];
    const auto& s = plan_.layers[index / 2];
    if (index % 2 == 0) {
        return {t.ln_1_weight, t.ln_1_bias, at(s.ln_1), at(s.ln_1_mean), at(s.ln_1_deviation)};
    }
    return {t.ln_2_weight, t.ln_2_bias, at(s.ln_2), at(s.ln_2_mean), at(s.ln_2_deviation)};
}

void gpt2::join_residual(const float* p, std::uint64_t bias, const float* residual, float* sum,
                         const norm& next, batch_shape n) {
    numerics::residual_layernorm_forward(at(plan_.product), p + bias, residual, sum,
                                         p + next.weight, p + next.bias, next.out, next.mean,
                                         next.deviation, n.tokens, plan_.model.width, run_);
}

void gpt2::forward_attention(const float* p, std::size_t layer, batch_shape n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    const auto heads = plan_.model.heads;
    float* qkv = at(s.qkv);
    product(at(s.ln_1), p + t.c_attn_weight, p + t.c_attn_bias, true, qkv, n.tokens, d, 3 * d);
    numerics::attention_forward({n.sequences, n.time, heads, d / heads},
                                {qkv, qkv + d, qkv + 2 * d, 3 * d}, at(s.attention),
                                {at(s.row_max), at(s.inverse_sum)}, workspace_, run_);
    product(at(s.attention), p + t.attn_proj_weight, nullptr, false, at(plan_.product), n.tokens, d,
            d);
    join_residual(p, t.attn_proj_bias, layer_input(layer), at(s.middle), norm_of(2 * layer + 1), n);
}

void gpt2::forward_mlp(const float* p, std::size_t layer, batch_shape n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    product(at(s.ln_2), p + t.c_fc_weight, nullptr, false, at(s.before_gelu), n.tokens, d, 4 * d);
    numerics::bias_gelu_forward(at(s.before_gelu), p + t.c_fc_bias, at(s.after_gelu), n.tokens,
                                4 * d, run_);
    product(at(s.after_gelu), p + t.mlp_proj_weight, nullptr, false, at(plan_.product), n.tokens,
            4 * d, d);
    join_residual(p, t.mlp_proj_bias, at(s.middle), at(s.out), norm_of(2 * layer + 2), n);
}

void gpt2::forward(const float* p, std::span<const std::uint32_t> tokens, batch_shape n) {
    const auto d = plan_.model.width;
    numerics::embed(tokens, n.time, p + tensors_.wte, p + tensors_.wpe, at(plan_.embedded), d,
                    run_);
    const norm first = norm_of(0);
    numerics::layernorm_forward(at(plan_.embedded), p + first.weight, p + first.bias, first.out,
                                first.mean, first.deviation, n.tokens, d, run_);
    for (std::size_t layer = 0; layer < plan_.layers.size(); ++layer) {
        forward_attention(p, layer, n);
        forward_mlp(p, layer, n);
    }
}

void gpt2::norm_backward(const float* p, const norm& of, const float* x, bool residual,
                         std::optional<std::uint64_t> bias_before, batch_shape n,
                         const gradient_sums& gradients) {
    float* g = gradients.flat;
    float* dx = at(plan_.d_residual);
    numerics::layernorm_backward_and_sums(
        x, p + of.weight, of.mean, of.deviation, at(plan_.product), residual ? dx : nullptr, dx,
        {g + of.weight, g + of.bias, bias_before ? g + *bias_before : nullptr, !gradients.first},
        n.tokens, plan_.model.width, workspace_, run_);
}

void gpt2::backward_mlp(const float* p, std::size_t layer, batch_shape n,
                        const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    float* g = gradients.flat;
    float* dh = at(plan_.d_hidden);
    product_backward({at(s.after_gelu), p + t.mlp_proj_weight, at(plan_.d_residual),
                      g + t.mlp_proj_weight, dh, false},
                     n.tokens, 4 * d, d, gradients.first);
    numerics::bias_gelu_backward(at(s.before_gelu), p + t.c_fc_bias,
                                 {dh, dh, g + t.c_fc_bias, !gradients.first}, n.tokens, 4 * d,
                                 workspace_, run_);
    product_backward(
        {at(s.ln_2), p + t.c_fc_weight, dh, g + t.c_fc_weight, at(plan_.product), false}, n.tokens,
        d, 4 * d, gradients.first);
    norm_backward(p, norm_of(2 * layer + 1), at(s.middle), true, t.attn_proj_bias, n, gradients);
}

void gpt2::backward_attention(const float* p, std::size_t layer, batch_shape n,
                              const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
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
                                 {dqkv, dqkv + d, dqkv + 2 * d, 3 * d}, workspace_, run_);
    numerics::column_sums({dqkv, 3 * d}, n.tokens, 3 * d, !gradients.first, g + t.c_attn_bias,
                          run_);
    product_backward({at(s.ln_1), p + t.c_attn_weight, dqkv, g + t.c_attn_weight, dy, false},
                     n.tokens, d, 3 * d, gradients.first);
    std::optional<std::uint64_t> bias_before;
    if (layer > 0) bias_before = tensors_.layers[layer - 1].mlp_proj_bias;
    norm_backward(p, norm_of(2 * layer), layer_input(layer), true, bias_before, n, gradients);
}

void gpt2::train(std::span<const float> parameters, const batch_view& batch, float scale,
                 std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    const auto n = shape(batch);
    const auto d = plan_.model.width;
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    forward(p, batch.tokens, n);
    const head_gradients to{at(plan_.product), flat.data() + tensors_.wte, first};
    head_losses(head(p), batch.targets, scale, losses, &to, workspace_, run_);
    const std::size_t layers = plan_.layers.size();
    norm_backward(p, norm_of(2 * layers), layer_input(layers), false,
                  tensors_.layers.back().mlp_proj_bias, n, gradients);
    for (std::size_t layer = layers; layer-- > 0;) {
        backward_mlp(p, layer, n, gradients);
        backward_attention(p, layer, n, gradients);
    }
    const std::span<float> dwpe(flat.data() + tensors_.wpe, plan_.model.context * d);
    if (first) {
        use_->clear();
        std::fill(dwpe.begin(), dwpe.end(), 0.0F);
    }
    const float* dx = at(plan_.d_residual);
    use_->add(batch.tokens, dx, run_);
    numerics::position_backward(dx, n.tokens, n.time, dwpe.data(), d, run_);
}

void gpt2::finish(std::span<float> gradients) {
    // The two uses of the tied embedding, added once, in forward order.
    use_->add_to(gradients.data() + tensors_.wte, run_);
}

void gpt2::evaluate(std::span<const float> parameters, const batch_view& batch,
                    std::span<float> losses) {
    forward(parameters.data(), batch.tokens, shape(batch));
    head_losses(head(parameters.data()), batch.targets, 1.0F, losses, nullptr, workspace_, run_);
}

void gpt2::next_logits(std::span<const float> parameters, const batch_view& batch,
                       std::span<float> out) {
    const auto n = shape(batch);
    forward(parameters.data(), batch.tokens, n);
    head_logits(head(parameters.data()), n.tokens - 1, out, workspace_, run_);
}

}  // namespace tequio::training
