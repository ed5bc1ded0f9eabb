#pragma once

/// What the folder of a trained mlp says in its own words (training/model_folder.hpp).

#include <span>
#include <string>

#include "base/bytes.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// inputs.safetensors: `shift` and `factor`, float32 (inputs) each, from which the values that the
/// model sees follow: (value - shift) * factor. Both spans have the same size.
base::byte_vector mlp_input_scales(std::span<const float> shifts, std::span<const float> factors);
/// The part of the run card on how to use the model.
std::string mlp_use_text(const model_config& model);

}  // namespace tequio::training
