#include "tests/unit/training/gpt2_twin.hpp"

#include <cmath>
#include <numbers>

namespace tequio::training {
namespace {

using row = std::vector<double>;

row layer_norm(const row& x, const row& gain, const row& offset) {
    double mean = 0, variance = 0;
    for (const double v : x) mean += v;
    mean /= static_cast<double>(x.size());
    for (const double v : x) variance += (v - mean) * (v - mean);
    variance /= static_cast<double>(x.size());
    row out(x.size());
    for (std::size_t j = 0; j < x.size(); ++j) {
        out[j] = (x[j] - mean) / std::sqrt(variance + 1e-5) * gain[j] + offset[j];
    }
    return out;
}

/// x W + b with W (in, out).
row linear(const row& x, const row& weight, const row& bias) {
    row out = bias;
    for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t j = 0; j < out.size(); ++j) out[j] += x[i] * weight[i * out.size() + j];
    }
    return out;
}

double gelu(double x) {
    const double u = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1.0 + std::tanh(u));
}

/// Output of the heads at the last of `qkv`, each (3 * width).
row attend(const std::vector<row>& qkv, std::size_t heads) {
    const std::size_t width = qkv.back().size() / 3;
    const std::size_t size = width / heads;
    row out(width, 0.0);
    for (std::size_t h = 0; h < heads; ++h) {
        std::vector<double> weights;
        double total = 0;
        for (const auto& other : qkv) {
            double score = 0;
            for (std::size_t c = h * size; c < (h + 1) * size; ++c) {
                score += qkv.back()[c] * other[width + c];
            }
            weights.push_back(std::exp(score / std::sqrt(static_cast<double>(size))));
            total += weights.back();
        }
        for (std::size_t j = 0; j < qkv.size(); ++j) {
            for (std::size_t c = h * size; c < (h + 1) * size; ++c) {
                out[c] += weights[j] / total * qkv[j][2 * width + c];
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
    const auto& wte = p.at("transformer.wte.weight");
    const auto& wpe = p.at("transformer.wpe.weight");
    std::vector<row> x;
    for (std::size_t t = 0; t < tokens.size(); ++t) {
        row r(model.width);
        for (std::size_t j = 0; j < r.size(); ++j) {
            r[j] = wte[tokens[t] * model.width + j] + wpe[t * model.width + j];
        }
        x.push_back(r);
    }
    for (std::uint64_t layer = 0; layer < model.layers; ++layer) {
        const auto at = [&](const char* name) -> const row& {
            return p.at("transformer.h." + std::to_string(layer) + "." + name);
        };
        std::vector<row> qkv;
        for (auto& r : x) {
            const auto n = layer_norm(r, at("ln_1.weight"), at("ln_1.bias"));
            qkv.push_back(linear(n, at("attn.c_attn.weight"), at("attn.c_attn.bias")));
            const auto a = attend(qkv, model.heads);
            add_to(r, linear(a, at("attn.c_proj.weight"), at("attn.c_proj.bias")));
        }
        for (auto& r : x) {
            const auto n = layer_norm(r, at("ln_2.weight"), at("ln_2.bias"));
            auto h = linear(n, at("mlp.c_fc.weight"), at("mlp.c_fc.bias"));
            for (double& v : h) v = gelu(v);
            add_to(r, linear(h, at("mlp.c_proj.weight"), at("mlp.c_proj.bias")));
        }
    }
    for (auto& r : x) {
        r = layer_norm(r, p.at("transformer.ln_f.weight"), p.at("transformer.ln_f.bias"));
    }
    return x;
}

}  // namespace

twin_parameters twin_of(const state_layout& layout, std::span<const float> flat) {
    twin_parameters p;
    for (const auto& t : layout.tensors) {
        const auto values = flat.subspan(t.offset, t.size);
        p[t.name] = std::vector<double>(values.begin(), values.end());
    }
    return p;
}

std::vector<double> twin_losses(const model_config& model, const twin_parameters& parameters,
                                std::span<const std::uint32_t> tokens,
                                std::span<const std::uint32_t> targets, std::uint64_t time) {
    const auto& wte = parameters.at("transformer.wte.weight");
    std::vector<double> losses;
    for (std::size_t start = 0; start < tokens.size(); start += time) {
        const auto x = hidden(model, parameters, tokens.subspan(start, time));
        for (std::size_t t = 0; t < time; ++t) {
            double total = 0, chosen = 0;
            for (std::uint64_t v = 0; v < model.vocabulary; ++v) {
                double logit = 0;
                for (std::size_t j = 0; j < model.width; ++j) {
                    logit += x[t][j] * wte[v * model.width + j];
                }
                total += std::exp(logit);
                if (v == targets[start + t]) chosen = logit;
            }
            losses.push_back(std::log(total) - chosen);
        }
    }
    return losses;
}

}  // namespace tequio::training
