// `tequio worker`: the compute process, started by the daemon and by `job replay`; not for people.

#include "node/worker/worker_main.hpp"

#include "base/ensure.hpp"
#include "node/cli/commands.hpp"
#include "node/worker/protection_probe.hpp"

namespace tequio::node {

void add_worker_command(cli_command& app, cli_context& context) {
    struct options {
        worker_settings settings;
        bool usual_priority = false;
        bool probe_protection = false;
        std::vector<std::string> research;
    };
    auto o = std::make_shared<options>();
    auto* command = app.add_subcommand("worker", "")->hide();
    command->add_option("--threads", o->settings.threads, "")->range(1u, worker_threads_max);
    command->add_option("--memory", o->settings.memory_bytes, "");
    command->add_flag("--usual-priority", o->usual_priority, "");
    command->add_option("--slices", o->settings.slices, "");
    command->add_flag("--recompute", o->settings.recompute, "");
    command->add_option("--group", o->settings.group, "");
    command->add_flag("--probe-protection", o->probe_protection, "");
    command->add_option("--research", o->research, "");
    command->callback([&context, o] {
        if (o->probe_protection) {
            context.code = static_cast<exit_code>(
                protection_probe_main(o->settings.group, probe_answer_descriptor));
            return;
        }
        o->settings.low_priority = !o->usual_priority;
        const auto research = training::parse_research(o->research);
        base::ensure(research.has_value(), "compute_worker writes the words that are read here");
        o->settings.research = *research;
        context.code = static_cast<exit_code>(worker_main(o->settings));
    });
}

}  // namespace tequio::node
