#pragma once

/// What the forms of `cut_round` and its messages share. Private to cut_format*.cpp.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "training/numerics/mx_block.hpp"

namespace tequio::training::numerics {

/// What stands for every value that is not finite.
inline constexpr float cut_nan = std::bit_cast<float>(0x7fc00000U);
/// The least b: its unit 2^-48 is the smallest operand of a matrix product.
inline constexpr int cut_exponent_min = -48;
/// The scale byte of a block that is not finite; else it is b + 48, at most 169.
inline constexpr std::uint8_t cut_scale_nan = 255;

/// b of a block whose largest magnitude has these bits. A finite amax is below 2^128, so b is at
/// most 121 and 127 * 2^b finite.
inline int cut_exponent(std::uint32_t amax_bits) {
    return std::max(static_cast<int>(amax_bits >> 23) - 127 - 6, cut_exponent_min);
}

/// 2^exponent, exponent in the range of normal float32.
inline float power_of_two(int exponent) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

/// Blocks of one row.
inline std::size_t cut_row_blocks(std::size_t width) {
    return (width + mx_block - 1) / mx_block;
}

}  // namespace tequio::training::numerics
