#pragma once

/// config.json of a model's folder: what Hugging Face's transformers reads and writes for the
/// architectures that are families here, and how their tensors are called.
/// Source: transformers, configuration_gpt2.py, configuration_llama.py and configuration_utils.py;
/// keys that are missing have the defaults of those classes.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "training/model_folder.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

/// How the folders of one family differ from those of others.
struct folder_family {
    std::string_view family;
    std::string_view model_type;    ///< in config.json
    std::string_view architecture;  ///< the class in transformers; empty: it has none
    std::string_view prefix;        ///< of all tensors but the head; files may leave it out
    std::string_view embedding;     ///< the tensor that a tied head repeats; empty: none does
    std::string_view head;          ///< its name when it is repeated, or not tied
    std::uint64_t layer_tensors;    ///< tensors of each layer
    /// Endings of tensors that hold no weights: buffers that older versions wrote.
    std::span<const std::string_view> buffers;
};

/// Ensures that the family has folders.
const folder_family& folder_family_of(std::string_view family);

/// The text of config.json, its keys in order of name. Depends on the arguments alone.
std::string config_text(const model_config& model, const folder_options& options);

/// Reads config.json. The family may be one that this program cannot train. Errors:
/// `errc::bad_state` or `errc::not_in_version`, naming the key. Safe on any input.
base::result<model_config> parse_config(base::byte_view bytes);

}  // namespace tequio::training
