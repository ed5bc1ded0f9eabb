#pragma once

/// Rounding where a lane can be divided (DESIGN.md section 7): what crosses a cut, activations
/// forward and gradients backward, is rounded whether or not the cut is used, so that a team of
/// nodes and one node alone compute the same bits. And the bytes in which the rounded values
/// travel.
///
/// Per value x of a row, with flush as in float_bits.hpp (|x| < 2^-48 becomes +0):
///
///     f32     x, as it is
///     bf16    flush(x rounded to the nearest bfloat16, ties to even); beyond the largest finite
///     one
///             that one, with x's sign. A value that is not finite becomes NaN
///     mxint8  blocks of 32 along the row, the last one perhaps short: amax = max |x|; b =
///             max(floor(log2 amax) - 6, -48), -48 if amax is 0; q = clamp(RNE(x * 2^-b), +-127);
///             q * 2^b. With a value that is not finite all of the block becomes NaN
///
/// A rounded value is +0 or at least 2^-48: an operand of a matrix product. Rounding it again
/// changes nothing. mxint8 is the contributions' block format (mxint8.hpp) without their window:
/// activations and gradients of one lane lie further apart than its 40 scales reach.
/// Source: OCP Microscaling formats 1.0, section 5.3.4; NUMERICS.md, ground rules 2 and 4.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "training/executor.hpp"

namespace tequio::training::numerics {

enum class cut_format { f32, bf16, mxint8 };

/// The format of that name in a recipe (f32, bf16, mxint8). Ensures that it is one.
cut_format cut_format_of(std::string_view name);

/// Rounds (rows, width) values in place. width >= 1.
void cut_round(cut_format format, float* values, std::size_t rows, std::size_t width,
               executor& run);
void cut_round_reference(cut_format format, float* values, std::size_t rows, std::size_t width);

/// Bytes of a message of (rows, width) values: f32 4 and bf16 2 a value, little-endian; mxint8 one
/// byte a block, b + 48 (255: the block is NaN), for all rows, then one byte a value, q.
std::size_t cut_message_bytes(cut_format format, std::size_t rows, std::size_t width);

/// Writes rounded values as a message. values: (rows, width), out of `cut_round`; out:
/// (cut_message_bytes).
void cut_pack(cut_format format, std::span<const float> values, std::size_t width,
              std::span<std::uint8_t> out);

/// Reads a message. values: (rows, width), written. False if these are not the bytes that
/// `cut_pack` writes of any rounded values: another size, a magnitude below 2^-48, -0, an infinity
/// or other NaN in bf16, a block with another canonical scale or with the code -128. Values are
/// undefined then. Safe on any input.
[[nodiscard]] bool cut_unpack(cut_format format, std::span<const std::uint8_t> message,
                              std::size_t width, std::span<float> values);

}  // namespace tequio::training::numerics
