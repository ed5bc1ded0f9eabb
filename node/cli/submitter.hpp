#pragma once

/// The submitter's own key: a person's, not a node's; in the user configuration.

#include <filesystem>

#include "base/signing.hpp"

namespace tequio::node {

/// $XDG_CONFIG_HOME/tequio/submitter.key.
std::filesystem::path submitter_file();
base::result<base::signing_key> load_or_create_submitter();

}  // namespace tequio::node
