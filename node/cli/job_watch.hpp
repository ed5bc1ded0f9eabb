#pragma once

/// Following a job: used by `job watch` and `job submit --wait`.

#include <boost/json/object.hpp>
#include <string>

#include "node/cli/api_client.hpp"
#include "node/cli/context.hpp"

namespace tequio::node {

/// Draws progress until the job ends: one changing block in a terminal, a line a round elsewhere.
/// Ctrl-C ends watching, never the job. Errors: exit code 7 when the job failed or was cancelled,
/// 130 when interrupted.
base::result<void> watch_job(cli_context& context, api_client& daemon, const std::string& id);

/// Waits until other nodes hold all that the job needs. Errors as above.
base::result<void> wait_until_safe_to_leave(cli_context& context, api_client& daemon,
                                            const std::string& id);

/// One line about a job: state, round, loss, speed, crew, time left.
std::string job_line(const boost::json::object& job);

}  // namespace tequio::node
