#pragma once

/// Initial weights; the rule stands at `engine::initial_state`.

#include <cstdint>

#include "base/ids.hpp"
#include "training/executor.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// Fills both arrays of `out`, padding included. `data`: root of the token blob.
void fill_initial(const state_layout& layout, std::uint64_t seed, const base::digest& data,
                  state_span out, executor& run);

}  // namespace tequio::training
