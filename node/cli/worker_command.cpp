// `tequio worker`: the compute process, started by the daemon and by `job replay`; not for people.

#include "node/worker/worker_main.hpp"

#include "base/ensure.hpp"
#include "node/cli/commands.hpp"

namespace tequio::node {

void add_worker_command(cli_command& app, cli_context& context) {
    struct options {
        worker_settings settings;
        bool usual_priority = false;
        std::vector<std::string> research;
    };
    auto o = std::make_shared<options>();
    auto* command = app.add_subcommand("worker", "")->hide();
    command->add_option("--threads", o->settings.threads, "")->range(1u, worker_threads_max);
    command->add_option("--memory", o->settings.memory_bytes, "");
    command->add_flag("--usual-priority", o->usual_priority, "");
    command->add_option("--research", o->research, "");
    command->callback([&context, o] {
        o->settings.low_priority = !o->usual_priority;
        const auto research = training::parse_research(o->research);
        base::ensure(research.has_value(), "compute_worker writes the words that are read here");
        o->settings.research = *research;
        context.code = static_cast<exit_code>(worker_main(o->settings));
    });
}

}  // namespace tequio::node
