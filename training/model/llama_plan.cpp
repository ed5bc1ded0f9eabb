#include <algorithm>
#include <cmath>
#include <string>

#include "training/model/llama.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/rmsnorm.hpp"

namespace tequio::training {
namespace {

std::uint64_t kv_width_of(const model_config& m) {
    return m.width / m.heads * m.kv_heads;
}

std::uint64_t workspace_bytes(const llama_plan& plan, unsigned threads) {
    const auto& m = plan.model;
    const auto tokens = plan.sequences * m.context;
    const auto d = m.width;
    // gemm's need is monotonic in each size, so these bound every product and its two gradients.
    const auto f = std::max(m.hidden, d);
    std::uint64_t bytes = head_workspace_bytes(plan.head_rows, d, m.vocabulary, threads);
    for (const numerics::gemm_shape shape :
         {numerics::gemm_shape{tokens, f, d}, numerics::gemm_shape{tokens, d, f},
          numerics::gemm_shape{f, d, tokens}, numerics::gemm_shape{d, f, tokens}}) {
        bytes = std::max<std::uint64_t>(bytes, numerics::gemm_workspace_bytes(shape, threads));
    }
    bytes = std::max<std::uint64_t>(bytes, numerics::rmsnorm_workspace_bytes(tokens, d));
    const numerics::attention_shape attention{plan.sequences, m.context, m.heads, plan.head_size,
                                              m.heads / m.kv_heads};
    return std::max<std::uint64_t>(bytes, numerics::attention_workspace_bytes(attention, threads));
}

llama_layer_saved plan_layer(arena_plan& plan, const model_config& m, std::uint64_t tokens) {
    const auto wide = saturating_product({tokens, m.width});
    const auto hidden = saturating_product({tokens, m.hidden});
    const auto rows_of_heads = saturating_product({tokens, m.heads});
    llama_layer_saved s;
    s.norm_1 = plan.floats(wide);
    s.norm_1_inverse = plan.floats(tokens);
    s.qkv = plan.floats(saturating_product({tokens, m.width + 2 * kv_width_of(m)}));
    s.row_max = plan.floats(rows_of_heads);
    s.inverse_sum = plan.floats(rows_of_heads);
    s.attention = plan.floats(wide);
    s.middle = plan.floats(wide);
    s.norm_2 = plan.floats(wide);
    s.norm_2_inverse = plan.floats(tokens);
    s.gate = plan.floats(hidden);
    s.up = plan.floats(hidden);
    s.gated = plan.floats(hidden);
    return s;
}

unsigned __int128 parameters_of(const model_config& m) {
    // Embedding and head; per layer the four projections of attention (two of them narrower where
    // heads share keys and values), three of the MLP and two norms; and a last norm.
    const unsigned __int128 d = m.width;
    const unsigned __int128 shared = m.heads == 0 ? 0 : kv_width_of(m);
    const unsigned __int128 layer = 2 * d * d + 2 * d * shared + 3 * d * m.hidden + 2 * d;
    return (m.tied ? 1 : 2) * m.vocabulary * d + m.layers * layer + d;
}

/// Names and shapes (out, in) as nn.Linear has them: Hugging Face modeling_llama.py.
void tensors_of(const model_config& m, tensor_list& out) {
    const auto d = m.width;
    const auto shared = kv_width_of(m);
    const double plain = 0.02;
    const double back = plain / std::sqrt(2.0 * static_cast<double>(m.layers));
    out.drawn("model.embed_tokens.weight", {m.vocabulary, d}, plain);
    out.constant("model.norm.weight", d, 1.0F);
    if (!m.tied) out.drawn("lm_head.weight", {m.vocabulary, d}, plain);
    for (std::uint64_t i = 0; i < m.layers; ++i) {
        const auto h = "model.layers." + std::to_string(i) + ".";
        out.constant(h + "input_layernorm.weight", d, 1.0F);
        out.constant(h + "post_attention_layernorm.weight", d, 1.0F);
        out.drawn(h + "self_attn.q_proj.weight", {d, d}, plain);
        out.drawn(h + "self_attn.k_proj.weight", {shared, d}, plain);
        out.drawn(h + "self_attn.v_proj.weight", {shared, d}, plain);
        out.drawn(h + "self_attn.o_proj.weight", {d, d}, back);
        out.drawn(h + "mlp.gate_proj.weight", {m.hidden, d}, plain);
        out.drawn(h + "mlp.up_proj.weight", {m.hidden, d}, plain);
        out.drawn(h + "mlp.down_proj.weight", {d, m.hidden}, back);
    }
}

std::unique_ptr<network_plan> plan_of(const model_config& model, const network_part& part,
                                      const batch_sizes& sizes, bool training, unsigned threads,
                                      arena_plan& plan) {
    return std::make_unique<llama_plan>(model, part, sizes, training, threads, plan);
}

std::uint64_t layer_of(const model_config& m, std::string_view name) {
    if (name == "model.embed_tokens.weight" && !m.tied) return 0;
    // A tied embedding goes with the head.
    return number_after("model.layers.", name).value_or(m.layers - 1);
}

}  // namespace

const model_family llama_family{"llama", parameters_of, tensors_of, plan_of, layer_of};

std::unique_ptr<network> llama_plan::build(const state_layout& layout, const arena& memory,
                                           executor& run) const {
    return std::make_unique<llama>(layout, *this, memory, run);
}

std::unique_ptr<stage_network> llama_plan::build_stage(const state_layout& layout,
                                                       const arena& memory, executor& run) const {
    return std::make_unique<llama>(layout, *this, memory, run);
}

llama_tensors llama_tensors_of(const state_layout& layout, const model_config& model,
                               const network_part& part) {
    const auto at = [&](const std::string& name) { return layout.tensor(name + ".weight").offset; };
    llama_tensors t;
    const bool head = part.has_head(model);
    if (model.tied ? head : part.has_embedding()) t.ends.table = at("model.embed_tokens");
    if (head) {
        t.norm = at("model.norm");
        t.ends.head = model.tied ? t.ends.table : at("lm_head");
    }
    for (std::uint64_t i = part.first; i < part.end; ++i) {
        const auto h = "model.layers." + std::to_string(i) + ".";
        llama_layer_tensors l;
        l.input_norm = at(h + "input_layernorm");
        l.q_proj = at(h + "self_attn.q_proj");
        l.k_proj = at(h + "self_attn.k_proj");
        l.v_proj = at(h + "self_attn.v_proj");
        l.o_proj = at(h + "self_attn.o_proj");
        l.post_norm = at(h + "post_attention_layernorm");
        l.gate_proj = at(h + "mlp.gate_proj");
        l.up_proj = at(h + "mlp.up_proj");
        l.down_proj = at(h + "mlp.down_proj");
        t.layers.push_back(l);
    }
    return t;
}

llama_plan::llama_plan(const model_config& config, const network_part& of, const batch_sizes& sizes,
                       bool for_training, unsigned threads, arena_plan& plan)
    : decoder_buffers(config, of, sizes, for_training, plan),
      head_size(config.width / config.heads),
      kv_width(kv_width_of(config)) {
    cosine = plan.floats(saturating_product({model.context, head_size / 2}));
    sine = plan.floats(saturating_product({model.context, head_size / 2}));
    for (std::uint64_t slot = 0; slot < part.in_flight; ++slot) {
        llama_saved s;
        s.layers = per_layer<llama_layer_saved>([&] { return plan_layer(plan, model, tokens()); });
        if (part.has_head(model)) {
            s.norm = plan.floats(wide());
            s.norm_inverse = plan.floats(tokens());
        }
        saved.push_back(std::move(s));
    }
    if (training) {
        d_gated = plan.floats(saturating_product({tokens(), model.hidden}));
        d_qkv = plan.floats(saturating_product({tokens(), model.width + 2 * kv_width}));
    }
    workspace = plan.bytes(workspace_bytes(*this, threads));
}

}  // namespace tequio::training
