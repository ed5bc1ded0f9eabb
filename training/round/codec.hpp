#pragma once

/// The three codecs behind one face: what a container's code does with blocks, whichever codec they
/// are in. NUMERICS.md, Contributions and their sums; the arithmetic is in training/numerics.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "training/contribution.hpp"
#include "training/numerics/f32_grid.hpp"
#include "training/numerics/mx_block.hpp"

namespace tequio::training {

/// What one block of 32 elements takes, and how many of them make a unit.
struct codec_sizes {
    std::string_view name;  ///< the recipe's word
    std::uint64_t scale_bytes = 0;
    std::uint64_t code_bytes = 0;
    std::uint64_t unit_blocks = 0;
    std::uint64_t block_bytes() const { return scale_bytes + code_bytes; }
};
const codec_sizes& sizes_of(contribution_codec codec);

/// Blocks in a codec: views of whole blocks' scales and codes.
struct coded_blocks {
    base::byte_view scales;
    base::byte_view codes;
};

/// Encodes values (a multiple of 32) into scales and codes of their size; adds to `counts`. False
/// if the codec refuses a value: not finite, or beyond f32's limit.
[[nodiscard]] bool encode_blocks(contribution_codec codec, int window,
                                 std::span<const float> values, std::span<std::uint8_t> scales,
                                 std::span<std::uint8_t> codes, numerics::codec_counts& counts);
/// True if the encoder could have written these blocks.
[[nodiscard]] bool canonical(contribution_codec codec, const coded_blocks& blocks);
/// The values of canonical blocks.
void decode_blocks(contribution_codec codec, int window, const coded_blocks& blocks,
                   std::span<float> values);
/// Adds the integers of canonical blocks, of mxint8 and mxfp4 in units of 2^window.
void add_blocks(contribution_codec codec, const coded_blocks& blocks, std::span<std::int64_t> sums);
/// The same of f32, in units of 2^-80.
void add_blocks(const coded_blocks& blocks, std::span<numerics::grid_sum> sums);
/// True if element `i` of these codes is 0.
[[nodiscard]] bool code_is_zero(contribution_codec codec, base::byte_view codes, std::uint64_t i);

}  // namespace tequio::training
