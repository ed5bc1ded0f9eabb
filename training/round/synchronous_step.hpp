#pragma once

/// The global step of method synchronous.

#include <span>

#include "base/ids.hpp"
#include "training/recipe.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// One step of AdamW on the whole state by the merged gradient, as `apply_mean` says. gradient:
/// (padded_size), no -0 and no subnormal; state: updated, padding stays +0. Threads: none; an
/// element takes 28 bytes of memory traffic, the lanes' forward and backward a thousand times that.
void synchronous_step(const train_config& train, const state_layout& layout,
                      base::round_index round, std::span<const float> gradient, state_span state);

}  // namespace tequio::training
