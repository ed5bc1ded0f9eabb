#include "training/model/gpt2.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/cross_entropy.hpp"
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
      tensors_(gpt2_tensors_of(layout, plan_.model.layers)),
      memory_(memory),
      workspace_(memory.bytes(plan_.workspace)),
      run_(run) {}

gpt2::sizes gpt2::sizes_of(const batch_view& batch) const {
    const auto tokens = batch.tokens.size();
    base::ensure(batch.time > 0 && batch.time <= plan_.model.context && tokens % batch.time == 0 &&
                     tokens <= plan_.sequences * plan_.model.context,
                 "a batch fits the plan");
    return {tokens / batch.time, batch.time, tokens};
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
    numerics::column_sums({g.dy, out}, rows, out, !first, g.dbias, run_);
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

void gpt2::forward_attention(const float* p, std::size_t layer, sizes n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    const auto heads = plan_.model.heads;
    const float* x = layer_input(layer);
    numerics::layernorm_forward(x, p + t.ln_1_weight, p + t.ln_1_bias, at(s.ln_1), at(s.ln_1_mean),
                                at(s.ln_1_deviation), n.tokens, d, run_);
    float* qkv = at(s.qkv);
    product(at(s.ln_1), p + t.c_attn_weight, p + t.c_attn_bias, true, qkv, n.tokens, d, 3 * d);
    numerics::attention_forward({n.sequences, n.time, heads, d / heads},
                                {qkv, qkv + d, qkv + 2 * d, 3 * d}, at(s.attention),
                                {at(s.row_max), at(s.inverse_sum)}, workspace_, run_);
    product(at(s.attention), p + t.attn_proj_weight, nullptr, false, at(plan_.product), n.tokens, d,
            d);
    numerics::add_bias_residual(at(plan_.product), p + t.attn_proj_bias, x, at(s.middle), n.tokens,
                                d, run_);
}

void gpt2::forward_mlp(const float* p, std::size_t layer, sizes n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    numerics::layernorm_forward(at(s.middle), p + t.ln_2_weight, p + t.ln_2_bias, at(s.ln_2),
                                at(s.ln_2_mean), at(s.ln_2_deviation), n.tokens, d, run_);
    product(at(s.ln_2), p + t.c_fc_weight, nullptr, false, at(s.before_gelu), n.tokens, d, 4 * d);
    numerics::bias_gelu_forward(at(s.before_gelu), p + t.c_fc_bias, at(s.before_gelu),
                                at(s.after_gelu), n.tokens, 4 * d, run_);
    product(at(s.after_gelu), p + t.mlp_proj_weight, nullptr, false, at(plan_.product), n.tokens,
            4 * d, d);
    numerics::add_bias_residual(at(plan_.product), p + t.mlp_proj_bias, at(s.middle), at(s.out),
                                n.tokens, d, run_);
}

void gpt2::forward(const float* p, std::span<const std::uint32_t> tokens, sizes n) {
    const auto d = plan_.model.width;
    numerics::embed(tokens, n.time, p + tensors_.wte, p + tensors_.wpe, at(plan_.embedded), d,
                    run_);
    for (std::size_t layer = 0; layer < plan_.layers.size(); ++layer) {
        forward_attention(p, layer, n);
        forward_mlp(p, layer, n);
    }
    numerics::layernorm_forward(layer_input(plan_.layers.size()), p + tensors_.ln_f_weight,
                                p + tensors_.ln_f_bias, at(plan_.ln_f), at(plan_.ln_f_mean),
                                at(plan_.ln_f_deviation), n.tokens, d, run_);
}

void gpt2::head(const float* p, const batch_view& batch, float scale, std::span<float> losses,
                const gradient_sums* gradients) {
    const auto d = plan_.model.width;
    const auto v = plan_.model.vocabulary;
    const float* wte = p + tensors_.wte;
    float* logits = at(plan_.logits);
    const std::size_t tokens = batch.tokens.size();
    for (std::size_t row = 0; row < tokens; row += plan_.head_rows) {
        const auto rows = std::min<std::size_t>(plan_.head_rows, tokens - row);
        const float* x = at(plan_.ln_f) + row * d;
        run_.note({"head logits", 2 * rows * v * d, 0});
        numerics::gemm({.form = gemm_form::nt}, {rows, v, d}, {x, d}, {wte, d}, {logits, v},
                       workspace_, run_);
        numerics::cross_entropy(logits, v, batch.targets.subspan(row, rows), v, scale,
                                losses.data() + row, gradients != nullptr, run_);
        if (gradients == nullptr) continue;
        run_.note({"head to input", 2 * rows * v * d, 0});
        numerics::gemm({.form = gemm_form::nn}, {rows, d, v}, {logits, v}, {wte, d},
                       {at(plan_.product) + row * d, d}, workspace_, run_);
        const bool starts = gradients->first && row == 0;
        run_.note({"head to weight", 2 * rows * v * d, 0});
        numerics::gemm({.form = gemm_form::tn, .accumulate = !starts}, {v, d, rows}, {logits, v},
                       {x, d}, {gradients->flat + tensors_.wte, d}, workspace_, run_);
    }
}

void gpt2::backward_mlp(const float* p, std::size_t layer, sizes n,
                        const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    float* g = gradients.flat;
    float* dx = at(plan_.d_residual);
    float* dh = at(plan_.d_hidden);
    product_backward({at(s.after_gelu), p + t.mlp_proj_weight, dx, g + t.mlp_proj_weight,
                      g + t.mlp_proj_bias, dh, false},
                     n.tokens, 4 * d, d, gradients.first);
    numerics::gelu_backward(at(s.before_gelu), dh, dh, n.tokens * 4 * d, run_);
    float* dy = at(plan_.product);
    product_backward(
        {at(s.ln_2), p + t.c_fc_weight, dh, g + t.c_fc_weight, g + t.c_fc_bias, dy, false},
        n.tokens, d, 4 * d, gradients.first);
    numerics::layernorm_parameter_gradients(at(s.middle), at(s.ln_2_mean), at(s.ln_2_deviation), dy,
                                            g + t.ln_2_weight, g + t.ln_2_bias, n.tokens, d,
                                            !gradients.first, run_);
    numerics::layernorm_backward(at(s.middle), p + t.ln_2_weight, at(s.ln_2_mean),
                                 at(s.ln_2_deviation), dy, dx, dx, n.tokens, d, run_);
}

void gpt2::backward_attention(const float* p, std::size_t layer, sizes n,
                              const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = plan_.layers[layer];
    const auto d = plan_.model.width;
    const auto heads = plan_.model.heads;
    float* g = gradients.flat;
    float* dx = at(plan_.d_residual);
    float* dy = at(plan_.product);
    // The attention kernel multiplies by this gradient, hence the flush.
    product_backward({at(s.attention), p + t.attn_proj_weight, dx, g + t.attn_proj_weight,
                      g + t.attn_proj_bias, dy, true},
                     n.tokens, d, d, gradients.first);
    const float* qkv = at(s.qkv);
    float* dqkv = at(plan_.d_qkv);
    numerics::attention_backward({n.sequences, n.time, heads, d / heads},
                                 {qkv, qkv + d, qkv + 2 * d, 3 * d}, at(s.attention), dy,
                                 {at(s.row_max), at(s.inverse_sum)},
                                 {dqkv, dqkv + d, dqkv + 2 * d, 3 * d}, workspace_, run_);
    product_backward(
        {at(s.ln_1), p + t.c_attn_weight, dqkv, g + t.c_attn_weight, g + t.c_attn_bias, dy, false},
        n.tokens, d, 3 * d, gradients.first);
    const float* x = layer_input(layer);
    numerics::layernorm_parameter_gradients(x, at(s.ln_1_mean), at(s.ln_1_deviation), dy,
                                            g + t.ln_1_weight, g + t.ln_1_bias, n.tokens, d,
                                            !gradients.first, run_);
    numerics::layernorm_backward(x, p + t.ln_1_weight, at(s.ln_1_mean), at(s.ln_1_deviation), dy,
                                 dx, dx, n.tokens, d, run_);
}

void gpt2::train(std::span<const float> parameters, const batch_view& batch, float scale,
                 std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    const auto n = sizes_of(batch);
    const auto d = plan_.model.width;
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    float* g = flat.data();
    forward(p, batch.tokens, n);
    head(p, batch, scale, losses, &gradients);
    const float* x = layer_input(plan_.layers.size());
    const float* dy = at(plan_.product);
    float* dx = at(plan_.d_residual);
    numerics::layernorm_parameter_gradients(x, at(plan_.ln_f_mean), at(plan_.ln_f_deviation), dy,
                                            g + tensors_.ln_f_weight, g + tensors_.ln_f_bias,
                                            n.tokens, d, !gradients.first, run_);
    numerics::layernorm_backward(x, p + tensors_.ln_f_weight, at(plan_.ln_f_mean),
                                 at(plan_.ln_f_deviation), dy, nullptr, dx, n.tokens, d, run_);
    for (std::size_t layer = plan_.layers.size(); layer-- > 0;) {
        backward_mlp(p, layer, n, gradients);
        backward_attention(p, layer, n, gradients);
    }
    const std::span<float> dwpe(g + tensors_.wpe, plan_.model.context * d);
    const auto embedding_use = memory_.floats(plan_.embedding_use);
    if (first) {
        std::fill(embedding_use.begin(), embedding_use.end(), 0.0F);
        std::fill(dwpe.begin(), dwpe.end(), 0.0F);
    }
    numerics::embed_backward(batch.tokens, dx, embedding_use.data(), d, run_);
    numerics::position_backward(dx, n.tokens, n.time, dwpe.data(), d, run_);
}

void gpt2::finish(std::span<float> gradients) {
    // The two uses of the tied embedding, added once, in forward order.
    const auto embedding_use = memory_.floats(plan_.embedding_use);
    float* wte = gradients.data() + tensors_.wte;
    numerics::add(embedding_use.data(), wte, wte, embedding_use.size(), run_);
}

void gpt2::evaluate(std::span<const float> parameters, const batch_view& batch,
                    std::span<float> losses) {
    forward(parameters.data(), batch.tokens, sizes_of(batch));
    head(parameters.data(), batch, 1.0F, losses, nullptr);
}

void gpt2::next_logits(std::span<const float> parameters, const batch_view& batch,
                       std::span<float> out) {
    const auto n = sizes_of(batch);
    const auto d = plan_.model.width;
    const auto v = plan_.model.vocabulary;
    base::ensure(out.size() == v, "one logit a token of the vocabulary");
    forward(parameters.data(), batch.tokens, n);
    const float* last = at(plan_.ln_f) + (n.tokens - 1) * d;
    numerics::gemm({.form = gemm_form::nt}, {1, v, d}, {last, d},
                   {parameters.data() + tensors_.wte, d}, {out.data(), v}, workspace_, run_);
}

}  // namespace tequio::training
