#pragma once

/// The few float32 operations that every definition shares.

#include <bit>
#include <cstdint>

namespace tequio::training::numerics {

/// The smallest normal number, 2^-126.
inline constexpr float smallest_normal = 0x1p-126f;

/// |x| < 2^-126 becomes +0: applied to whatever is stored and may become an operand of a matrix
/// product (NUMERICS.md, ground rule 2). NaN and infinities pass.
inline float flush(float x) {
    const float magnitude =
        std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & std::uint32_t{0x7fffffff});
    return magnitude < smallest_normal ? 0.0F : x;
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
