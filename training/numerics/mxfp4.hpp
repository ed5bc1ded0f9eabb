#pragma once

/// MXFP4: blocks of 32 elements with a power-of-two scale and 4-bit floats E2M1 (NUMERICS.md,
/// Contributions and their sums; OCP Microscaling formats 1.0, sections 5.3.3 and 6.3). A code is a
/// sign bit (8) and a magnitude:
///
///     magnitude  0    1    2    3    4    5    6    7
///     value      0    0.5  1    1.5  2    3    4    6      times 2^b
///
/// The scale byte is b - 1 - E, 0..39, so that a value is an integer of at most 12 (twice the
/// table), shifted left by the scale byte, in units of 2^E. Code 8, which would be -0, does not
/// occur.
///
/// Packing: byte j of a block's 16, j = 0..15, is code of element j + 16 * code of element 16 + j.
/// The standard leaves the order open; this one lets a vector of codes become bytes without a
/// shuffle.

#include <cstddef>
#include <cstdint>
#include <span>

#include "training/numerics/mx_block.hpp"

namespace tequio::training::numerics {

/// Bytes of a block's codes.
inline constexpr std::size_t mxfp4_block_bytes = mx_block / 2;

/// values: any size; a short last block is encoded as if followed by +0. scales:
/// (mx_block_count(n)); codes: (16 * mx_block_count(n)) bytes. Per block: amax = max |v|;
/// b = clamp(floor(log2 amax) - 2, E + 1, E + 40), E + 1 if amax is 0. x = |v| * 2^-b goes to the
/// nearest magnitude of the table, of two equally near ones to the even one; x >= 7 (the middle
/// between 6 and 8, which a wider format would have next) to 6, counted as saturated; x <= 0.25 to
/// 0, counted as flushed unless v is +-0. So a block whose largest value lies in [7, 8) * 2^b
/// saturates inside the window too: that is the standard's choice of b.
/// Adds to `counts`. False if a value is infinite or NaN: the contribution diverges, and what was
/// written is undefined. window must lie within the limits of mx_block.hpp.
[[nodiscard]] bool mxfp4_encode(std::span<const float> values, int window,
                                std::span<std::uint8_t> scales, std::span<std::uint8_t> codes,
                                codec_counts& counts);
[[nodiscard]] bool mxfp4_encode_reference(std::span<const float> values, int window,
                                          std::span<std::uint8_t> scales,
                                          std::span<std::uint8_t> codes, codec_counts& counts);

/// values[i] = integer * 2^(E + scale), exact, the integer being twice the table's value. values:
/// any size; scales, codes: as above, canonical.
void mxfp4_decode(std::span<const std::uint8_t> scales, std::span<const std::uint8_t> codes,
                  int window, std::span<float> values);
void mxfp4_decode_reference(std::span<const std::uint8_t> scales,
                            std::span<const std::uint8_t> codes, int window,
                            std::span<float> values);

/// sums[i] = sums[i] + integer * 2^scale. sums: any size; scales, codes: as above, canonical. A
/// summand is at most 12 * 2^39, so 65,536 of them stay below 2^59.
void mxfp4_accumulate(std::span<const std::uint8_t> scales, std::span<const std::uint8_t> codes,
                      std::span<std::int64_t> sums);
void mxfp4_accumulate_reference(std::span<const std::uint8_t> scales,
                                std::span<const std::uint8_t> codes, std::span<std::int64_t> sums);

/// True if these are bytes that the encoder could have written for n elements: sizes as above;
/// scale at most 39; no code 8; where scale > 0, some magnitude of 6 or 7 (an amax of at least
/// 4 * 2^b rounds to nothing less); codes beyond n are 0. Asked of everything that arrives, before
/// decode or accumulate.
[[nodiscard]] bool mxfp4_canonical(std::span<const std::uint8_t> scales,
                                   std::span<const std::uint8_t> codes, std::size_t n);
[[nodiscard]] bool mxfp4_canonical_reference(std::span<const std::uint8_t> scales,
                                             std::span<const std::uint8_t> codes, std::size_t n);

/// The code of element `i` in the codes of its blocks.
constexpr std::uint8_t mxfp4_code(std::span<const std::uint8_t> codes, std::size_t i) {
    const auto byte = codes[i / mx_block * mxfp4_block_bytes + i % mxfp4_block_bytes];
    return i % mx_block < mxfp4_block_bytes ? byte & 15 : byte >> 4;
}

}  // namespace tequio::training::numerics
