// `tequio job sample DIR --prompt TEXT`: text from a trained model.

#include <boost/json.hpp>
#include <cstdio>

#include "node/cli/commands.hpp"
#include "node/cli/measure.hpp"
#include "node/io/files.hpp"
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

/// Length of the UTF-8 sequence at the start of `text`; 0 if there is none.
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    const unsigned second = byte(1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    const bool too_high = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || too_high ? 0 : length;
}

/// A model of bytes may write any; JSON may not hold them.
std::string as_utf8(std::string_view bytes) {
    std::string out;
    while (!bytes.empty()) {
        const auto length = utf8_length(bytes);
        out += length == 0 ? std::string_view("\xef\xbf\xbd") : bytes.substr(0, length);
        bytes.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

base::result<mapped_file> open_part(const std::filesystem::path& folder, const char* name) {
    auto file = mapped_file::open(folder / name);
    if (file) return file;
    return ends_with(exit_code::not_found,
                     file.error().message() + "; a model folder is what `tequio job fetch` writes");
}

base::result<void> sample_model(cli_context& context, const sample_command_options& o) {
    const std::filesystem::path folder(o.folder);
    TEQUIO_TRY(const auto config, open_part(folder, "config.json"));
    TEQUIO_TRY(const auto weights, open_part(folder, "model.safetensors"));
    auto model = training::load_model_folder(config.bytes(), weights.bytes());
    if (!model) return model.error().at(folder.string());
    catch_interrupts();
    compute_pool pool(o.threads);
    std::string text;
    const auto sink = [&](std::uint32_t token) {
        const auto byte = static_cast<char>(token);
        text += byte;
        if (!context.json) {
            std::fputc(byte, stdout);
            std::fflush(stdout);
        }
        return !interrupted();
    };
    if (!context.json) std::fwrite(o.prompt.data(), 1, o.prompt.size(), stdout);
    TEQUIO_CHECK(training::sample(*model, base::as_bytes(o.prompt), o.sample, pool, sink));
    if (!context.json) std::fputc('\n', stdout);
    if (interrupted()) return ends_with(exit_code::interrupted, "interrupted");
    if (context.json) {
        const auto bytes = base::as_bytes(text);
        context.print_json("job-sample", {{"prompt", as_utf8(o.prompt)},
                                          {"text", as_utf8(text)},
                                          {"base64", base::to_base64(bytes)},
                                          {"tokens", bytes.size()},
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
