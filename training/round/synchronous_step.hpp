#pragma once

/// The global step of method synchronous.

#include "base/ids.hpp"
#include "training/recipe.hpp"
#include "training/round/mean_reader.hpp"
#include "training/state.hpp"

namespace tequio::training {

/// One step of AdamW by the merged gradient, as `apply_mean` says. `gradient`: of the layout
/// `whole`, read twice, once for its norm; state: of the layout `part`, updated, padding stays +0.
/// Threads: none; an element takes 28 bytes of memory traffic, the lanes' forward and backward a
/// thousand times that.
void synchronous_step(const train_config& train, const state_layout& whole,
                      const state_layout& part, base::round_index round,
                      const mean_reader& gradient, state_span state);

}  // namespace tequio::training
