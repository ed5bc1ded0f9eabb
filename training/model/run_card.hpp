#pragma once

/// The run card: README.md of a model's folder, for people and for Hugging Face's hub.

#include <string>

#include "training/model_folder.hpp"

namespace tequio::training {

/// Markdown with a YAML head. Texts of strangers stand on one line each.
std::string card_text(const model_config& model, const run_card& card,
                      const folder_options& options);

}  // namespace tequio::training
