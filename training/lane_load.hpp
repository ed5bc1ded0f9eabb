#pragma once

/// What a crew is told of a recipe's lanes, to compose teams by.

#include "training/crew.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// Sizes of every division that the recipe's cuts allow, up to `crew_slices_max` slices. Each
/// member sends its activations on and gradients back, and the first one what the others give it of
/// the contribution. Cost: a pass over the layout for each number of slices.
crew_lane_load lane_load_of(const recipe& r);

}  // namespace tequio::training
