// `tequio job new DIR`: a commented job file, sized so that this machine alone needs under five
// minutes.

#include <boost/json.hpp>
#include <cstdio>
#include <vector>

#include "base/text.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/drawn_digits.hpp"
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
/// A round of method synchronous is one step: so many of them stand for one of diloco.
constexpr std::uint64_t synchronous_rounds = 20;

struct new_options {
    std::string folder;
    std::string example = "text";
    std::string family;  ///< of the example "text"; empty: gpt2
    std::string method{training::method_diloco};
};

/// Enough drawn digits for a test of 2,000 that tells 1 % from 2 %.
constexpr std::uint64_t digit_count = 12000;
constexpr std::uint64_t digit_seed = 1;

training::model_config classifier(std::uint64_t width) {
    training::model_config m;
    m.family = "mlp";
    m.layers = 2;
    m.width = width;
    m.context = 1;
    m.inputs = digit_side * digit_side;
    m.vocabulary = 10;
    return m;
}

/// Models to choose from, smallest first.
std::vector<training::model_config> models_of(const new_options& o) {
    if (o.example == "digits") return {classifier(64), classifier(128), classifier(256)};
    std::vector<training::model_config> models{{"gpt2", 2, 2, 64, 64, 256},
                                               {"gpt2", 4, 4, 128, 128, 256},
                                               {"gpt2", 6, 6, 192, 128, 256},
                                               {"gpt2", 6, 6, 384, 256, 256}};
    for (auto& model : models) {
        if (!o.family.empty()) model.family = o.family;
        training::fill_model_defaults(model);
    }
    return models;
}

struct job_size {
    training::job_template_options options;
    double seconds = 0;
};

/// The largest model that this machine trains for enough rounds within the budget.
base::result<job_size> choose_size(const std::string& name, const new_options& o) {
    compute_pool pool(usable_threads());
    job_size best;
    for (const auto& model : models_of(o)) {
        job_size size;
        size.options.name = name;
        size.options.example = o.example;
        size.options.method = o.method;
        size.options.model = model;
        if (o.example == "digits") size.options.batch = 64;
        TEQUIO_TRY(const auto rate, measure_steps({"new", model, size.options.batch}, pool,
                                                  {1, 2, 1000, std::chrono::milliseconds(300)}));
        // Validation after each round is about a twentieth of this, with digits an eighth. After
        // each step of all lanes it is two thirds, with digits two and a half times as much.
        const bool synchronous = o.method == training::method_synchronous;
        const double lane_steps =
            static_cast<double>(size.options.lanes * (synchronous ? 1 : size.options.inner_steps));
        const double validated = o.example == "digits" ? 3.5 : 1.7;
        const double round_seconds =
            (synchronous ? validated : 1.15) * rate.step_seconds * lane_steps;
        const auto rounds = static_cast<std::uint64_t>(budget_seconds / round_seconds);
        const auto least = rounds_min * (synchronous ? synchronous_rounds : 1);
        if (rounds < least && best.seconds > 0) break;
        size.options.rounds =
            std::clamp(rounds, least, rounds_max * (synchronous ? synchronous_rounds : 1));
        size.seconds = round_seconds * static_cast<double>(size.options.rounds);
        best = size;
        if (rounds < least) break;
    }
    return best;
}

/// The data files that a job of this example names.
std::vector<std::filesystem::path> data_files(const std::filesystem::path& folder,
                                              const training::job_template_options& o) {
    if (o.example != "digits") return {folder / o.data_file};
    return {folder / training::digit_images_file, folder / training::digit_labels_file};
}

/// Draws the data of "digits"; the person brings that of "text".
base::result<void> make_data(const std::filesystem::path& folder,
                             const training::job_template_options& o) {
    if (o.example != "digits") return {};
    const auto digits = draw_digits(digit_count, digit_seed);
    const auto files = data_files(folder, o);
    TEQUIO_CHECK(write_file(files[0], digits.images));
    return write_file(files[1], digits.labels);
}

/// Refuses a folder in which something would be overwritten.
base::result<void> check_folder(const std::filesystem::path& folder,
                                const training::job_template_options& o) {
    std::vector<std::filesystem::path> files{folder / "job.toml"};
    if (o.example == "digits") {
        const auto data = data_files(folder, o);
        files.insert(files.end(), data.begin(), data.end());
    }
    std::error_code ec;
    for (const auto& file : files) {
        if (!std::filesystem::exists(file, ec)) continue;
        return ends_with(exit_code::usage,
                         file.string() + " exists; give another folder or remove it");
    }
    return {};
}

void tell(cli_context& context, const std::filesystem::path& folder, const job_size& size) {
    const auto file = (folder / "job.toml").string();
    const auto data = data_files(folder, size.options);
    if (context.json) {
        context.print_json(
            "job-new",
            {{"file", file}, {"data", data.front().string()}, {"seconds", size.seconds}});
        return;
    }
    std::printf("%s\n", file.c_str());
    const auto time =
        std::chrono::duration_cast<base::duration>(std::chrono::duration<double>(size.seconds));
    const bool digits = size.options.example == "digits";
    context.say("about " + base::human_duration(time) + " on this machine alone. " +
                (digits ? "Its digits are drawn, not handwritten: MNIST's files can take their "
                          "place. Next:"
                        : "Next: put text into " + data.front().string() + ", then") +
                "\n  tequio job plan " + file);
}

base::result<void> make_job(cli_context& context, const new_options& o) {
    const std::filesystem::path folder(o.folder);
    training::job_template_options probe;
    probe.example = o.example;
    probe.method = o.method;
    if (o.example == "digits" && !o.family.empty()) {
        return ends_with(exit_code::usage,
                         "--family: the example \"digits\" is for the family mlp alone");
    }
    if (!o.family.empty()) probe.model.family = o.family;
    if (const auto known = training::job_template(probe); !known) {
        return ends_with(exit_code::usage, known.error().message());
    }
    TEQUIO_CHECK(check_folder(folder, probe));
    std::error_code ec;
    auto name = std::filesystem::absolute(folder, ec).lexically_normal().filename().string();
    if (name.empty()) name = "my-job";
    context.say("measuring this machine");
    TEQUIO_TRY(auto size, choose_size(name, o));
    auto text = training::job_template(size.options);
    if (!text) {  // the folder's name cannot be a job's
        size.options.name = "my-job";
        text = training::job_template(size.options);
    }
    if (!text) return text.error();
    std::filesystem::create_directories(folder, ec);
    TEQUIO_CHECK(make_data(folder, size.options));
    TEQUIO_CHECK(write_file(folder / "job.toml", base::as_bytes(*text)));
    tell(context, folder, size);
    return {};
}

}  // namespace

void add_job_new_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<new_options>();
    auto* command = job.add_subcommand("new", "write a commented job.toml sized for this machine");
    command->add_option("DIR", o->folder, "folder to write it to")->required();
    command->add_option("--example", o->example, "text | digits")->show_default();
    command->add_option("--family", o->family, "of text: gpt2 (by default) | llama");
    command->add_option("--method", o->method, "diloco | synchronous")->show_default();
    command->callback([&context, o] { context.run([&] { return make_job(context, *o); }); });
}

}  // namespace tequio::node
