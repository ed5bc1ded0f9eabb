#include "tests/unit/training/llama_twin.hpp"

#include <cmath>

namespace tequio::training {
namespace {

using row = std::vector<double>;

row rms_norm(const row& x, const row& gain, double epsilon) {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double size = std::sqrt(squares / static_cast<double>(x.size()) + epsilon);
    row out(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) out[j] = x[j] / size * gain[j];
    return out;
}

/// W x with W (out, in).
row linear(const row& x, const row& weight) {
    row out(weight.size() / x.size(), 0.0);
    for (std::size_t o = 0; o < out.size(); ++o) {
        for (std::size_t i = 0; i < x.size(); ++i) out[o] += weight[o * x.size() + i] * x[i];
    }
    return out;
}

/// Turns each head of x by its position: element i with element i + size / 2.
void turn(row& x, std::size_t size, std::size_t position, double theta) {
    for (std::size_t head = 0; head < x.size(); head += size) {
        for (std::size_t i = 0; i < size / 2; ++i) {
            const double share = 2.0 * static_cast<double>(i) / static_cast<double>(size);
            const double angle = static_cast<double>(position) / std::pow(theta, share);
            double& a = x[head + i];
            double& b = x[head + i + size / 2];
            const double first = a * std::cos(angle) - b * std::sin(angle);
            b = b * std::cos(angle) + a * std::sin(angle);
            a = first;
        }
    }
}

/// Output of the heads for the query q over the keys and values so far.
row attend(const row& q, const std::vector<row>& keys, const std::vector<row>& values,
           const model_config& model) {
    const std::size_t size = model.width / model.heads;
    row out(model.width, 0.0);
    for (std::size_t h = 0; h < model.heads; ++h) {
        const std::size_t shared = h * model.kv_heads / model.heads * size;
        std::vector<double> weights;
        double total = 0;
        for (const auto& key : keys) {
            double score = 0;
            for (std::size_t c = 0; c < size; ++c) score += q[h * size + c] * key[shared + c];
            weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
            total += weights.back();
        }
        for (std::size_t j = 0; j < values.size(); ++j) {
            for (std::size_t c = 0; c < size; ++c) {
                out[h * size + c] += weights[j] / total * values[j][shared + c];
            }
        }
    }
    return out;
}

void add_to(row& x, const row& y) {
    for (std::size_t j = 0; j < x.size(); ++j) x[j] += y[j];
}

/// Residual stream of one sequence after all layers and the last norm.
std::vector<row> hidden(const model_config& model, const twin_parameters& p,
                        std::span<const std::uint32_t> tokens) {
    const auto& embedding = p.at("model.embed_tokens.weight");
    const std::size_t size = model.width / model.heads;
    std::vector<row> x;
    for (const auto token : tokens) {
        const auto* first = embedding.data() + token * model.width;
        x.emplace_back(first, first + model.width);
    }
    for (std::uint64_t layer = 0; layer < model.layers; ++layer) {
        const auto at = [&](const char* name) -> const row& {
            return p.at("model.layers." + std::to_string(layer) + "." + name + ".weight");
        };
        std::vector<row> keys, values;
        for (std::size_t t = 0; t < x.size(); ++t) {
            const auto n = rms_norm(x[t], at("input_layernorm"), model.norm_epsilon);
            auto q = linear(n, at("self_attn.q_proj"));
            keys.push_back(linear(n, at("self_attn.k_proj")));
            values.push_back(linear(n, at("self_attn.v_proj")));
            turn(q, size, t, model.rope_theta);
            turn(keys.back(), size, t, model.rope_theta);
            add_to(x[t], linear(attend(q, keys, values, model), at("self_attn.o_proj")));
        }
        for (auto& r : x) {
            const auto n = rms_norm(r, at("post_attention_layernorm"), model.norm_epsilon);
            auto gate = linear(n, at("mlp.gate_proj"));
            const auto up = linear(n, at("mlp.up_proj"));
            for (std::size_t j = 0; j < gate.size(); ++j) {
                gate[j] = gate[j] / (1.0 + std::exp(-gate[j])) * up[j];
            }
            add_to(r, linear(gate, at("mlp.down_proj")));
        }
    }
    for (auto& r : x) r = rms_norm(r, p.at("model.norm.weight"), model.norm_epsilon);
    return x;
}

}  // namespace

std::vector<double> llama_twin_losses(const model_config& model, const twin_parameters& parameters,
                                      std::span<const std::uint32_t> tokens,
                                      std::span<const std::uint32_t> targets, std::uint64_t time) {
    const auto& head = parameters.at(model.tied ? "model.embed_tokens.weight" : "lm_head.weight");
    std::vector<double> losses;
    for (std::size_t start = 0; start < tokens.size(); start += time) {
        const auto x = hidden(model, parameters, tokens.subspan(start, time));
        for (std::size_t t = 0; t < time; ++t) {
            double total = 0;
            const auto logits = linear(x[t], head);
            for (const double logit : logits) total += std::exp(logit);
            losses.push_back(std::log(total) - logits[targets[start + t]]);
        }
    }
    return losses;
}

}  // namespace tequio::training
