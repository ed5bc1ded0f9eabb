#pragma once

/// The outer optimizer's arithmetic and the division of a sum. Plain loops: they are the
/// definition, and element by element, so the compiler may use any vector width without changing a
/// bit.

#include <cstdint>
#include <span>

namespace tequio::training {

/// The recipe's outer settings, each rounded once to float32.
struct outer_scalars {
    float rate;      ///< eta
    float momentum;  ///< mu
};

/// For each element, every operation rounded to float32, none fused:
///   v = flush_subnormal(momentum * velocity + mean)
///   p = flush(parameter - rate * (mean + momentum * v))
/// parameters, velocity: (n), updated; mean: (n), no -0 and no subnormal.
void outer_step(const outer_scalars& scalars, std::span<const float> mean,
                std::span<float> parameters, std::span<float> velocity);

/// out[i] = float32(float64(sums[i]) / float64(lanes)) * 2^window; sums: (n) integers in units of
/// 2^window, |sums[i]| < 2^62; out: (n). The product is exact: a quotient other than 0 is at least
/// 2^-16, and the window at least -80.
void mean_of_sums(std::span<const std::int64_t> sums, std::uint64_t lanes, int window,
                  std::span<float> out);

}  // namespace tequio::training
