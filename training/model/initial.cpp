#include "training/model/initial.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::training {
namespace {

constexpr std::size_t chunk = 65536;

}  // namespace

void fill_initial(const state_layout& layout, std::uint64_t seed, const base::digest& data,
                  state_span out, executor& run) {
    base::ensure(
        out.parameters.size() == layout.padded_size && out.momentum.size() == layout.padded_size,
        "a state has the size of its layout");
    std::fill(out.parameters.begin(), out.parameters.end(), 0.0F);
    std::fill(out.momentum.begin(), out.momentum.end(), 0.0F);
    const auto key = numerics::derive_key(numerics::stream_initialisation, seed, data);
    for (std::size_t k = 0; k < layout.tensors.size(); ++k) {
        const auto& t = layout.tensors[k];
        const auto values = out.parameters.subspan(t.offset, t.size);
        if (t.initial_deviation == 0) {
            std::fill(values.begin(), values.end(), t.initial_value);
            continue;
        }
        const numerics::draws draws(key, {.round = 0, .lane = 0, .step = k});
        auto body = [&](std::size_t task, unsigned) {
            const auto first = task * chunk;
            draws.fill_normal(first, t.initial_deviation,
                              values.subspan(first, std::min(chunk, values.size() - first)));
        };
        run.run((values.size() + chunk - 1) / chunk, body);
    }
}

}  // namespace tequio::training
