// `tequio job new DIR`: a commented job file, sized so that this machine alone needs under five
// minutes.

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/measure.hpp"
#include "node/io/files.hpp"
#include "node/worker/compute_pool.hpp"
#include "training/job_file.hpp"

namespace tequio::node {
namespace {

/// Half of the five minutes that are promised: the machine may be busier then than now.
constexpr double budget_seconds = 150;
/// Fewer rounds show nothing of merging; more are not needed to see a model learn.
constexpr std::uint64_t rounds_min = 8;
constexpr std::uint64_t rounds_max = 60;

struct new_options {
    std::string folder;
    std::string example = "text";
    std::string family = "gpt2";
};

/// Models to choose from, smallest first.
const training::model_config models[] = {
    {"gpt2", 2, 2, 64, 64, 256},
    {"gpt2", 4, 4, 128, 128, 256},
    {"gpt2", 6, 6, 192, 128, 256},
    {"gpt2", 6, 6, 384, 256, 256},
};

struct job_size {
    training::job_template_options options;
    double seconds = 0;
};

/// The largest model that this machine trains for enough rounds within the budget.
base::result<job_size> choose_size(const std::string& name, const std::string& family) {
    compute_pool pool(usable_threads());
    job_size best;
    for (auto model : models) {
        model.family = family;
        training::fill_model_defaults(model);
        job_size size;
        size.options.name = name;
        size.options.model = model;
        TEQUIO_TRY(const auto rate, measure_steps({"new", model, size.options.batch}, pool,
                                                  {1, 2, 1000, std::chrono::milliseconds(300)}));
        const auto& o = size.options;
        // Validation after each round is about a twentieth of this.
        const double round_seconds =
            1.05 * rate.step_seconds * static_cast<double>(o.lanes * o.inner_steps);
        const auto rounds = static_cast<std::uint64_t>(budget_seconds / round_seconds);
        if (rounds < rounds_min && best.seconds > 0) break;
        size.options.rounds = std::clamp(rounds, rounds_min, rounds_max);
        size.seconds = round_seconds * static_cast<double>(size.options.rounds);
        best = size;
        if (rounds < rounds_min) break;
    }
    return best;
}

base::result<void> make_job(cli_context& context, const new_options& o) {
    const std::filesystem::path folder(o.folder);
    const auto file = folder / "job.toml";
    std::error_code ec;
    if (std::filesystem::exists(file, ec)) {
        return ends_with(exit_code::usage,
                         file.string() + " exists; give another folder or remove it");
    }
    training::job_template_options probe;
    probe.example = o.example;
    probe.model.family = o.family;
    if (const auto known = training::job_template(probe); !known) {
        return ends_with(exit_code::usage, known.error().message());
    }
    auto name = std::filesystem::absolute(folder, ec).lexically_normal().filename().string();
    if (name.empty()) name = "my-job";
    context.say("measuring this machine");
    TEQUIO_TRY(auto size, choose_size(name, o.family));
    size.options.example = o.example;
    auto text = training::job_template(size.options);
    if (!text) {  // the folder's name cannot be a job's
        size.options.name = "my-job";
        text = training::job_template(size.options);
    }
    if (!text) return text.error();
    std::filesystem::create_directories(folder, ec);
    TEQUIO_CHECK(write_file(file, base::as_bytes(*text)));
    const auto data = folder / size.options.data_file;
    if (context.json) {
        context.print_json(
            "job-new",
            {{"file", file.string()}, {"data", data.string()}, {"seconds", size.seconds}});
        return {};
    }
    std::printf("%s\n", file.c_str());
    const auto time =
        std::chrono::duration_cast<base::duration>(std::chrono::duration<double>(size.seconds));
    context.say("about " + base::human_duration(time) +
                " on this machine alone. Next: put text into " + data.string() +
                ", then\n  tequio job plan " + file.string());
    return {};
}

}  // namespace

void add_job_new_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<new_options>();
    auto* command = job.add_subcommand("new", "write a commented job.toml sized for this machine");
    command->add_option("DIR", o->folder, "folder to write it to")->required();
    command->add_option("--example", o->example, "text")->show_default();
    command->add_option("--family", o->family, "gpt2, llama")->show_default();
    command->callback([&context, o] { context.run([&] { return make_job(context, *o); }); });
}

}  // namespace tequio::node
