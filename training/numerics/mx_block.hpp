#pragma once

/// What the block codecs of contributions share (NUMERICS.md, Contributions and their sums; OCP
/// Microscaling formats 1.0, section 5.1): 32 consecutive elements have one power-of-two scale. The
/// standard stores a scale as E8M0, 2^(byte - 127); ours counts from the recipe's window E, so that
/// every value is an integer in units of 2^E and sums need no floats.

#include <cstddef>
#include <cstdint>

namespace tequio::training::numerics {

/// Elements in a block. The last block of a tensor may be short.
inline constexpr std::size_t mx_block = 32;
/// The largest scale byte: a value is a small integer shifted left by it.
inline constexpr int mx_scale_max = 39;
/// Windows that a recipe may name.
inline constexpr int mx_window_min = -80;
inline constexpr int mx_window_max = 0;

/// Blocks that n elements need.
constexpr std::size_t mx_block_count(std::size_t n) {
    return (n + mx_block - 1) / mx_block;
}

/// Values of the blocks that fast encoders take at a time.
inline constexpr std::size_t mx_group = 4 * mx_block;

/// What encoding did to values. A value is counted at most once.
struct codec_counts {
    std::uint64_t saturated = 0;  ///< rounded, it was beyond the largest code
    std::uint64_t flushed = 0;    ///< not +-0, and its code is 0
    bool operator==(const codec_counts&) const = default;
};

}  // namespace tequio::training::numerics
