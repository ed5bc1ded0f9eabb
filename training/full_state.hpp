#pragma once

/// A whole state as one blob, of the same bytes at every node, so that a newcomer can fetch it from
/// several at once. Layout, little-endian:
///
///     0     "tequio/state/v1\n"
///     16    recipe id, 32 bytes
///     48    round u64
///     56    floats behind this header u64
///     64    float32 of every tensor without padding, in the order of the leaves of `state_digest`:
///           the optimizer's arrays, then the parameters; by name in each
///
/// Nothing in it is believed: what was read has a digest, which the chronicle names.

#include "training/state.hpp"

namespace tequio::training {

inline constexpr std::uint64_t full_state_header_bytes = 64;

/// Size of the blob of a state with so many parameters; `arrays` as `optimizer_arrays` says.
std::uint64_t full_state_bytes(std::uint64_t parameters, std::uint32_t arrays);

/// The first 64 bytes of the blob of S(round).
base::byte_vector full_state_header(const base::recipe_id& recipe, base::round_index round,
                                    std::uint64_t floats);

/// What follows them: a view of each tensor, in order. The views live as long as `state`'s arrays.
std::vector<std::span<const float>> full_state_tensors(const state_layout& layout,
                                                       state_view state);

/// Reads a blob into `to`, padding and all. Errors: `errc::bad_state` when it is not the state of
/// this recipe and round, by its header and length; `to` is then as it was. Safe on any bytes.
base::result<void> read_full_state(const state_layout& layout, const base::recipe_id& recipe,
                                   base::round_index round, base::byte_view bytes, state_span to);

/// Every how many rounds a state is kept: the least multiple of `state_every` whose means come to
/// as many bytes as a state, so that states cost a disk no more writing than means do, and fetching
/// one is worth while at all.
std::uint64_t full_state_spacing(std::uint64_t state_every, std::uint64_t state_bytes,
                                 std::uint64_t mean_bytes);

}  // namespace tequio::training
