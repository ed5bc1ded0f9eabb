#pragma once

/// The session agent: runs as the desktop's user, inside the session, and tells the daemon when its
/// owner was last at the machine. README.md of this folder says what it may know and tell.

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace tequio::node {

struct session_agent_options {
    std::vector<std::filesystem::path>
        sockets;  ///< daemons' sockets, the first that answers counts
    /// Called with the name of the source that counts now ("none" without) and the same with the
    /// reasons against better ones; at the start and whenever the first changes.
    std::function<void(const std::string& source, const std::string& detail)> source_changed;
    std::function<void(const std::string&)> say;  ///< a line for people; rare
};

/// Runs until SIGINT or SIGTERM. Neither a missing daemon nor missing sources end it.
void run_session_agent(const session_agent_options& options);

}  // namespace tequio::node
