#pragma once

/// What a run card (training/model_folder.hpp) says that stands in the job's data.

#include "base/result.hpp"
#include "training/model_folder.hpp"

namespace tequio::node {

/// Of an mlp, puts the scales of its values into the card; of a language model, nothing. `data`: a
/// descriptor of the recipe's blob, which was compared with its name. Errors:
/// `base::errc::io_failure`.
base::result<void> add_input_scales(training::run_card& card, const training::recipe& r, int data);

}  // namespace tequio::node
