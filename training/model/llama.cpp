#include "training/model/llama.hpp"

#include "training/numerics/attention.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/rmsnorm.hpp"
#include "training/numerics/rope.hpp"
#include "training/numerics/swiglu.hpp"

namespace tequio::training {

using numerics::gemm_form;

llama::llama(const state_layout& layout, const llama_plan& plan, const arena& memory, executor& run)
    : decoder(plan, llama_tensors_of(layout, plan.model, plan.part).ends, memory, run),
      plan_(plan),
      tensors_(llama_tensors_of(layout, plan.model, plan.part)) {
    numerics::fill_rope_table(plan_.model.context, plan_.head_size, plan_.model.rope_theta,
                              at(plan_.cosine), at(plan_.sine));
}

llama::norm_place llama::norm_of(std::size_t index) const {
    const auto layer = index / 2;
    if (layer == saved().layers.size()) {
        return {tensors_.norm, at(saved().norm), at(saved().norm_inverse)};
    }
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    return index % 2 == 0 ? norm_place{t.input_norm, at(s.norm_1), at(s.norm_1_inverse)}
                          : norm_place{t.post_norm, at(s.norm_2), at(s.norm_2_inverse)};
}

llama::token_rows llama::part_of(arena_slice qkv, int part) const {
    const auto d = plan_.model.width;
    const auto kd = plan_.kv_width;
    return {at(qkv) + (part == 0 ? 0 : part == 1 ? d : d + kd), d + 2 * kd};
}

llama::linear llama::projection(const llama_layer_tensors& t, int part) const {
    const auto d = plan_.model.width;
    const auto kd = plan_.kv_width;
    return part == 0   ? linear{t.q_proj, d, d}
           : part == 1 ? linear{t.k_proj, d, kd}
                       : linear{t.v_proj, d, kd};
}

void llama::turn(arena_slice qkv, batch_shape n, bool back) {
    const auto& m = plan_.model;
    const auto rows = part_of(qkv, 0);
    numerics::rope(
        {rows.data, rows.stride, n.tokens, n.time, m.heads + m.kv_heads, plan_.head_size},
        {at(plan_.cosine), at(plan_.sine)},
        back ? numerics::rope_turn::backward : numerics::rope_turn::forward, run());
}

void llama::apply(const float* p, const linear& w, const float* x, token_rows y, bool flush,
                  std::size_t tokens) {
    run().note({"linear forward", 2 * tokens * w.in * w.out, 0});
    numerics::gemm({.form = gemm_form::nt, .flush = flush}, {tokens, w.out, w.in}, {x, w.in},
                   {p + w.weight, w.in}, {y.data, y.stride}, workspace(), run());
}

void llama::add_weight_gradient(const gradient_sums& g, const linear& w, const float* x,
                                token_rows dy, std::size_t tokens) {
    run().note({"linear to weight", 2 * tokens * w.in * w.out, 0});
    numerics::gemm({.form = gemm_form::tn, .accumulate = !g.first}, {w.out, w.in, tokens},
                   {dy.data, dy.stride}, {x, w.in}, {g.flat + w.weight, w.in}, workspace(), run());
}

void llama::apply_back(const float* p, const linear& w, token_rows dy, float* dx, bool accumulate,
                       bool flush, std::size_t tokens) {
    run().note({"linear to input", 2 * tokens * w.in * w.out, 0});
    numerics::gemm({.form = gemm_form::nn, .accumulate = accumulate, .flush = flush},
                   {tokens, w.in, w.out}, {dy.data, dy.stride}, {p + w.weight, w.in}, {dx, w.in},
                   workspace(), run());
}

void llama::join_residual(const float* p, const float* residual, float* sum, const norm_place& next,
                          batch_shape n) {
    numerics::residual_rmsnorm_forward(at(plan_.product), residual, sum, p + next.gain,
                                       static_cast<float>(plan_.model.norm_epsilon), next.out,
                                       next.inverse, n.tokens, plan_.model.width, run());
}

void llama::norm_backward(const float* p, const norm_place& of, const float* x, bool last,
                          batch_shape n, const gradient_sums& gradients) {
    float* dx = at(plan_.d_residual);
    numerics::rmsnorm_backward({x, p + of.gain, of.inverse, at(plan_.product), last ? nullptr : dx,
                                n.tokens, plan_.model.width},
                               dx, gradients.flat + of.gain, !gradients.first, workspace(), run());
}

void llama::normalise(const float* p, const float* x, const norm_place& to, batch_shape n) {
    numerics::rmsnorm_forward(x, p + to.gain, static_cast<float>(plan_.model.norm_epsilon), to.out,
                              to.inverse, n.tokens, plan_.model.width, run());
}

void llama::end_at_cut(const float* p, std::size_t layer, batch_shape n) {
    const auto& s = layer_saved(layer);
    numerics::add(at(s.middle), at(plan_.product), layer_output(layer),
                  n.tokens * plan_.model.width, run());
    round(layer_output(layer), n);
    if (!is_last(layer)) normalise(p, layer_output(layer), norm_of(2 * layer + 2), n);
}

void llama::forward_attention(const float* p, std::size_t layer, batch_shape n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto& m = plan_.model;
    const auto d = m.width;
    // The rotation flushes queries and keys; values are an operand as they are.
    for (const int part : {0, 1, 2}) {
        apply(p, projection(t, part), at(s.norm_1), part_of(s.qkv, part), part == 2, n.tokens);
    }
    turn(s.qkv, n, false);
    const auto q = part_of(s.qkv, 0);
    numerics::attention_forward(
        {n.sequences, n.time, m.heads, plan_.head_size, m.heads / m.kv_heads},
        {q.data, part_of(s.qkv, 1).data, part_of(s.qkv, 2).data, q.stride}, at(s.attention),
        {at(s.row_max), at(s.inverse_sum)}, workspace(), run());
    apply(p, {t.o_proj, d, d}, at(s.attention), {at(plan_.product), d}, false, n.tokens);
    join_residual(p, layer_input(layer), at(s.middle), norm_of(2 * layer + 1), n);
}

void llama::forward_mlp(const float* p, std::size_t layer, batch_shape n) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto d = plan_.model.width;
    const auto f = plan_.model.hidden;
    apply(p, {t.gate_proj, d, f}, at(s.norm_2), {at(s.gate), f}, false, n.tokens);
    apply(p, {t.up_proj, d, f}, at(s.norm_2), {at(s.up), f}, false, n.tokens);
    numerics::swiglu_forward(at(s.gate), at(s.up), at(s.gated), n.tokens * f, run());
    apply(p, {t.down_proj, f, d}, at(s.gated), {at(plan_.product), d}, false, n.tokens);
    if (cut_before(layer + 1)) return end_at_cut(p, layer, n);
    join_residual(p, at(s.middle), layer_output(layer), norm_of(2 * layer + 2), n);
}

void llama::begin_layers(const float* p, batch_shape n) {
    normalise(p, layer_input(0), norm_of(0), n);
}

void llama::forward_layer(const float* p, std::size_t layer, batch_shape n) {
    forward_attention(p, layer, n);
    forward_mlp(p, layer, n);
}

void llama::backward_mlp(const float* p, std::size_t layer, batch_shape n,
                         const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto d = plan_.model.width;
    const auto f = plan_.model.hidden;
    float* dx = at(plan_.d_residual);
    float* dy = at(plan_.product);
    const linear down{t.down_proj, f, d};
    add_weight_gradient(gradients, down, at(s.gated), {dx, d}, n.tokens);
    apply_back(p, down, {dx, d}, at(plan_.d_gated), false, false, n.tokens);
    numerics::swiglu_backward(at(s.gate), at(s.up), at(plan_.d_gated), at(s.gate), at(s.up),
                              n.tokens * f, run());
    const linear gate{t.gate_proj, d, f};
    const linear up{t.up_proj, d, f};
    add_weight_gradient(gradients, gate, at(s.norm_2), {at(s.gate), f}, n.tokens);
    add_weight_gradient(gradients, up, at(s.norm_2), {at(s.up), f}, n.tokens);
    apply_back(p, gate, {at(s.gate), f}, dy, false, false, n.tokens);
    apply_back(p, up, {at(s.up), f}, dy, true, false, n.tokens);
    norm_backward(p, norm_of(2 * layer + 1), at(s.middle), false, n, gradients);
}

void llama::backward_attention(const float* p, std::size_t layer, batch_shape n,
                               const gradient_sums& gradients) {
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    const auto& m = plan_.model;
    const auto d = m.width;
    float* dx = at(plan_.d_residual);
    float* dy = at(plan_.product);
    const linear o{t.o_proj, d, d};
    add_weight_gradient(gradients, o, at(s.attention), {dx, d}, n.tokens);
    // The attention kernel multiplies by this gradient, hence the flush.
    apply_back(p, o, {dx, d}, dy, false, true, n.tokens);
    const auto q = part_of(s.qkv, 0);
    const auto dq = part_of(plan_.d_qkv, 0);
    numerics::attention_backward(
        {n.sequences, n.time, m.heads, plan_.head_size, m.heads / m.kv_heads},
        {q.data, part_of(s.qkv, 1).data, part_of(s.qkv, 2).data, q.stride}, at(s.attention), dy,
        {at(s.row_max), at(s.inverse_sum)},
        {dq.data, part_of(plan_.d_qkv, 1).data, part_of(plan_.d_qkv, 2).data, dq.stride},
        workspace(), run());
    turn(plan_.d_qkv, n, true);
    for (const int part : {0, 1, 2}) {
        const auto w = projection(t, part);
        const auto d_part = part_of(plan_.d_qkv, part);
        add_weight_gradient(gradients, w, at(s.norm_1), d_part, n.tokens);
        apply_back(p, w, d_part, dy, part > 0, false, n.tokens);
    }
    norm_backward(p, norm_of(2 * layer), layer_input(layer), false, n, gradients);
    if (cut_before(layer)) round(dx, n);
}

void llama::backward_last_norm(const float* p, batch_shape n, const gradient_sums& gradients) {
    const auto layers = saved().layers.size();
    norm_backward(p, norm_of(2 * layers), layer_input(layers), true, n, gradients);
}

void llama::backward_layer(const float* p, std::size_t layer, batch_shape n,
                           const gradient_sums& gradients) {
    backward_mlp(p, layer, n, gradients);
    backward_attention(p, layer, n, gradients);
}

}  // namespace tequio::training
