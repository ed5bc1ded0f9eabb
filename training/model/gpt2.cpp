#include "training/model/gpt2.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training {

using numerics::gemm_form;

gpt2::gpt2(const state_layout& layout, gpt2_plan plan, const arena& memory, executor& run)
    : plan_(std::move(plan)),
      tensors_(gpt2_tensors_of(layout, plan_.model, plan_.part)),
      memory_(memory),
      workspace_(memory.bytes(plan_.workspace)),
      saved_(&plan_.saved.front()),
      run_(run) {
    const auto& part = plan_.part;
    if (!plan_.training) return;
    if (!part.divided(plan_.model)) {
        use_.emplace(plan_.use, memory);
    } else if (part.has_embedding() || part.has_head(plan_.model)) {
        share_.emplace(plan_.share, memory);
    }
}

batch_shape gpt2::shape(const batch_view& batch) const {
    return shape_of(batch, plan_.sequences, plan_.model.context);
}

head_operands gpt2::head(const float* p) const {
    return {at(saved_->ln_f), p + tensors_.wte,  at(plan_.logits),
            plan_.head_rows,  plan_.model.width, plan_.model.vocabulary};
}

const float* gpt2::layer_input(std::size_t layer) const {
    return at(layer == 0 ? saved_->embedded : layer_saved(layer - 1).out);
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
    if (index == 2 * saved_->layers.size()) {
        return {tensors_.ln_f_weight, tensors_.ln_f_bias, at(saved_->ln_f), at(saved_->ln_f_mean),
                at(saved_->ln_f_deviation)};
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
                                         next.deviation, n.tokens, plan_.model.width, run_);
}

void gpt2::normalise(const float* p, const float* x, const norm& to, batch_shape n) {
    numerics::layernorm_forward(x, p + to.weight, p + to.bias, to.out, to.mean, to.deviation,
                                n.tokens, plan_.model.width, run_);
}

void gpt2::round(float* values, batch_shape n) {
    numerics::cut_round(plan_.part.format(), values, n.tokens, plan_.model.width, run_);
}

void gpt2::end_at_cut(const float* p, std::size_t layer, batch_shape n) {
    const auto& s = layer_saved(layer);
    numerics::add_bias_residual(at(plan_.product), p + tensors_.layers[layer].mlp_proj_bias,
                                at(s.middle), at(s.out), n.tokens, plan_.model.width, run_);
    round(at(s.out), n);
    if (layer + 1 < saved_->layers.size()) normalise(p, at(s.out), norm_of(2 * layer + 2), n);
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
                                {at(s.row_max), at(s.inverse_sum)}, workspace_, run_);
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
                                4 * d, run_);
    product(at(s.after_gelu), p + t.mlp_proj_weight, nullptr, false, at(plan_.product), n.tokens,
            4 * d, d);
    if (cut_before(layer + 1)) return end_at_cut(p, layer, n);
    join_residual(p, t.mlp_proj_bias, at(s.middle), at(s.out), norm_of(2 * layer + 2), n);
}

void gpt2::embed(const float* p, std::span<const std::uint32_t> tokens, batch_shape n) {
    const bool shared = share_.has_value();
    numerics::embed(shared ? share_->rows_of(tokens) : tokens, n.time,
                    shared ? share_->rows().data() : p + tensors_.wte, p + tensors_.wpe,
                    at(saved_->embedded), plan_.model.width, run_);
}

void gpt2::forward_layers(const float* p, batch_shape n) {
    normalise(p, at(saved_->embedded), norm_of(0), n);
    for (std::size_t layer = 0; layer < saved_->layers.size(); ++layer) {
        forward_attention(p, layer, n);
        forward_mlp(p, layer, n);
    }
}

void gpt2::forward(const float* p, std::span<const std::uint32_t> tokens, batch_shape n) {
    embed(p, tokens, n);
    forward_layers(p, n);
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
    const auto& s = layer_saved(layer);
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
                                 {dqkv, dqkv + d, dqkv + 2 * d, 3 * d}, workspace_, run_);
    numerics::column_sums({dqkv, 3 * d}, n.tokens, 3 * d, !gradients.first, g + t.c_attn_bias,
                          run_);
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
    if (bias_before) {
        numerics::column_sums({at(plan_.d_residual), d}, n.tokens, d, !gradients.first,
                              g + *bias_before, run_);
    }
}

void gpt2::backward_head(const float* p, const batch_view& batch, float scale,
                         std::span<float> losses, const gradient_sums& gradients) {
    const head_gradients to{at(plan_.product), gradients.flat + tensors_.wte, gradients.first};
    head_losses(head(p), batch.targets, scale, losses, &to, workspace_, run_);
    const auto layers = saved_->layers.size();
    norm_backward(p, norm_of(2 * layers), layer_input(layers), false,
                  tensors_.layers.back().mlp_proj_bias, shape(batch), gradients);
}

void gpt2::backward_layers(const float* p, batch_shape n, const gradient_sums& gradients) {
    for (std::size_t layer = saved_->layers.size(); layer-- > 0;) {
        backward_mlp(p, layer, n, gradients);
        backward_attention(p, layer, n, gradients);
    }
}

void gpt2::backward_embedding(std::span<const std::uint32_t> tokens, batch_shape n,
                              const gradient_sums& gradients) {
    const auto d = plan_.model.width;
    const std::span<float> dwpe(gradients.flat + tensors_.wpe, plan_.model.context * d);
    if (gradients.first) {
        if (use_) use_->clear();
        std::fill(dwpe.begin(), dwpe.end(), 0.0F);
    }
    const float* dx = at(plan_.d_residual);
    if (use_) use_->add(tokens, dx, run_);
    if (share_) share_->add(tokens, dx, run_);
    numerics::position_backward(dx, n.tokens, n.time, dwpe.data(), d, run_);
}

void gpt2::train(std::span<const float> parameters, const batch_view& batch, float scale,
                 std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    const auto n = shape(batch);
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    forward(p, batch.tokens, n);
    backward_head(p, batch, scale, losses, gradients);
    backward_layers(p, n, gradients);
    backward_embedding(batch.tokens, n, gradients);
}

void gpt2::forward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                   std::span<const float> in) {
    saved_ = &plan_.saved[slot];
    const auto n = shape(batch);
    if (plan_.part.has_embedding()) return forward(parameters.data(), batch.tokens, n);
    base::ensure(in.size() == n.tokens * plan_.model.width, "activations of one micro-batch");
    std::copy(in.begin(), in.end(), at(saved_->embedded));
    forward_layers(parameters.data(), n);
}

std::span<const float> gpt2::activations(const batch_view& batch, std::uint64_t slot) {
    if (plan_.part.has_head(plan_.model)) return {};
    return memory_.floats(plan_.saved[slot].layers.back().out)
        .first(shape(batch).tokens * plan_.model.width);
}

void gpt2::losses(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                  std::span<float> losses) {
    saved_ = &plan_.saved[slot];
    head_losses(head(parameters.data()), batch.targets, 1.0F, losses, nullptr, workspace_, run_);
}

void gpt2::backward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                    std::span<const float> d_out, float scale, std::span<float> losses,
                    std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    saved_ = &plan_.saved[slot];
    const auto n = shape(batch);
    const auto d = plan_.model.width;
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    if (plan_.part.has_head(plan_.model)) {
        backward_head(p, batch, scale, losses, gradients);
    } else {
        base::ensure(d_out.size() == n.tokens * d, "gradients of one micro-batch");
        std::copy(d_out.begin(), d_out.end(), at(plan_.d_residual));
        numerics::column_sums({at(plan_.d_residual), d}, n.tokens, d, !first,
                              flat.data() + tensors_.layers.back().mlp_proj_bias, run_);
    }
    backward_layers(p, n, gradients);
    if (plan_.part.has_embedding()) backward_embedding(batch.tokens, n, gradients);
}

std::span<const float> gpt2::gradients_back(const batch_view& batch) {
    if (plan_.part.has_embedding()) return {};
    return memory_.floats(plan_.d_residual).first(shape(batch).tokens * plan_.model.width);
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
