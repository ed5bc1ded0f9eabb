#pragma once

/// Conversions between float32 and the 16-bit formats, in integer arithmetic: the same bits on
/// every machine. binary16 and bfloat16 values are float32 values, so reading them is exact.

#include <algorithm>
#include <bit>
#include <cstdint>

namespace tequio::training::numerics {

/// The value of a bfloat16 (the upper half of a binary32), infinities and NaN included.
inline float from_bf16(std::uint16_t half) {
    return std::bit_cast<float>(std::uint32_t{half} << 16);
}

/// The value of an IEEE 754 binary16, infinities and NaN included. Its subnormals are normal
/// numbers of binary32.
inline float from_f16(std::uint16_t half) {
    const std::uint32_t sign = std::uint32_t{half & 0x8000U} << 16;
    const std::uint32_t exponent = (half >> 10) & 31U;
    const std::uint32_t fraction = half & 1023U;
    std::uint32_t magnitude = 0;
    if (exponent == 31) {
        magnitude = 0x7f800000U | fraction << 13;
    } else if (exponent != 0) {
        magnitude = (exponent + 127 - 15) << 23 | fraction << 13;
    } else if (fraction != 0) {
        // fraction * 2^-24, whose leading one is at bit `top`.
        const auto top = static_cast<std::uint32_t>(std::bit_width(fraction) - 1);
        magnitude = (top + 127 - 24) << 23 | (fraction << (23 - top) & 0x7fffffU);
    }
    return std::bit_cast<float>(sign | magnitude);
}

/// The bfloat16 nearest to the finite `x`, ties to even; what would round to infinity becomes the
/// largest finite bfloat16 of that sign.
inline std::uint16_t to_bf16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const std::uint32_t magnitude = bits & 0x7fffffffU;
    const std::uint32_t rounded = (magnitude + 0x7fffU + (magnitude >> 16 & 1U)) >> 16;
    return static_cast<std::uint16_t>((bits >> 16 & 0x8000U) | std::min(rounded, 0x7f7fU));
}

}  // namespace tequio::training::numerics
