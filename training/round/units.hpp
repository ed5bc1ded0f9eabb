#pragma once

/// The parts of one unit of a contribution, as views into its bytes.

#include <cstdint>
#include <span>

#include "training/contribution.hpp"

namespace tequio::training {

/// Bytes of a unit's header that every unit has: magic, kind, index, units, blocks.
inline constexpr std::size_t unit_fixed_bytes = 24;

struct const_unit {
    base::byte_view header;                ///< contribution_header_bytes
    std::span<const std::uint8_t> scales;  ///< (blocks)
    std::span<const std::int8_t> codes;    ///< (blocks * 32)
};

/// Unit `index` < shape.units() of a container that has shape.size_bytes() bytes.
const_unit unit_of(const contribution_shape& shape, base::byte_view bytes, std::uint64_t index);

/// The header of a contribution that passed `check_contribution`.
contribution_header header_of(base::byte_view checked);

}  // namespace tequio::training
