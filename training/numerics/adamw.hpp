#pragma once

/// AdamW (Loshchilov and Hutter 2019, algorithm 2), one tensor at a time, with the clip scale
/// fused.

#include <cstddef>
#include <cstdint>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// As the recipe gives them.
struct adamw_settings {
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;
};

/// What one step's update needs, float32. Made by `adamw_step`.
struct adamw_scalars {
    float clip;  ///< gradients are multiplied by it first
    float beta1, one_minus_beta1;
    float beta2, one_minus_beta2;
    float correction1;  ///< 1 / (1 - beta1^t)
    float correction2;  ///< 1 / (1 - beta2^t)
    float epsilon;
    float rate;  ///< learning rate
    float keep;  ///< 1 - rate * weight_decay
};

/// All in float64, each then rounded once to float32: 1 - beta, 1 / (1 - beta^t) with beta^t by t
/// multiplications, 1 - learning_rate * weight_decay. t counts from 1. clip: from `clip_scale`.
adamw_scalars adamw_step(const adamw_settings& settings, double learning_rate, std::uint64_t t,
                         float clip);

/// 1 if norm <= limit or limit <= 0; else (float)(limit / norm), a float64 division.
float clip_scale(double norm, double limit);

/// For each element, in this order, every operation rounded to float32:
///   g = flush(gradient * clip), whose square does not underflow then
///   m = flush_subnormal(fma(beta1, m, one_minus_beta1 * g))
///   v = flush_subnormal(fma(beta2, v, one_minus_beta2 * (g * g)))
///   d = sqrt(v * correction2) + epsilon
///   u = (m * correction1) / d
///   w = decay ? weight * keep : weight
///   weight = flush(fma(0 - rate, u, w))
/// weight, first (m), second (v): (n), updated; gradient: (n). Returns true if every new weight is
/// finite.
bool adamw_update(const adamw_scalars& scalars, bool decay, float* weight, const float* gradient,
                  float* first, float* second, std::size_t n, executor& run);
bool adamw_update_reference(const adamw_scalars& scalars, bool decay, float* weight,
                            const float* gradient, float* first, float* second, std::size_t n);

}  // namespace tequio::training::numerics
