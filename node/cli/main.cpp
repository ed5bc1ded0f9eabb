// The program: a table of commands. Each command lives in a file of its own.

#include <cstdio>
#include <exception>

#include "node/cli/commands.hpp"

namespace {

using namespace tequio::node;

void add_commands(cli_command& app, cli_context& context) {
    add_node_command(app, context);
    add_id_command(app, context);
    add_swarm_command(app, context);
    add_status_commands(app, context);
    add_doctor_command(app, context);
    add_bench_command(app, context);
    auto& job = *app.add_subcommand("job", "write, submit, follow, fetch and recompute jobs");
    job.require_subcommand(1);
    add_job_new_command(job, context);
    add_job_plan_command(job, context);
    add_job_submit_command(job, context);
    add_job_view_commands(job, context);
    add_job_fetch_command(job, context);
    add_job_replay_command(job, context);
    add_job_sample_command(job, context);
    for (const auto* name : {"offers", "block", "extend", "judge", "tokenizer"}) {
        refuse_command(job, context, name);
    }
    add_ledger_command(app, context);
    add_config_command(app, context);
    add_store_command(app, context);
    add_worker_command(app, context);
    add_agent_command(app, context);
    for (const auto* name : {"logs", "completion"}) {
        refuse_command(app, context, name);
    }
}

int run(int argc, char** argv) {
    cli_context context;
    context.data_dir = default_data_dir();
    context.no_color = std::getenv("NO_COLOR") != nullptr;
    cli_parser parser(
        "Tequio: idle machines train one neural network together, to the same bits as one "
        "machine.",
        TEQUIO_VERSION);
    auto& app = parser.root();
    app.add_option("--data-dir", context.data_dir,
                   "where keys, blobs and ledger lie (TEQUIO_DATA_DIR)");
    app.add_flag("--json", context.json, "results and errors as JSON");
    app.add_flag("--quiet", context.quiet, "no messages");
    app.add_flag("--no-color", context.no_color, "no colour (NO_COLOR)");
    add_commands(app, context);
    const auto read = parser.parse(argc, argv);
    if (read.ended) return 0;
    if (!read.wrong.empty()) {
        context.fail(exit_code::usage, read.wrong + "; `tequio --help` lists what there is");
    }
    return static_cast<int>(context.code);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "tequio: internal error: %s\n", e.what());
        return 1;
    }
}
