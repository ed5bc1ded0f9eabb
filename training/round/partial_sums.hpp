#pragma once

/// What merge.cpp and partial_sums.cpp share.

#include "training/contribution.hpp"
#include "training/errc.hpp"

namespace tequio::training {

/// Bytes of one integer of the sums over lanes in this codec.
inline std::uint64_t integer_bytes(contribution_codec codec) {
    return codec == contribution_codec::f32 ? sizeof(__int128) : sizeof(std::int64_t);
}

/// `errc::bad_contribution`: a summation has this lane.
base::error lane_added_twice(std::uint64_t lane);

}  // namespace tequio::training
