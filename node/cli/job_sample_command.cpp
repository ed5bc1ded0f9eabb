// `tequio job sample DIR --prompt TEXT`: text from a trained model.

#include <boost/json.hpp>
#include <cstdio>

#include "base/text.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/job_input.hpp"
#include "node/cli/measure.hpp"
#include "node/io/log_format.hpp"
#include "node/io/model_files.hpp"
#include "node/worker/compute_pool.hpp"
#include "training/sampling.hpp"

namespace tequio::node {
namespace {

struct sample_command_options {
    std::string folder;
    std::string prompt;
    unsigned threads = usable_threads();
    training::sample_options sample;
};

base::result<mapped_model> open_folder(const std::filesystem::path& folder) {
    auto files = mapped_model::open(folder);
    if (files || !files.error().is(base::errc::io_failure)) return files;
    return ends_with(
        exit_code::not_found,
        files.error().message() + "; a model folder is what `tequio job fetch` writes");
}

/// What the folder's model was trained on: its tokenizer.json, or single bytes where it has none.
base::result<training::tokenizer> tokenizer_of(const std::filesystem::path& folder,
                                               const training::model_config& model) {
    auto words = training::tokenizer::of_bytes();
    const auto path = folder / "tokenizer.json";
    std::error_code ec;
    const bool given = std::filesystem::exists(path, ec);
    if (given) {
        auto read = read_tokenizer(path);
        if (!read) return read.error().at(folder.string());
        words = std::move(*read);
    }
    if (given ? words.vocabulary() <= model.vocabulary : words.vocabulary() == model.vocabulary) {
        return words;
    }
    return ends_with(
        exit_code::failure,
        folder.string() + ": the model has a vocabulary of " + std::to_string(model.vocabulary) +
            (given ? ", its tokenizer.json one of " + std::to_string(words.vocabulary())
                   : std::string(" and needs its tokenizer.json in this folder")));
}

base::result<void> sample_model(cli_context& context, const sample_command_options& o) {
    const std::filesystem::path folder(o.folder);
    TEQUIO_TRY(const auto files, open_folder(folder));
    auto model = training::load_model_folder(files.view());
    if (!model) return model.error().at(folder.string());
    if (const auto text = training::check_writes_text(model->model); !text) {
        return text.error().at(folder.string());
    }
    TEQUIO_TRY(const auto words, tokenizer_of(folder, model->model));
    TEQUIO_TRY(const auto prompt, training::prompt_tokens(words, base::as_bytes(o.prompt)));
    catch_interrupts();
    compute_pool pool(o.threads);
    std::string text;
    std::uint64_t tokens = 0;
    const auto sink = [&](std::uint32_t token) {
        const auto bytes = base::as_text(words.bytes_of(token));
        text += bytes;
        ++tokens;
        if (!context.json) {
            std::fwrite(bytes.data(), 1, bytes.size(), stdout);
            std::fflush(stdout);
        }
        return !interrupted();
    };
    if (!context.json) std::fwrite(o.prompt.data(), 1, o.prompt.size(), stdout);
    TEQUIO_CHECK(training::sample(*model, prompt, o.sample, pool, sink));
    if (!context.json) std::fputc('\n', stdout);
    if (interrupted()) return ends_with(exit_code::interrupted, "interrupted");
    if (context.json) {
        const auto bytes = base::as_bytes(text);
        context.print_json("job-sample", {{"prompt", as_utf8(o.prompt)},
                                          {"text", as_utf8(text)},
                                          {"base64", base::to_base64(bytes)},
                                          {"tokens", tokens},
                                          {"seed", o.sample.seed}});
    }
    return {};
}

}  // namespace

void add_job_sample_command(cli_command& job, cli_context& context) {
    auto o = std::make_shared<sample_command_options>();
    auto* command = job.add_subcommand("sample", "write text with a trained model");
    command->add_option("DIR", o->folder, "model folder")->required();
    command->add_option("--prompt", o->prompt, "how the text begins")->required();
    command->add_option("--tokens", o->sample.tokens, "how many to write")
        ->range(1, 1000000)
        ->show_default();
    command->add_option("--seed", o->sample.seed, "another seed, another text")->show_default();
    command->add_option("--temperature", o->sample.temperature, "0: always the likeliest")
        ->range(0.0, 100.0)
        ->show_default();
    command->add_option("--threads", o->threads, "compute threads")->range(1, 1024);
    command->callback([&context, o] { context.run([&] { return sample_model(context, *o); }); });
}

}  // namespace tequio::node
