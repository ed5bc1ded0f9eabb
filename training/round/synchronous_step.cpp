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

float clip_of(const state_layout& layout, std::span<const float> gradient, double limit,
              executor& run) {
    double squares = 0;
    for (const auto& t : layout.tensors) {
        squares = squares + numerics::square_sum(gradient.subspan(t.offset, t.size), run);
    }
    return numerics::clip_scale(std::sqrt(squares), limit);
}

}  // namespace

void synchronous_step(const train_config& train, const state_layout& layout,
                      base::round_index round, std::span<const float> gradient, state_span state) {
    serial_executor here;
    const auto& inner = train.inner;
    const auto clip = clip_of(layout, gradient, inner.clip, here);
    const auto scalars =
        numerics::adamw_step({inner.beta1, inner.beta2, inner.epsilon, inner.weight_decay},
                             inner_learning_rate(train, round.value, 0), round.value + 1, clip);
    for (const auto& t : layout.tensors) {
        const auto values = state.parameters.subspan(t.offset, t.size);
        const bool finite = numerics::adamw_update(
            scalars, t.decay, values.data(), gradient.data() + t.offset,
            state.momentum.data() + t.offset, state.second.data() + t.offset, t.size, here);
        if (finite) continue;
        for (float& value : values) value = made_finite(value);
    }
}

}  // namespace tequio::training
