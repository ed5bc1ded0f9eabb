#pragma once

/// One file a command; each adds its options and its callback to the parser. A callback leaves its
/// end in the context.

#include "node/cli/context.hpp"
#include "node/cli/parser.hpp"

namespace tequio::node {

/// A command of the interface that this version lacks: refused by its name, with exit code 2,
/// whatever its arguments. `has` says what there is instead; may be empty.
void refuse_command(cli_command& parent, cli_context& context, const std::string& name,
                    const std::string& has = {});

// Without a daemon.
void add_bench_command(cli_command& app, cli_context& context);
void add_job_new_command(cli_command& job, cli_context& context);
void add_job_plan_command(cli_command& job, cli_context& context);
void add_job_replay_command(cli_command& job, cli_context& context);
void add_job_sample_command(cli_command& job, cli_context& context);
void add_ledger_command(cli_command& app, cli_context& context);
void add_id_command(cli_command& app, cli_context& context);
void add_config_command(cli_command& app, cli_context& context);
void add_doctor_command(cli_command& app, cli_context& context);
void add_store_command(cli_command& app, cli_context& context);
/// Hidden: the compute process (`tequio worker`), started by the daemon and by `job replay`.
void add_worker_command(cli_command& app, cli_context& context);
/// Runs without a daemon too, and reports to it once there is one.
void add_agent_command(cli_command& app, cli_context& context);

// The daemon, and what asks it.
void add_node_command(cli_command& app, cli_context& context);
void add_status_commands(cli_command& app,
                         cli_context& context);  ///< status, peers, pause, resume, drain
void add_swarm_command(cli_command& app, cli_context& context);
void add_job_submit_command(cli_command& job, cli_context& context);
void add_job_view_commands(cli_command& job,
                           cli_context& context);  ///< list, show, watch, cancel, leave
void add_job_fetch_command(cli_command& job, cli_context& context);

}  // namespace tequio::node
