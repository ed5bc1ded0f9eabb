#include "training/round/synchronous_step.hpp"

#include <cmath>
#include <limits>

#include "training/engine.hpp"
#include "training/executor.hpp"
#include "training/numerics/adamw.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training {
namespace {

/// x, or the largest finite number of its sign. (NaN cannot come: a weight is finite before, and
/// rate * u is below 2^127 within the bounds of a recipe. It would become the negative one.)
float made_finite(float x) {
    constexpr float largest = std::numeric_limits<float>::max();
    if (x >= -largest && x <= largest) return x;
    return x > 0 ? largest : -largest;
}

float clip_of(const state_layout& whole, const mean_reader& gradient, double limit, executor& run) {
    static_assert(mean_reader::run_elements == 65536, "chunks of the norm's rule");
    double squares = 0;
    for (const auto& t : whole.tensors) {
        double sum = 0;
        gradient.for_each_run(t, [&](std::uint64_t, std::span<const float> values) {
            sum = sum + numerics::square_sum(values, run);
        });
        squares = squares + sum;
    }
    return numerics::clip_scale(std::sqrt(squares), limit);
}

}  // namespace

void synchronous_step(const train_config& train, const state_layout& whole,
                      const state_layout& part, base::round_index round,
                      const mean_reader& gradient, state_span state) {
    serial_executor here;
    const auto& inner = train.inner;
    const auto clip = clip_of(whole, gradient, inner.clip, here);
    const auto scalars =
        numerics::adamw_step({inner.beta1, inner.beta2, inner.epsilon, inner.weight_decay},
                             inner_learning_rate(train, round.value, 0), round.value + 1, clip);
    for (const auto& t : part.tensors) {
        const auto update = [&](std::uint64_t first, std::span<const float> gradients) {
            const auto at = t.offset + first;
            const auto values = state.parameters.subspan(at, gradients.size());
            const bool finite = numerics::adamw_update(
                scalars, t.decay, values.data(), gradients.data(), state.momentum.data() + at,
                state.second.data() + at, gradients.size(), here);
            if (finite) return;
            for (float& value : values) value = made_finite(value);
        };
        gradient.for_each_run(whole.tensor(t.name), update);
    }
}

}  // namespace tequio::training
