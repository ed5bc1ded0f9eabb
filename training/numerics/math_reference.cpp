#include <bit>
#include <cstdint>
#include <limits>

#include "training/numerics/float_bits.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/math_constants.hpp"

namespace tequio::training::numerics {

namespace {

using namespace constants;

/// c[0] x^(n-1) + ... + c[n-1], by Horner.
template <std::size_t N>
float polynomial(const float (&c)[N], float x) {
    float y = c[0];
    for (std::size_t i = 1; i < N; ++i) y = fused(y, x, c[i]);
    return y;
}

}  // namespace

float exp_reference(float x) {
    if (x != x) return x;
    if (x < exp_lowest) return 0.0F;
    if (x > exp_highest) return std::numeric_limits<float>::infinity();
    const float shifted = fused(x, log2_e, round_magic);
    const float n = shifted - round_magic;
    const float r = fused(n, -ln2_low, fused(n, -ln2_high, x));
    const float square = fused(r, r, exp_least_square);
    const float p = fused(square, polynomial(exp_coefficients, r), r) + 1.0F;
    // The integer n stands in the low bits of `shifted`; the shift leaves it in the exponent's
    // place.
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(p) +
                                (std::bit_cast<std::uint32_t>(shifted) << 23));
}

float softmax_exp_reference(float x) {
    return x < softmax_lowest ? 0.0F : exp_reference(x);
}

float log_reference(float x) {
    if (x != x || x == std::numeric_limits<float>::infinity()) return x;
    if (x < 0.0F) return std::numeric_limits<float>::quiet_NaN();
    if (x < smallest_normal) return -std::numeric_limits<float>::infinity();
    const auto bits = std::bit_cast<std::uint32_t>(x);
    // x = mantissa * 2^exponent with mantissa in [sqrt(1/2), sqrt(2)).
    auto exponent = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 126);
    float mantissa = std::bit_cast<float>((bits & 0x007fffffU) | 0x3f000000U);
    if (mantissa < sqrt_half) {
        exponent = exponent - 1.0F;
        mantissa = mantissa + mantissa;
    }
    const float f = mantissa - 1.0F;
    const float f2 = f * f;
    float y = (polynomial(log_coefficients, f) * f) * f2;
    y = fused(exponent, log_ln2_low, y);
    y = fused(f2, -0.5F, y);
    return fused(exponent, log_ln2_high, f + y);
}

float tanh_reference(float x) {
    if (x != x) return x;
    const std::uint32_t sign = std::bit_cast<std::uint32_t>(x) & 0x80000000U;
    const float magnitude = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) ^ sign);
    float y;
    if (magnitude < tanh_small) {
        const float z = magnitude * magnitude;
        y = fused(magnitude * z, polynomial(tanh_coefficients, z), magnitude);
    } else {
        const float clamped = magnitude > tanh_largest ? tanh_largest : magnitude;
        y = 1.0F - 2.0F / (exp_reference(clamped + clamped) + 1.0F);
    }
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(y) | sign);
}

}  // namespace tequio::training::numerics
