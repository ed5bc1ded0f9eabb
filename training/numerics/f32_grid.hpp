#pragma once

/// The f32 codec: float32 values on the grid of multiples of 2^-80 (NUMERICS.md, Contributions and
/// their sums). The grid is the lowest window that a recipe may name, whatever window it names: a
/// float32 of magnitude 2^-57 or more is on it already, so that nothing but tiny values is rounded.
///
/// A code is the value's four bytes, little-endian. Canonical: finite, |v| < 2^23, a multiple of
/// 2^-80, not -0.
///
/// Sums are 128-bit integers in units of 2^-80. |v| < 2^23 is at most 2^103 - 1 units, and 65,536
/// = 2^16 of them are below 2^119: far inside the 2^127 of the type, whatever the order.

#include <cstddef>
#include <cstdint>
#include <span>

#include "training/numerics/mx_block.hpp"

namespace tequio::training::numerics {

/// Exponent of the grid's unit.
inline constexpr int f32_grid_exponent = -80;
/// Magnitudes from here on diverge.
inline constexpr float f32_grid_limit = 0x1p23F;

/// A sum. In memory two 64-bit words, the lower one first: 16 little-endian bytes in two's
/// complement on every machine that we build for.
using grid_sum = __int128;

/// Rounds to the nearest multiple of 2^-80, of two equally near ones to the even multiple; -0 and
/// what rounds to zero become +0. values: (n); codes: (4 n) bytes. Adds what became 0 to
/// counts.flushed; nothing saturates. False if a value is infinite, NaN or of magnitude 2^23 or
/// more: the contribution diverges, and what was written is undefined.
[[nodiscard]] bool f32_grid_encode(std::span<const float> values, std::span<std::uint8_t> codes,
                                   codec_counts& counts);
[[nodiscard]] bool f32_grid_encode_reference(std::span<const float> values,
                                             std::span<std::uint8_t> codes, codec_counts& counts);

/// values[i] = the number in codes[4i..4i+3]. values: (n); codes: (4 n), canonical.
void f32_grid_decode(std::span<const std::uint8_t> codes, std::span<float> values);

/// sums[i] = sums[i] + value * 2^80. sums: (n); codes: (4 n), canonical.
void f32_grid_accumulate(std::span<const std::uint8_t> codes, std::span<grid_sum> sums);
void f32_grid_accumulate_reference(std::span<const std::uint8_t> codes, std::span<grid_sum> sums);

/// True if the encoder could have written these bytes. Asked of everything that arrives, before
/// decode or accumulate.
[[nodiscard]] bool f32_grid_canonical(std::span<const std::uint8_t> codes);
[[nodiscard]] bool f32_grid_canonical_reference(std::span<const std::uint8_t> codes);

/// The float32 nearest to sum / lanes * 2^-80, of two equally near ones the even one. |sum| <
/// 2^119, lanes 1..65536. A quotient other than 0 is at least 2^-96, so that no result is
/// subnormal; 0 gives +0.
float f32_grid_mean(grid_sum sum, std::uint64_t lanes);

}  // namespace tequio::training::numerics
