#pragma once

/// The few float32 operations that every definition shares.

#include <bit>
#include <cstdint>

namespace tequio::training::numerics {

/// The smallest normal number, 2^-126.
inline constexpr float smallest_normal = 0x1p-126f;

/// The smallest magnitude of an operand of a matrix product, 2^-48: a product of two is at least
/// 2^-96, so that neither it nor, but by rare cancellation, a sum of such is subnormal. With 2^-126
/// in its place operands would be normal and their products not, and a processor that hands those
/// to microcode would be slowed many times over by weights of 2^-66 (README.md, rule 3).
inline constexpr float smallest_operand = 0x1p-48f;

/// +0 where |x| is below the limit. NaN and infinities pass.
inline float flush_below(float limit, float x) {
    const float magnitude =
        std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & std::uint32_t{0x7fffffff});
    return magnitude < limit ? 0.0F : x;
}

/// |x| < 2^-48 becomes +0: applied to whatever is stored and may become an operand of a matrix
/// product (NUMERICS.md, ground rule 2).
inline float flush(float x) {
    return flush_below(smallest_operand, x);
}

/// |x| < 2^-126 becomes +0: for what is stored and is no such operand, as moments and raw data,
/// whose unit may be any.
inline float flush_subnormal(float x) {
    return flush_below(smallest_normal, x);
}

/// a * b + c, rounded once.
inline float fused(float a, float b, float c) {
    return __builtin_fmaf(a, b, c);
}
inline double fused(double a, double b, double c) {
    return __builtin_fma(a, b, c);
}

/// Neither infinite nor NaN.
inline bool finite(float x) {
    return (std::bit_cast<std::uint32_t>(x) & 0x7f800000U) != 0x7f800000U;
}

}  // namespace tequio::training::numerics
