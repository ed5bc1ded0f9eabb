// The program tequio-sim: what these machines cannot show, on virtual time.

#include <boost/json.hpp>
#include <cstdio>
#include <exception>
#include <map>

#include "node/cli/context.hpp"
#include "node/cli/parser.hpp"
#include "tests/simulation/job_report.hpp"

namespace {

using namespace tequio;

/// Ends with exit code 2: the line is wrong.
void refuse(node::cli_context& context, const std::string& message) {
    context.code = node::exit_code::usage;
    const int code = static_cast<int>(context.code);
    if (context.json) context.print_json("error", {{"error", message}, {"exit_code", code}});
    std::fprintf(stderr, "tequio-sim: %s\n", message.c_str());
}

struct job_command {
    std::string preset;
    std::map<std::string, std::string> values;  ///< of the options that were given

    base::result<simulation::job_scenario> scenario(const node::cli_command& command) const {
        simulation::job_scenario s;
        if (!preset.empty()) {
            TEQUIO_TRY(s, simulation::job_preset(preset));
        }
        for (const auto& option : simulation::job_options()) {
            const std::string name(option.name);
            if (!command.given("--" + name)) continue;
            TEQUIO_CHECK(simulation::set_option(s, name, values.at(name)));
        }
        return s;
    }

    void run(node::cli_context& context, const node::cli_command& command) const {
        const auto s = scenario(command);
        if (!s) return refuse(context, s.error().message());
        const auto report = simulation::run_job(*s);
        if (!report) return refuse(context, report.error().message());
        if (context.json) {
            context.print_json("sim/job", simulation::report_json(*s, *report));
        } else {
            std::fputs(simulation::report_text(*s, *report).c_str(), stdout);
        }
        if (!report->finished) context.code = node::exit_code::timed_out;
    }
};

void add_job_command(node::cli_command& app, node::cli_context& context, job_command& job) {
    auto& command = *app.add_subcommand(
        "job",
        "a whole job of the real crew core, with modelled compute and links: sizes, no numbers");
    command.add_option("--preset", job.preset,
                       "home (gpt2-124m, 2 nodes at 20 Mbit/s), volunteers (llama-1b, 64 nodes "
                       "that come and go) or grid (tinyllama in 8 slices among 64 of them); other "
                       "options change it");
    const simulation::job_scenario usual;
    for (const auto& option : simulation::job_options()) {
        const std::string name(option.name);
        auto& value = job.values[name];
        value = option.get(usual);
        command
            .add_option("--" + name, value,
                        std::string(option.help) + ": " + std::string(option.allowed))
            ->show_default();
    }
    command.callback([&] { job.run(context, command); });
}

int run(int argc, char** argv) {
    node::cli_context context;
    node::cli_parser parser("Whole swarms of Tequio's cores on virtual time, from one seed.",
                            TEQUIO_VERSION);
    auto& app = parser.root();
    app.add_flag("--json", context.json, "results and errors as JSON");
    job_command job;
    add_job_command(app, context, job);
    const auto read = parser.parse(argc, argv);
    if (read.ended) return 0;
    if (!read.wrong.empty()) {
        refuse(context, read.wrong + "; `tequio-sim --help` lists what there is");
    }
    return static_cast<int>(context.code);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "tequio-sim: internal error: %s\n", e.what());
        return 1;
    }
}
