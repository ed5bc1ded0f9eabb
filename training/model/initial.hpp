#pragma once

/// Initial weights; the rules stand at `engine::initial_state`.

#include <cstdint>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/executor.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Fills all arrays of `out`, padding included; the optimizer's with 0. `data`: root of the token
/// blob. `part`: the layout of `out`, with all tensors of `whole` or some.
void fill_initial(const state_layout& whole, const state_layout& part, std::uint64_t seed,
                  const base::digest& data, state_span out, executor& run);
inline void fill_initial(const state_layout& layout, std::uint64_t seed, const base::digest& data,
                         state_span out, executor& run) {
    fill_initial(layout, layout, seed, data, out, run);
}

/// Whether `weights` are the float32 values of a state of this layout: all tensors by name,
/// little-endian, without padding. Errors: `errc::bad_data`, naming the lengths, or the first
/// tensor with a value that is not finite.
base::result<void> check_weights(const state_layout& layout, base::byte_view weights);
/// Copies `weights`, which passed `check_weights` for `whole`; |x| < 2^-48 becomes +0, padding and
/// the optimizer's arrays 0. `part`: as above.
void fill_from(const state_layout& whole, const state_layout& part, base::byte_view weights,
               state_span out);

}  // namespace tequio::training
