#pragma once

/// Our own float64 scalar functions, for numbers of which there is one a step or which are made
/// once: schedules, initial weights, rotary angles. No libm; the same bits on every machine.

#include <cstdint>

namespace tequio::training::numerics {

/// e^x for x in [-700, 700]; at most 1 ulp (tested).
double exp64(double x);
/// Natural logarithm of a positive normal x; at most 1.5 ulp (tested).
double log64(double x);
/// cos(pi * x) for x in [0, 1], as schedules need it; error at most 2^-52 (tested).
double cos_pi64(double x);
/// Sine and cosine of x radians, x in [0, 2^20]; absolute error at most 2^-52 each (tested).
struct sine_cosine {
    double sine, cosine;
};
sine_cosine sin_cos64(double x);
/// base^exponent by `exponent` multiplications from 1.
double power64(double base, std::uint64_t exponent);
/// The z for which a standard normal variate is below z with probability p, 0 < p < 1. Source:
/// Wichura 1988, algorithm AS 241, PPND16; relative error about 1e-15.
double inverse_normal64(double p);

}  // namespace tequio::training::numerics
