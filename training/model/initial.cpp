#include "training/model/initial.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::training {
namespace {

constexpr double deviation_plain = 0.02;
constexpr std::size_t chunk = 65536;

/// The constant that `t` starts from, when it is no matrix.
float constant_of(const tensor_spec& t) {
    const bool gain = t.name.find(".ln_") != std::string::npos && t.name.ends_with(".weight");
    return gain ? 1.0F : 0.0F;
}

}  // namespace

void fill_initial(const model_config& model, const state_layout& layout, std::uint64_t seed,
                  const base::digest& data, state_span out, executor& run) {
    base::ensure(
        out.parameters.size() == layout.padded_size && out.momentum.size() == layout.padded_size,
        "a state has the size of its layout");
    std::fill(out.parameters.begin(), out.parameters.end(), 0.0F);
    std::fill(out.momentum.begin(), out.momentum.end(), 0.0F);
    const auto key = numerics::derive_key(numerics::stream_initialisation, seed, data);
    const double deviation_projection =
        deviation_plain / std::sqrt(2.0 * static_cast<double>(model.layers));
    for (std::size_t k = 0; k < layout.tensors.size(); ++k) {
        const auto& t = layout.tensors[k];
        const auto values = out.parameters.subspan(t.offset, t.size);
        if (t.shape.size() < 2) {
            std::fill(values.begin(), values.end(), constant_of(t));
            continue;
        }
        const bool projection = t.name.ends_with("c_proj.weight");
        const double deviation = projection ? deviation_projection : deviation_plain;
        const numerics::draws draws(key, {.round = 0, .lane = 0, .step = k});
        auto body = [&](std::size_t task, unsigned) {
            const auto first = task * chunk;
            draws.fill_normal(first, deviation,
                              values.subspan(first, std::min(chunk, values.size() - first)));
        };
        run.run((values.size() + chunk - 1) / chunk, body);
    }
}

}  // namespace tequio::training
