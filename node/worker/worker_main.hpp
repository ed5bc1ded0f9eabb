#pragma once

/// The worker process: computes, and can do nothing else.

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "training/research.hpp"

namespace tequio::node {

/// Descriptors at which a worker finds its connections.
inline constexpr int worker_socket_descriptor = 3;
inline constexpr int worker_gate_descriptor = 4;

/// What `compute_worker` puts on the command line, after the program's name and `worker`.
struct worker_settings {
    unsigned threads = 1;
    std::uint64_t memory_bytes = 0;       ///< see `sandbox_limits`
    bool low_priority = true;             ///< false for measurements that its user waits for
    std::uint64_t slices = 1;             ///< in which lanes run; see `training::engine_options`
    bool recompute = false;               ///< see there
    std::string group;                    ///< control group to go into; see `lower_own_priority`
    training::research_options research;  ///< of `job replay --research`; a daemon sets none
};

/// More threads than this are a mistake (guess).
inline constexpr unsigned worker_threads_max = 4096;

/// Lowers its own priority, starts the compute threads, closes the sandbox, and serves until the
/// daemon closes its end. Returns the exit code: 0 when the daemon has gone, 1 after a message on
/// stderr. The calling process must have one thread and must be made by `compute_worker`.
int worker_main(const worker_settings& settings);

}  // namespace tequio::node
