#include "training/model/llama.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/rmsnorm.hpp"
#include "training/numerics/rope.hpp"
#include "training/numerics/swiglu.hpp"

namespace tequio::training {

using numerics::gemm_form;

llama::llama(const state_layout& layout, llama_plan plan, const arena& memory, executor& run)
    : plan_(std::move(plan)),
      tensors_(llama_tensors_of(layout, plan_.model, plan_.part)),
      memory_(memory),
      workspace_(memory.bytes(plan_.workspace)),
      saved_(&plan_.saved.front()),
      run_(run) {
    numerics::fill_rope_table(plan_.model.context, plan_.head_size, plan_.model.rope_theta,
                              at(plan_.cosine), at(plan_.sine));
    const auto& part = plan_.part;
    if (!plan_.training || !plan_.model.tied) return;
    if (!part.divided(plan_.model)) {
        use_.emplace(plan_.use, memory);
    } else if (part.has_embedding() || part.has_head(plan_.model)) {
        share_.emplace(plan_.share, memory);
    }
}

batch_shape llama::shape(const batch_view& batch) const {
    return shape_of(batch, plan_.sequences, plan_.model.context);
}

const float* llama::layer_input(std::size_t layer) const {
    return at(layer == 0 ? saved_->embedded : layer_saved(layer - 1).out);
}

llama::norm_place llama::norm_of(std::size_t index) const {
    const auto layer = index / 2;
    if (layer == saved_->layers.size()) {
        return {tensors_.norm, at(saved_->norm), at(saved_->norm_inverse)};
    }
    const auto& t = tensors_.layers[layer];
    const auto& s = layer_saved(layer);
    return index % 2 == 0 ? norm_place{t.input_norm, at(s.norm_1), at(s.norm_1_inverse)}
                          : norm_place{t.post_norm, at(s.norm_2), at(s.norm_2_inverse)};
}

head_operands llama::head(const float* p) const {
    return {at(saved_->norm), p + tensors_.head, at(plan_.logits),
            plan_.head_rows,  plan_.model.width, plan_.model.vocabulary};
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
        back ? numerics::rope_turn::backward : numerics::rope_turn::forward, run_);
}

void llama::apply(const float* p, const linear& w, const float* x, token_rows y, bool flush,
                  std::size_t tokens) {
    run_.note({"linear forward", 2 * tokens * w.in * w.out, 0});
    numerics::gemm({.form = gemm_form::nt, .flush = flush}, {tokens, w.out, w.in}, {x, w.in},
                   {p + w.weight, w.in}, {y.data, y.stride}, workspace_, run_);
}

void llama::add_weight_gradient(const gradient_sums& g, const linear& w, const float* x,
                                token_rows dy, std::size_t tokens) {
    run_.note({"linear to weight", 2 * tokens * w.in * w.out, 0});
    numerics::gemm({.form = gemm_form::tn, .accumulate = !g.first}, {w.out, w.in, tokens},
                   {dy.data, dy.stride}, {x, w.in}, {g.flat + w.weight, w.in}, workspace_, run_);
}

void llama::apply_back(const float* p, const linear& w, token_rows dy, float* dx, bool accumulate,
                       bool flush, std::size_t tokens) {
    run_.note({"linear to input", 2 * tokens * w.in * w.out, 0});
    numerics::gemm({.form = gemm_form::nn, .accumulate = accumulate, .flush = flush},
                   {tokens, w.in, w.out}, {dy.data, dy.stride}, {p + w.weight, w.in}, {dx, w.in},
                   workspace_, run_);
}

void llama::join_residual(const float* p, const float* residual, float* sum, const norm_place& next,
                          batch_shape n) {
    numerics::residual_rmsnorm_forward(at(plan_.product), residual, sum, p + next.gain,
                                       static_cast<float>(plan_.model.norm_epsilon), next.out,
                                       next.inverse, n.tokens, plan_.model.width, run_);
}

void llama::norm_backward(const float* p, const norm_place& of, const float* x, bool last,
                          batch_shape n, const gradient_sums& gradients) {
    float* dx = at(plan_.d_residual);
    numerics::rmsnorm_backward({x, p + of.gain, of.inverse, at(plan_.product), last ? nullptr : dx,
                                n.tokens, plan_.model.width},
                               dx, gradients.flat + of.gain, !gradients.first, workspace_, run_);
}

void llama::normalise(const float* p, const float* x, const norm_place& to, batch_shape n) {
    numerics::rmsnorm_forward(x, p + to.gain, static_cast<float>(plan_.model.norm_epsilon), to.out,
                              to.inverse, n.tokens, plan_.model.width, run_);
}

void llama::round(float* values, batch_shape n) {
    numerics::cut_round(plan_.part.format(), values, n.tokens, plan_.model.width, run_);
}

void llama::end_at_cut(const float* p, std::size_t layer, batch_shape n) {
    const auto& s = layer_saved(layer);
    numerics::add(at(s.middle), at(plan_.product), at(s.out), n.tokens * plan_.model.width, run_);
    round(at(s.out), n);
    if (layer + 1 < saved_->layers.size()) normalise(p, at(s.out), norm_of(2 * layer + 2), n);
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
        {at(s.row_max), at(s.inverse_sum)}, workspace_, run_);
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
    numerics::swiglu_forward(at(s.gate), at(s.up), at(s.gated), n.tokens * f, run_);
    apply(p, {t.down_proj, f, d}, at(s.gated), {at(plan_.product), d}, false, n.tokens);
    if (cut_before(layer + 1)) return end_at_cut(p, layer, n);
    join_residual(p, at(s.middle), at(s.out), norm_of(2 * layer + 2), n);
}

void llama::embed(const float* p, std::span<const std::uint32_t> tokens, batch_shape n) {
    const bool shared = share_.has_value();
    numerics::embed(shared ? share_->rows_of(tokens) : tokens, n.time,
                    shared ? share_->rows().data() : p + tensors_.embedding, nullptr,
                    at(saved_->embedded), plan_.model.width, run_);
}

void llama::forward_layers(const float* p, batch_shape n) {
    normalise(p, at(saved_->embedded), norm_of(0), n);
    for (std::size_t layer = 0; layer < saved_->layers.size(); ++layer) {
        forward_attention(p, layer, n);
        forward_mlp(p, layer, n);
    }
}

void llama::forward(const float* p, std::span<const std::uint32_t> tokens, batch_shape n) {
    embed(p, tokens, n);
    forward_layers(p, n);
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
                              n.tokens * f, run_);
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
        workspace_, run_);
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

void llama::backward_embedding(std::span<const std::uint32_t> tokens,
                               const gradient_sums& gradients) {
    const float* dx = at(plan_.d_residual);
    if (use_) {
        if (gradients.first) use_->clear();
        return use_->add(tokens, dx, run_);
    }
    if (share_) return share_->add(tokens, dx, run_);
    const auto& m = plan_.model;
    const std::span<float> table(gradients.flat + tensors_.embedding, m.vocabulary * m.width);
    if (gradients.first) std::fill(table.begin(), table.end(), 0.0F);
    numerics::embed_backward(tokens, dx, table.data(), m.width, run_);
}

void llama::backward_head(const float* p, const batch_view& batch, float scale,
                          std::span<float> losses, const gradient_sums& gradients) {
    const head_gradients to{at(plan_.product), gradients.flat + tensors_.head, gradients.first};
    head_losses(head(p), batch.targets, scale, losses, &to, workspace_, run_);
    const auto layers = saved_->layers.size();
    norm_backward(p, norm_of(2 * layers), layer_input(layers), true, shape(batch), gradients);
}

void llama::backward_layers(const float* p, batch_shape n, const gradient_sums& gradients) {
    for (std::size_t layer = saved_->layers.size(); layer-- > 0;) {
        backward_mlp(p, layer, n, gradients);
        backward_attention(p, layer, n, gradients);
    }
}

void llama::train(std::span<const float> parameters, const batch_view& batch, float scale,
                  std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    const auto n = shape(batch);
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    forward(p, batch.tokens, n);
    backward_head(p, batch, scale, losses, gradients);
    backward_layers(p, n, gradients);
    backward_embedding(batch.tokens, gradients);
}

void llama::forward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                    std::span<const float> in) {
    saved_ = &plan_.saved[slot];
    const auto n = shape(batch);
    if (plan_.part.has_embedding()) return forward(parameters.data(), batch.tokens, n);
    base::ensure(in.size() == n.tokens * plan_.model.width, "activations of one micro-batch");
    std::copy(in.begin(), in.end(), at(saved_->embedded));
    forward_layers(parameters.data(), n);
}

std::span<const float> llama::activations(const batch_view& batch, std::uint64_t slot) {
    if (plan_.part.has_head(plan_.model)) return {};
    return memory_.floats(plan_.saved[slot].layers.back().out)
        .first(shape(batch).tokens * plan_.model.width);
}

void llama::losses(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                   std::span<float> losses) {
    saved_ = &plan_.saved[slot];
    head_losses(head(parameters.data()), batch.targets, 1.0F, losses, nullptr, workspace_, run_);
}

void llama::backward(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                     std::span<const float> d_out, float scale, std::span<float> losses,
                     std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    saved_ = &plan_.saved[slot];
    const auto n = shape(batch);
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    if (plan_.part.has_head(plan_.model)) {
        backward_head(p, batch, scale, losses, gradients);
    } else {
        base::ensure(d_out.size() == n.tokens * plan_.model.width, "gradients of one micro-batch");
        std::copy(d_out.begin(), d_out.end(), at(plan_.d_residual));
    }
    backward_layers(p, n, gradients);
    if (plan_.part.has_embedding()) backward_embedding(batch.tokens, gradients);
}

std::span<const float> llama::gradients_back(const batch_view& batch) {
    if (plan_.part.has_embedding()) return {};
    return memory_.floats(plan_.d_residual).first(shape(batch).tokens * plan_.model.width);
}

void llama::finish(std::span<float> gradients) {
    // The two uses of a tied embedding, added once, in forward order.
    if (use_) use_->add_to(gradients.data() + tensors_.embedding, run_);
}

void llama::evaluate(std::span<const float> parameters, const batch_view& batch,
                     std::span<float> losses) {
    forward(parameters.data(), batch.tokens, shape(batch));
    head_losses(head(parameters.data()), batch.targets, 1.0F, losses, nullptr, workspace_, run_);
}

void llama::next_logits(std::span<const float> parameters, const batch_view& batch,
                        std::span<float> out) {
    const auto n = shape(batch);
    forward(parameters.data(), batch.tokens, n);
    head_logits(head(parameters.data()), n.tokens - 1, out, workspace_, run_);
}

}  // namespace tequio::training
