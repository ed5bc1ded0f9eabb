#pragma once

/// MXINT8: blocks of 32 elements with a power-of-two scale and signed 8-bit codes (NUMERICS.md,
/// Contributions and their sums; OCP Microscaling formats 1.0, section 5.3.4). The window E is
/// fixed by the recipe; a block's scale byte is b - E, 0..39.

#include <cstddef>
#include <cstdint>
#include <span>

#include "training/numerics/mx_block.hpp"

namespace tequio::training::numerics {

/// values: any size; a short last block is encoded as if followed by +0. scales:
/// (mx_block_count(n)); codes: (32 * mx_block_count(n)). Per block: amax = max |v|;
/// b = clamp(floor(log2 amax) - 6, E, E + 39), E if amax is 0; q = clamp(RNE(v * 2^-b), +-127).
/// Adds to `counts`. False if a value is infinite or NaN: the contribution diverges, and what was
/// written is undefined. window must lie within the limits above.
[[nodiscard]] bool mxint8_encode(std::span<const float> values, int window,
                                 std::span<std::uint8_t> scales, std::span<std::int8_t> codes,
                                 codec_counts& counts);
[[nodiscard]] bool mxint8_encode_reference(std::span<const float> values, int window,
                                           std::span<std::uint8_t> scales,
                                           std::span<std::int8_t> codes, codec_counts& counts);

/// values[i] = code * 2^(E + scale), exact. values: any size; scales, codes: as above, canonical.
void mxint8_decode(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                   int window, std::span<float> values);
void mxint8_decode_reference(std::span<const std::uint8_t> scales,
                             std::span<const std::int8_t> codes, int window,
                             std::span<float> values);

/// sums[i] = sums[i] + code * 2^scale. sums: any size; scales, codes: as above, canonical. A
/// summand is below 2^46, so 65,536 of them stay below 2^62.
void mxint8_accumulate(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                       std::span<std::int64_t> sums);
void mxint8_accumulate_reference(std::span<const std::uint8_t> scales,
                                 std::span<const std::int8_t> codes, std::span<std::int64_t> sums);

/// True if these are bytes that the encoder could have written for n elements: sizes as above;
/// scale at most 39; no code -128; where scale > 0, some |code| >= 64; codes beyond n are 0. Asked
/// of everything that arrives, before decode or accumulate.
[[nodiscard]] bool mxint8_canonical(std::span<const std::uint8_t> scales,
                                    std::span<const std::int8_t> codes, std::size_t n);
[[nodiscard]] bool mxint8_canonical_reference(std::span<const std::uint8_t> scales,
                                              std::span<const std::int8_t> codes, std::size_t n);

}  // namespace tequio::training::numerics
