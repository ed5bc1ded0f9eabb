#pragma once

/// How fast a node lets go, how much it gathers, what it costs while paused: measured from outside,
/// by the processor time that its worker consumes (reference "volunteer", sections 4.1 and 4.3: a
/// starved worker cannot acknowledge, and need not).

#include "base/result.hpp"
#include "node/cli/context.hpp"
#include "node/cli/interference_report.hpp"
#include "node/cli/trial_node.hpp"

namespace tequio::node {

/// `count` times: wait until the worker works, raise the trigger, watch every 5 ms until it has
/// stopped. `trigger`: "input", the test source; "contention", a loop of the shell for each
/// processor, started at once and ended when the worker has stopped and is parked. The node runs
/// under `trial_policy::normal`. When it stops working for a minute, the trials there were are the
/// result, and `ended_early` says why. Errors: the same before the first trial; `interrupted`.
base::result<give_back_times> measure_give_back(const cli_context& context, const trial_node& node,
                                                const std::string& trigger, std::uint64_t count);

/// Over `seconds` of a node that runs, has begun to work and has come into its stride.
base::result<harvest_result> measure_harvest(const trial_node& node, double seconds);

/// Pauses a node that works and watches it for `seconds`.
base::result<paused_result> measure_paused(const trial_node& node, double seconds);

}  // namespace tequio::node
