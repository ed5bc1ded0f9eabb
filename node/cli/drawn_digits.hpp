#pragma once

/// The data of `job new --example digits`: digits drawn by strokes, in the format of MNIST. Not
/// handwriting, and said to be none wherever a person sees them.

#include <cstdint>

#include "base/bytes.hpp"

namespace tequio::node {

/// Side of an image, as MNIST's.
inline constexpr std::uint64_t digit_side = 28;

/// Two idx files (LeCun, Cortes and Burges, "The MNIST database", file formats): integers are
/// big-endian, pixels a byte each, 0 for the background, row after row.
struct drawn_digits {
    base::byte_vector images;  ///< idx3: 0x00000803, count, 28, 28, pixels
    base::byte_vector labels;  ///< idx1: 0x00000801, count, a byte from 0 to 9 each
};

/// Draws `count` digits, each of the ten as often as chance has it. A digit is a line along fixed
/// points, each moved a little; the whole is stretched, slanted and shifted; the line has its own
/// thickness and lies in noise. The same seed gives the same bytes everywhere. Cost: about 50
/// microseconds a digit.
drawn_digits draw_digits(std::uint64_t count, std::uint64_t seed);

}  // namespace tequio::node
