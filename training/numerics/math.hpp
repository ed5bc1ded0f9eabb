#pragma once

/// Our own float32 functions: polynomials by fused multiply-add, the same operations on every
/// target. No libm. Bounds are in units in the last place of the float32 result and are tested
/// against long double.

#include <span>

namespace tequio::training::numerics {

/// e^x. Below -87 gives +0, above 88.72 +infinity; NaN passes. At most 1.1 ulp.
float exp_reference(float x);
/// exp for softmax: x <= 0; below -40 gives +0, else the bits of `exp_reference`.
float softmax_exp_reference(float x);
/// Natural logarithm of a positive normal number; at most 1.5 ulp. +0 and subnormals give
/// -infinity, negatives NaN, +infinity itself.
float log_reference(float x);
/// Hyperbolic tangent, odd, within [-1, 1]; at most 2 ulp. NaN passes.
float tanh_reference(float x);

/// Array forms on the active target: out[i] = f(x[i]). Equal sizes; in place allowed.
void exp(std::span<const float> x, std::span<float> out);
void softmax_exp(std::span<const float> x, std::span<float> out);
void log(std::span<const float> x, std::span<float> out);
void tanh(std::span<const float> x, std::span<float> out);

}  // namespace tequio::training::numerics
