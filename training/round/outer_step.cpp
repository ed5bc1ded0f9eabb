#include "training/round/outer_step.hpp"

#include <bit>

#include "training/numerics/float_bits.hpp"

namespace tequio::training {

void outer_step(const outer_scalars& scalars, std::span<const float> mean,
                std::span<float> parameters, std::span<float> velocity) {
    const float rate = scalars.rate;
    const float momentum = scalars.momentum;
    for (std::size_t i = 0; i < mean.size(); ++i) {
        const float kept = momentum * velocity[i];
        const float v = numerics::flush_subnormal(kept + mean[i]);
        const float ahead = momentum * v;
        const float direction = mean[i] + ahead;
        const float change = rate * direction;
        velocity[i] = v;
        parameters[i] = numerics::flush(parameters[i] - change);
    }
}

void mean_of_sums(std::span<const std::int64_t> sums, std::uint64_t lanes, int window,
                  std::span<float> out) {
    const auto divisor = static_cast<double>(lanes);
    const auto unit = std::bit_cast<float>(static_cast<std::uint32_t>(window + 127) << 23);
    for (std::size_t i = 0; i < sums.size(); ++i) {
        const auto quotient = static_cast<float>(static_cast<double>(sums[i]) / divisor);
        out[i] = quotient * unit;
    }
}

}  // namespace tequio::training
