#include <algorithm>
#include <cmath>
#include <string>

#include "training/model/gpt2.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/layernorm.hpp"

namespace tequio::training {
namespace {

std::uint64_t workspace_bytes(const model_config& m, std::uint64_t sequences, std::uint64_t rows,
                              unsigned threads) {
    const auto tokens = sequences * m.context;
    const auto d = m.width;
    std::uint64_t bytes = head_workspace_bytes(rows, d, m.vocabulary, threads);
    // gemm's need is monotonic in each size, so these bound every product and its two gradients.
    for (const numerics::gemm_shape shape :
         {numerics::gemm_shape{tokens, 4 * d, d}, numerics::gemm_shape{tokens, d, 4 * d},
          numerics::gemm_shape{4 * d, d, tokens}, numerics::gemm_shape{d, 4 * d, tokens}}) {
        bytes = std::max<std::uint64_t>(bytes, numerics::gemm_workspace_bytes(shape, threads));
    }
    bytes = std::max<std::uint64_t>(bytes, numerics::layernorm_workspace_bytes(tokens, d));
    bytes = std::max<std::uint64_t>(bytes, numerics::bias_gelu_workspace_bytes(tokens, 4 * d));
    const numerics::attention_shape attention{sequences, m.context, m.heads, d / m.heads};
    return std::max<std::uint64_t>(bytes, numerics::attention_workspace_bytes(attention, threads));
}

gpt2_layer_saved plan_layer(arena_plan& plan, const model_config& m, std::uint64_t tokens) {
    const auto wide = saturating_product({tokens, m.width});
    const auto rows_of_heads = saturating_product({tokens, m.heads});
    gpt2_layer_saved s;
    s.ln_1 = plan.floats(wide);
    s.ln_1_mean = plan.floats(tokens);
    s.ln_1_deviation = plan.floats(tokens);
    s.qkv = plan.floats(saturating_product({wide, 3}));
    s.row_max = plan.floats(rows_of_heads);
    s.inverse_sum = plan.floats(rows_of_heads);
    s.attention = plan.floats(wide);
    s.middle = plan.floats(wide);
    s.ln_2 = plan.floats(wide);
    s.ln_2_mean = plan.floats(tokens);
    s.ln_2_deviation = plan.floats(tokens);
    s.before_gelu = plan.floats(saturating_product({wide, 4}));
    s.after_gelu = plan.floats(saturating_product({wide, 4}));
    return s;
}

unsigned __int128 parameters_of(const model_config& m) {
    // Embeddings, per layer 12 d^2 weights and 13 d biases and norms, and a last norm; the head is
    // the embedding.
    const unsigned __int128 d = m.width;
    return (m.vocabulary + m.context) * d + m.layers * (12 * d * d + 13 * d) + 2 * d;
}

/// Names and shapes (in, out) as Conv1D has them: Hugging Face modeling_gpt2.py.
void tensors_of(const model_config& m, tensor_list& out) {
    const auto d = m.width;
    const double plain = 0.02;
    const double back = plain / std::sqrt(2.0 * static_cast<double>(m.layers));
    const auto linear = [&](const std::string& name, std::uint64_t in, std::uint64_t width,
                            double deviation) {
        out.drawn(name + ".weight", {in, width}, deviation);
        out.constant(name + ".bias", width, 0.0F);
    };
    out.drawn("transformer.wte.weight", {m.vocabulary, d}, plain);
    out.drawn("transformer.wpe.weight", {m.context, d}, plain);
    out.norm("transformer.ln_f", d);
    for (std::uint64_t i = 0; i < m.layers; ++i) {
        const auto h = "transformer.h." + std::to_string(i);
        out.norm(h + ".ln_1", d);
        linear(h + ".attn.c_attn", d, 3 * d, plain);
        linear(h + ".attn.c_proj", d, d, back);
        out.norm(h + ".ln_2", d);
        linear(h + ".mlp.c_fc", d, 4 * d, plain);
        linear(h + ".mlp.c_proj", 4 * d, d, back);
    }
}

std::unique_ptr<network_plan> plan_of(const model_config& model, const network_part& part,
                                      const batch_sizes& sizes, bool training, unsigned threads,
                                      arena_plan& plan) {
    return std::make_unique<gpt2_plan>(model, part, sizes, training, threads, plan);
}

std::uint64_t layer_of(const model_config& m, std::string_view name) {
    if (name == "transformer.wpe.weight") return 0;
    // wte goes with the head, to which it is tied.
    return number_after("transformer.h.", name).value_or(m.layers - 1);
}

}  // namespace

const model_family gpt2_family{"gpt2", parameters_of, tensors_of, plan_of, layer_of};

std::unique_ptr<network> gpt2_plan::build(const state_layout& layout, const arena& memory,
                                          executor& run) const {
    return std::make_unique<gpt2>(layout, *this, memory, run);
}

std::unique_ptr<stage_network> gpt2_plan::build_stage(const state_layout& layout,
                                                      const arena& memory, executor& run) const {
    return std::make_unique<gpt2>(layout, *this, memory, run);
}

gpt2_tensors gpt2_tensors_of(const state_layout& layout, const model_config& model,
                             const network_part& part) {
    const auto at = [&](const std::string& name) {
        return layout.tensor("transformer." + name).offset;
    };
    gpt2_tensors t;
    if (part.has_embedding()) t.ends.positions = at("wpe.weight");
    if (part.has_head(model)) {
        t.ends.table = t.ends.head = at("wte.weight");
        t.ln_f_weight = at("ln_f.weight");
        t.ln_f_bias = at("ln_f.bias");
    }
    for (std::uint64_t i = part.first; i < part.end; ++i) {
        const auto h = "h." + std::to_string(i) + ".";
        gpt2_layer_tensors l;
        l.ln_1_weight = at(h + "ln_1.weight");
        l.ln_1_bias = at(h + "ln_1.bias");
        l.c_attn_weight = at(h + "attn.c_attn.weight");
        l.c_attn_bias = at(h + "attn.c_attn.bias");
        l.attn_proj_weight = at(h + "attn.c_proj.weight");
        l.attn_proj_bias = at(h + "attn.c_proj.bias");
        l.ln_2_weight = at(h + "ln_2.weight");
        l.ln_2_bias = at(h + "ln_2.bias");
        l.c_fc_weight = at(h + "mlp.c_fc.weight");
        l.c_fc_bias = at(h + "mlp.c_fc.bias");
        l.mlp_proj_weight = at(h + "mlp.c_proj.weight");
        l.mlp_proj_bias = at(h + "mlp.c_proj.bias");
        t.layers.push_back(l);
    }
    return t;
}

gpt2_plan::gpt2_plan(const model_config& config, const network_part& of, const batch_sizes& sizes,
                     bool for_training, unsigned threads, arena_plan& plan)
    : decoder_buffers(config, of, sizes, for_training, plan) {
    for (std::uint64_t slot = 0; slot < part.in_flight; ++slot) {
        gpt2_saved s;
        s.layers = per_layer<gpt2_layer_saved>([&] { return plan_layer(plan, model, tokens()); });
        if (part.has_head(model)) {
            s.ln_f = plan.floats(wide());
            s.ln_f_mean = plan.floats(tokens());
            s.ln_f_deviation = plan.floats(tokens());
        }
        saved.push_back(std::move(s));
    }
    if (training) {
        d_hidden = plan.floats(saturating_product({wide(), 4}));
        d_qkv = plan.floats(saturating_product({wide(), 3}));
    }
    workspace = plan.bytes(workspace_bytes(model, sequences, head_rows, threads));
}

}  // namespace tequio::training
