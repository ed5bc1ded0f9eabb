#pragma once

/// `tequio bench interference`: what an owner feels of a node beside his work, how fast the machine
/// is given back, and how much of idle time is used.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "node/cli/context.hpp"

namespace tequio::node {

struct interference_options {
    std::vector<std::string> probes;  ///< names; empty: all
    std::string conditions = "ABCD";  ///< letters of `condition_name`
    std::uint64_t blocks = 4;         ///< each has every condition once; every other one backwards
    double seconds = 0.5;             ///< of a probe's turn; harvest and pause last 15 times that
    std::uint64_t triggers = 10;      ///< trials of giving back, for each kind of trigger
    std::string build;                ///< shell command of the probe "build"
    std::uint64_t seed = 1;           ///< of the intervals
    bool quick = false;               ///< as short as it can be: to see that everything works
};

/// Names that `probes` may hold.
std::vector<std::string> interference_probe_names();

/// Starts and ends a node of its own; leaves no process and no file behind but the data dir's
/// `interference.json`. Errors: `usage` for options that mean nothing, `interrupted`, a node that
/// does not start.
base::result<void> bench_interference(cli_context& context, const interference_options& options);

/// The rival of condition D: trains what the node's job trains, at the priority it was given, until
/// it is killed.
base::result<void> run_rival(unsigned threads);

}  // namespace tequio::node
