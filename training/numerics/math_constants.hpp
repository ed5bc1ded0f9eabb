#pragma once

/// Constants shared by the scalar and the vector form of each function. Polynomials: Cephes
/// (Moshier 1989, single/expf.c, logf.c, tanhf.c); ln 2 is split for a fused multiply-add.

namespace tequio::training::numerics::constants {

/// Adding 1.5 * 2^23 rounds |x| < 2^22 to an integer, which then stands in the low mantissa bits.
inline constexpr float round_magic = 12582912.0F;
inline constexpr float log2_e = 1.44269504088896341F;
inline constexpr float ln2_high = 0.693147182464599609375F;
inline constexpr float ln2_low = -1.904654290582768e-9F;

inline constexpr float exp_lowest = -87.0F;
/// Added to the square of exp's reduced argument, so that a tiny one does not underflow there; far
/// below what shows beside 1.
inline constexpr float exp_least_square = 0x1p-100F;
inline constexpr float exp_highest = 88.72F;
inline constexpr float softmax_lowest = -40.0F;
inline constexpr float exp_coefficients[] = {1.9875691500e-4F, 1.3981999507e-3F, 8.3334519073e-3F,
                                             4.1665795894e-2F, 1.6666665459e-1F, 5.0000001201e-1F};

inline constexpr float sqrt_half = 0.707106781186547524F;
inline constexpr float log_ln2_high = 0.693359375F;
inline constexpr float log_ln2_low = -2.12194440e-4F;
inline constexpr float log_coefficients[] = {
    7.0376836292e-2F,  -1.1514610310e-1F, 1.1676998740e-1F,  -1.2420140846e-1F, 1.4249322787e-1F,
    -1.6668057665e-1F, 2.0000714765e-1F,  -2.4999993993e-1F, 3.3333331174e-1F};

inline constexpr float tanh_small = 0.625F;
inline constexpr float tanh_largest = 20.0F;
inline constexpr float tanh_coefficients[] = {-5.70498872745e-3F, 2.06390887954e-2F,
                                              -5.37397155531e-2F, 1.33314422036e-1F,
                                              -3.33332819422e-1F};

/// 2 sqrt(2/pi), and the cubic's factor, of GELU's tanh form.
inline constexpr float gelu_factor = 1.59576912160573071F;
inline constexpr float gelu_cubic = 0.044715F;
inline constexpr float gelu_cubic_slope = 3.0F * gelu_cubic;
/// Below this a gate stays what it is here, 1.3e-14: times an operand it is still normal.
inline constexpr float gelu_lowest = -32.0F;

/// The same for SiLU's sigmoid.
inline constexpr float silu_lowest = -32.0F;

}  // namespace tequio::training::numerics::constants
