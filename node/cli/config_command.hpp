#pragma once

/// How commands find and read the configuration.

#include <filesystem>
#include <optional>

#include "node/cli/context.hpp"
#include "node/core/node_config.hpp"

namespace tequio::node {

/// $XDG_CONFIG_HOME/tequio/config.toml.
std::filesystem::path default_config_file();

/// The configuration in `file`, or in the default file, which may be missing. Faults end with exit
/// code 2.
base::result<node_config> load_node_config(const std::optional<std::filesystem::path>& file);

}  // namespace tequio::node
