// `tequio job replay`: recompute a job here and compare it with the chronicle.

#include <fcntl.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/job_archive.hpp"
#include "node/cli/job_input.hpp"
#include "node/cli/measure.hpp"
#include "node/cli/replay_report.hpp"
#include "node/io/model_files.hpp"
#include "node/io/run_card.hpp"
#include "node/worker/job_replay.hpp"
#include "training/errc.hpp"
#include "training/model_folder.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using training::chronicle_entry;

struct replay_command_options {
    std::string what;
    unsigned threads = usable_threads();
    std::string rounds;
    std::vector<std::string> data;
    std::string work_dir;
    std::string chronicle;
    std::string chronicle_out;
    std::string out;
    bool force = false;
    std::uint64_t slices = 1;
    bool recompute = false;
    std::vector<std::string> research_words;
    training::research_options research;
};

/// What is replayed, wherever it came from.
struct replay_job {
    training::recipe recipe;
    training::run_card card;
    std::vector<unique_fd> blobs;  ///< of the recipe
    std::optional<base::blob_ref> companion;
    unique_fd companion_file;                ///< open if it was found
    std::vector<chronicle_entry> chronicle;  ///< to compare with; may be shorter than the job
    bool has_chronicle = false;
};

struct round_range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;  ///< inclusive; the recipe's `rounds` is the closing entry
};

void describe(replay_job& job, const training::task& t) {
    job.recipe = t.work;
    job.card.name = t.name;
    job.card.purpose = t.purpose;
    job.card.data_license = t.data_license;
    job.card.model_license = t.model_license;
    job.card.base_license = t.base_license;
    job.card.task = training::task_id_of(t);
    job.companion = t.companion;
}

base::result<unique_fd> open_file(const std::filesystem::path& path) {
    unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return io_error(path, "open", errno);
    return fd;
}

/// A blob of a recipe: among the files that --data names, in the data folder, or beside the task
/// file. The worker compares its bytes with its name.
base::result<unique_fd> find_blob(const cli_context& context, const replay_command_options& o,
                                  const base::blob_ref& ref) {
    std::error_code ec;
    for (const auto& path : o.data) {
        const auto size = std::filesystem::file_size(path, ec);
        if (ec) return open_file(path);
        if (size == ref.size) return open_file(path);
    }
    if (auto stored = open_archived_blob(context.data_dir, ref)) return std::move(stored->file);
    const auto beside = std::filesystem::path(o.what).parent_path() /
                        (ref.root.hex() + "-" + std::to_string(ref.size));
    if (auto file = open_file(beside)) return file;
    return ends_with(exit_code::not_found,
                     "the job's blob " + ref.text() + " is not in " + context.data_dir.string() +
                         "; take part in the job with this data dir, or give the file with "
                         "--data");
}

base::result<void> find_blobs(const cli_context& context, const replay_command_options& o,
                              replay_job& job) {
    for (const auto& ref : training::recipe_blobs(job.recipe)) {
        TEQUIO_TRY(auto file, find_blob(context, o, ref));
        job.blobs.push_back(std::move(file));
    }
    if (o.out.empty() || !job.companion) return {};
    TEQUIO_TRY(job.companion_file, find_blob(context, o, *job.companion));
    return {};
}

base::result<replay_job> read_job_file(const cli_context& context,
                                       const replay_command_options& o) {
    TEQUIO_TRY(auto input, read_job(context, o.what));
    replay_job job;
    job.recipe = input.recipe;
    job.card.name = input.file.name;
    job.card.purpose = input.file.purpose;
    job.card.data_license = input.file.data_license;
    job.card.model_license = input.file.model_license;
    job.card.base_license = input.file.base_license;
    const auto blobs = input.blobs();
    for (std::size_t i = 0; i < training::recipe_blobs(job.recipe).size(); ++i) {
        TEQUIO_TRY(auto file, make_sealed_file("tequio-blob", blobs[i].bytes));
        job.blobs.push_back(std::move(file));
    }
    job.companion = input.companion_ref();
    if (job.companion) {
        TEQUIO_TRY(job.companion_file, make_sealed_file("tequio-blob", input.companion));
    }
    return job;
}

base::result<replay_job> read_task_file(const cli_context& context,
                                        const replay_command_options& o) {
    TEQUIO_TRY(const auto text, read_file(o.what, training::task_size_max_bytes));
    TEQUIO_TRY(const auto task, training::parse_task(text));
    replay_job job;
    describe(job, task);
    TEQUIO_CHECK(find_blobs(context, o, job));
    TEQUIO_TRY(auto known, find_archived_job(context.data_dir, job.card.task.hex()));
    if (known) job.chronicle = std::move(known->chronicle);
    job.has_chronicle = known.has_value();
    return job;
}

base::result<replay_job> read_known_job(const cli_context& context,
                                        const replay_command_options& o) {
    TEQUIO_TRY(auto known, find_archived_job(context.data_dir, o.what));
    if (!known) {
        return ends_with(exit_code::not_found,
                         o.what + " is no file, and no job in " + context.data_dir.string() +
                             " begins with it; `tequio job list` shows the jobs of a daemon");
    }
    replay_job job;
    describe(job, known->task);
    job.chronicle = std::move(known->chronicle);
    job.has_chronicle = true;
    TEQUIO_CHECK(find_blobs(context, o, job));
    return job;
}

base::result<replay_job> find_job(const cli_context& context, const replay_command_options& o) {
    std::error_code ec;
    base::result<replay_job> job = base::fail(base::errc::io_failure, "");
    if (!std::filesystem::is_regular_file(o.what, ec)) {
        job = read_known_job(context, o);
    } else if (o.what.ends_with(".toml")) {
        job = read_job_file(context, o);
    } else {
        job = read_task_file(context, o);
    }
    if (job) TEQUIO_CHECK(add_input_scales(job->card, job->recipe, job->blobs.front().get()));
    if (job && !o.chronicle.empty()) {
        TEQUIO_TRY(job->chronicle, read_chronicle(o.chronicle));
        job->has_chronicle = true;
    }
    return job;
}

/// "A..B", "A..", "..B" or one number; both ends count.
base::result<round_range> parse_rounds(const std::string& text, std::uint64_t rounds) {
    round_range out{0, rounds};
    if (text.empty()) return out;
    const auto dots = text.find("..");
    const auto first = text.substr(0, dots);
    const auto last = dots == std::string::npos ? first : text.substr(dots + 2);
    const auto a = first.empty() ? std::optional<std::uint64_t>(0) : base::parse_u64(first);
    const auto b = last.empty() ? std::optional(rounds) : base::parse_u64(last);
    if (!a || !b || *a > *b || *b > rounds) {
        return ends_with(exit_code::usage,
                         "--rounds: found \"" + text +
                             "\", allowed: A..B with 0 <= A <= B <= " + std::to_string(rounds));
    }
    return round_range{*a, *b};
}

/// Ends an interrupted or failed replay in the words and with the code that fit.
base::error explain(const base::error& e, job_replay& replay) {
    if (e.is(training::errc::not_finite)) return ends_with(exit_code::job_failed, e.message());
    if (!e.is(training::errc::stopped)) return e;
    const auto saved = replay.save();
    return ends_with(exit_code::interrupted,
                     "interrupted in round " + std::to_string(replay.round().value) +
                         (saved ? "; the same command goes on there"
                                : "; and it could not be saved: " + saved.error().message()));
}

/// Goes to round `first` by the means that the data folder holds; false when one is missing or
/// damaged.
base::result<bool> take_shortcut(const cli_context& context, job_replay& replay,
                                 const replay_job& job, std::uint64_t first,
                                 replay_comparison& comparison) {
    while (replay.round().value < first) {
        const auto round = replay.round().value;
        if (round >= job.chronicle.size()) return false;
        const auto& entry = job.chronicle[round];
        auto mean = open_archived_blob(context.data_dir, entry.mean);
        if (!mean) return false;
        const auto state = replay.apply(std::move(*mean));
        // A damaged file is no reason to give up, and none to accuse anybody.
        if (!state && !state.error().is(training::errc::stopped)) return false;
        if (!state) return explain(state.error(), replay);
        if (*state != entry.state_after) {
            comparison.mismatch(round, "state_after of its mean", entry.state_after.hex(),
                                state->hex());
            return true;
        }
    }
    return true;
}

base::result<void> write_model(const replay_command_options& o, const replay_job& job,
                               const job_replay& replay, const replay_comparison& comparison) {
    auto card = job.card;
    card.recipe = training::recipe_id_of(job.recipe);
    card.recipe_text = training::recipe_text(job.recipe);
    card.state = replay.state_digest();
    card.rounds_done = replay.round().value;
    card.rounds = job.recipe.train.rounds;
    card.tokens = training::lane_tokens(job.recipe) * job.recipe.train.lanes * card.rounds_done;
    card.loss = comparison.loss();
    card.validation_loss = comparison.validation_loss();
    training::folder_options form;
    form.tokenizer_file = job.companion.has_value();
    auto files =
        training::write_model_folder(job.recipe.model, replay.state().parameters, card, form);
    if (job.companion) {
        TEQUIO_TRY(const auto map, memory_map::of(job.companion_file.get(), job.companion->size,
                                                  memory_map::access::read));
        if (base::blob_ref_of(map.bytes()) != *job.companion) {
            return ends_with(exit_code::verification_failed,
                             "the tokenizer is not the task's " + job.companion->text());
        }
        files[training::tokenizer_file_name].assign(map.bytes().begin(), map.bytes().end());
    }
    std::error_code ec;
    std::filesystem::create_directories(o.out, ec);
    for (const auto& [name, bytes] : files) {
        TEQUIO_CHECK(write_file(std::filesystem::path(o.out) / name, bytes));
    }
    std::set<std::string> kept;
    for (const auto& [name, bytes] : files) kept.insert(name);
    remove_other_weights(o.out, kept);
    return {};
}

/// A lane is divided at its recipe's cuts and nowhere else.
base::result<void> check_slices(const replay_command_options& o, const training::recipe& r) {
    const auto most = training::slices_max(r);
    if (o.slices == 1 && o.recompute) {
        return ends_with(exit_code::usage, "--recompute: allowed with --slices above 1 only");
    }
    if (o.slices >= 1 && o.slices <= most) return {};
    return ends_with(exit_code::usage, "--slices: found " + std::to_string(o.slices) +
                                           ", allowed: 1 to " + std::to_string(most) +
                                           ": the recipe has " + std::to_string(most - 1) +
                                           (most == 2 ? " cut" : " cuts"));
}

/// A study is no job: it has no chronicle to be compared with, its state no other process could go
/// on from, and nothing of it is kept where a replay of the job would find it.
base::result<void> check_research(const cli_context& context, replay_command_options& o) {
    auto read = training::parse_research(o.research_words);
    if (!read) return ends_with(exit_code::usage, read.error().message());
    o.research = *read;
    if (!o.research.any()) return {};
    if (!o.what.ends_with(".toml") || !o.chronicle.empty() || !o.rounds.empty()) {
        return ends_with(exit_code::usage,
                         "--research is for a job.toml, without --chronicle and --rounds: its "
                         "arithmetic is no task's");
    }
    std::string words;
    for (const auto& word : o.research_words) words += (words.empty() ? "" : ", ") + word;
    context.say("research: " + words + "; what is computed is not the job's result");
    return {};
}

base::result<void> check_outputs(const replay_command_options& o) {
    if (o.slices != 1 && o.research.any()) {
        return ends_with(exit_code::usage,
                         "--slices: found " + std::to_string(o.slices) +
                             ", allowed: 1 with --research, which is about whole lanes");
    }
    if (!o.chronicle_out.empty() && !o.rounds.empty()) {
        return ends_with(exit_code::usage,
                         "--write-chronicle writes whole chronicles: no --rounds");
    }
    if (o.out.empty() || o.force || !holds_model(o.out)) return {};
    return ends_with(exit_code::usage, o.out + " holds a model already; --force overwrites it");
}

base::result<std::unique_ptr<job_replay>> open_replay(const cli_context& context,
                                                      const replay_command_options& o,
                                                      replay_job& job, replay_display& display) {
    replay_options options;
    options.worker.threads = o.threads;
    options.worker.low_priority = false;  // somebody waits for it
    const auto id = training::recipe_id_of(job.recipe).hex();
    options.folder = context.data_dir / "replay" / id;
    if (o.research.any()) {
        options.folder = context.data_dir / "study" / std::to_string(::getpid());
        options.deaths_max = 1;  // what lanes carry is gone with their process
    }
    if (!o.work_dir.empty()) options.folder = o.work_dir;
    options.worker.research = o.research;
    options.worker.slices = o.slices;
    options.worker.recompute = o.recompute;
    options.keep_going = [&display](const replay_progress& at) {
        display.show(at);
        return !interrupted();
    };
    options.on_ready = [&context](const worker_ready& ready) {
        context.say("worker: " + std::to_string(ready.threads) + " threads, " + ready.simd +
                    ", sandbox: " + ready.sandbox);
    };
    auto replay = job_replay::open(job.recipe, std::move(job.blobs), std::move(options));
    if (replay) return replay;
    if (replay.error().is(training::errc::refused_by_policy)) {
        return ends_with(exit_code::refused, replay.error().message());
    }
    if (replay.error().is(training::errc::stopped)) {
        return ends_with(exit_code::interrupted, "interrupted");
    }
    return replay.error();
}

/// Computes and compares up to the end of `range`, or to the first mismatch.
base::result<void> compute_rounds(job_replay& replay, const round_range& range,
                                  replay_comparison& comparison, replay_display& display) {
    constexpr auto save_every = std::chrono::seconds(20);
    auto saved_at = std::chrono::steady_clock::now();
    for (const auto& entry : replay.entries()) {
        if (entry.round.value >= range.first) comparison.add(entry);
    }
    bool closed = false;
    while (!closed && !comparison.differs() && replay.round().value <= range.last) {
        const auto entry = replay.next_round();
        if (!entry) return explain(entry.error(), replay);
        display.finished(*entry);
        if (entry->round.value >= range.first) comparison.add(*entry);
        closed = entry->closes();
        if (!closed && std::chrono::steady_clock::now() - saved_at > save_every) {
            TEQUIO_CHECK(replay.save());
            saved_at = std::chrono::steady_clock::now();
        }
    }
    return {};
}

base::result<void> replay_whole(cli_context& context, replay_command_options& o) {
    TEQUIO_CHECK(check_research(context, o));
    TEQUIO_CHECK(check_outputs(o));
    TEQUIO_TRY(auto job, find_job(context, o));
    TEQUIO_CHECK(check_slices(o, job.recipe));
    if (o.research.carry_inner_state && job.recipe.train.synchronous()) {
        return ends_with(exit_code::usage,
                         "--research inner_state=carried is for method diloco: with method "
                         "synchronous lanes have no state of their own");
    }
    TEQUIO_TRY(const auto range, parse_rounds(o.rounds, job.recipe.train.rounds));
    catch_interrupts();
    replay_display display(context, job.recipe);
    TEQUIO_TRY(const auto replay, open_replay(context, o, job, display));
    replay_comparison comparison(job.chronicle);
    TEQUIO_TRY(const bool shortened, take_shortcut(context, *replay, job, range.first, comparison));
    if (!shortened) context.say("not all means are here: computing from the start");
    TEQUIO_CHECK(compute_rounds(*replay, range, comparison, display));
    if (!o.chronicle_out.empty()) {
        TEQUIO_CHECK(write_chronicle(o.chronicle_out, comparison.computed()));
    }
    if (!o.out.empty()) TEQUIO_CHECK(write_model(o, job, *replay, comparison));
    report(context, *replay, comparison, job.has_chronicle);
    replay->discard();
    return {};
}

}  // namespace

void add_job_replay_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<replay_command_options>();
    auto* command =
        job.add_subcommand("replay", "recompute a job here and compare it with its chronicle");
    command->add_option("JOB", o->what, "task id (or its first digits), task file, or job.toml")
        ->required();
    command->add_option("--threads", o->threads, "compute threads")->range(1, 1024);
    command->add_option("--slices", o->slices,
                        "run each lane in that many slices, at most one more than it has cuts");
    command->add_flag(
        "--recompute", o->recompute,
        "with --slices: activation recomputation; less memory, more time, equal bits");
    command->add_option("--rounds", o->rounds, "A..B: only these, both included");
    command->add_option("--data", o->data, "files of the job: its data, weights to start from");
    command->add_option("--chronicle", o->chronicle, "compare with this file");
    command->add_option("--write-chronicle", o->chronicle_out, "write what was computed");
    command->add_option("--work-dir", o->work_dir, "where finished parts are kept meanwhile");
    command->add_option("--out", o->out, "write the model to this folder");
    command->add_option("--research", o->research_words,
                        "a study with other arithmetic: inner_state=carried, panel=N, "
                        "softmax=online; may be repeated");
    command->add_flag("--force", o->force, "overwrite a model that is there");
    command->callback([&context, o] { context.run([&] { return replay_whole(context, *o); }); });
}

}  // namespace tequio::node
