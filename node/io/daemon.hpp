#pragma once

/// The node daemon: one network thread that owns `node_logic` and every socket, one storage thread,
/// and the workers.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "node/core/node_config.hpp"

namespace tequio::node {

struct daemon_options {
    std::filesystem::path data_dir;
    node_config config;
    std::optional<std::string> listen;  ///< beats the configuration
    std::vector<std::string> peers;     ///< besides the configuration's
    unsigned threads = 0;               ///< beats the configuration; 0: by it
    /// Where session agents of all users are heard besides the API; empty: nowhere.
    std::filesystem::path agent_socket;
    bool quiet = false;
    bool always = false;  ///< works whatever happens on this machine (`governor_loop::options`)
    /// `PUT /api/v1/test/idle` says when the last input was. For tests.
    bool test_input = false;
    /// Reads the configuration again, for SIGHUP; none: there is nothing to read.
    std::function<base::result<node_config>()> reload;
};

/// Runs until SIGINT, SIGTERM, or `drain --exit`. The first signal drains: no more work is taken,
/// the lane in hand is finished if that takes less than 7 s after SIGTERM or 2 s after SIGINT, else
/// other nodes take it over; peers are told; all is over within 10 s. A second signal does not wait
/// for anything but the disk. Tells a service manager how it goes (service_notify.hpp). Errors:
/// what kept it from starting, or from keeping its promises (a disk that does not store).
base::result<void> run_daemon(const daemon_options& options);

}  // namespace tequio::node
