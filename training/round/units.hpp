#pragma once

/// The parts of one unit of a contribution, as views into its bytes.

#include <cstdint>
#include <span>

#include "training/contribution.hpp"
#include "training/round/codec.hpp"

namespace tequio::training {

/// Bytes of a unit's header that every unit has: magic, kind, codec, index, units, blocks.
inline constexpr std::size_t unit_fixed_bytes = 24;

struct const_unit {
    base::byte_view header;  ///< contribution_header_bytes
    coded_blocks blocks;
    base::byte_view filling;
};

/// The parts of unit `index`; `unit` has shape.bytes_in(index) bytes.
const_unit parts_of(const contribution_shape& shape, std::uint64_t index, base::byte_view unit);

/// Unit `index` < shape.units() of a container that has shape.size_bytes() bytes.
const_unit unit_of(const contribution_shape& shape, base::byte_view bytes, std::uint64_t index);

/// The blocks of a unit that hold `run` (elements, multiples of 32, all of them in the unit).
coded_blocks blocks_of(const contribution_shape& shape, std::uint64_t index, const const_unit& unit,
                       contribution_run run);

/// The blocks that hold `count` elements from `first` on (multiples of 32) of several.
coded_blocks blocks_at(contribution_codec codec, const coded_blocks& blocks, std::uint64_t first,
                       std::uint64_t count);

/// A container whose units have their headers, no facts, and blocks still to be placed.
base::byte_vector empty_contribution(contribution_kind kind, const contribution_shape& shape);
/// Writes the blocks of a run of elements (multiples of 32) into a container of that shape: what a
/// slice of a lane gives to the whole. Runs may cross units.
void place_blocks(const contribution_shape& shape, contribution_run run, const coded_blocks& blocks,
                  std::span<std::uint8_t> container);

}  // namespace tequio::training
