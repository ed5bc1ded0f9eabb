/// pytorch_gradient_dump MODEL DIR: trains a small model for a few steps, then writes one step's
/// parameters, tokens, loss and gradients for pytorch_gradient.py to compare. MODEL is gpt2, llama,
/// llama-grouped (heads share keys and values) or llama-untied.

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ensure.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "training/model/initial.hpp"
#include "training/model/safetensors.hpp"
#include "training/model/trainer.hpp"

namespace {

using namespace tequio;

constexpr std::uint64_t warm_steps = 5;

void write_file(const std::string& path, base::byte_view bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    base::ensure(out.good(), "the folder can be written");
}

base::byte_view bytes_of(const std::vector<std::uint32_t>& words) {
    return {reinterpret_cast<const std::uint8_t*>(words.data()), 4 * words.size()};
}

std::optional<training::model_config> model_called(std::string_view name) {
    if (name == "gpt2") return training::model_config{"gpt2", 3, 4, 64, 96, 256};
    training::model_config llama{"llama", 3, 4, 64, 96, 256, 4, 168};
    llama.norm_epsilon = 1e-3;  // large enough to show in a gradient
    if (name == "llama") return llama;
    if (name == "llama-grouped") {
        llama.kv_heads = 2;
        llama.rope_theta = 500;
        return llama;
    }
    if (name != "llama-untied") return std::nullopt;
    llama.kv_heads = 1;
    llama.tied = false;
    return llama;
}

std::string facts_of(const training::model_config& m, double loss) {
    std::string out = "family " + m.family + "\n";
    const auto fact = [&](const char* name, const std::string& value) {
        out.append(name).append(" ").append(value).append("\n");
    };
    fact("layers", std::to_string(m.layers));
    fact("heads", std::to_string(m.heads));
    fact("kv_heads", std::to_string(m.kv_heads));
    fact("context", std::to_string(m.context));
    fact("rope_theta", base::shortest(m.rope_theta));
    fact("norm_epsilon", base::shortest(m.norm_epsilon));
    fact("loss", base::shortest(loss));
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    const auto model = argc == 3 ? model_called(argv[1]) : std::nullopt;
    if (!model) {
        std::fputs("usage: pytorch_gradient_dump MODEL DIR\n", stderr);
        return 2;
    }
    const std::string folder = std::string(argv[2]) + "/";
    const training::trainer_config config{*model, 8, 4, {}};
    const auto layout = training::layout_of(config.model);
    training::serial_executor run;
    auto work = training::trainer::create(config, layout, run).value();
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    training::fill_initial(layout, 1, base::digest{}, {parameters, momentum}, run);
    work->begin(parameters);

    std::vector<std::uint32_t> tokens(config.batch * config.model.context), targets(tokens.size());
    base::rng rng(1);
    for (auto& t : tokens) t = static_cast<std::uint32_t>(rng.below(config.model.vocabulary));
    for (auto& t : targets) t = static_cast<std::uint32_t>(rng.below(config.model.vocabulary));
    const auto source = [&](std::uint64_t first, const training::batch_span& batch) {
        const auto at = static_cast<std::ptrdiff_t>(first * config.model.context);
        std::copy_n(tokens.begin() + at, batch.tokens.size(), batch.tokens.begin());
        std::copy_n(targets.begin() + at, batch.targets.size(), batch.targets.begin());
    };
    const auto always = [] { return true; };
    // Some steps at a high rate, so that biases and gains are no longer 0 and 1.
    for (std::uint64_t step = 1; step <= warm_steps; ++step) {
        base::ensure(work->step(step, 1e-2, source, always).has_value(), "nobody stops it");
    }
    parameters.assign(work->parameters().begin(), work->parameters().end());
    const auto last = work->step(warm_steps + 1, 0.0, source, always).value();

    write_file(folder + "parameters.safetensors", training::write_safetensors(layout.tensors, parameters));
    write_file(folder + "gradients.safetensors",
               training::write_safetensors(layout.tensors, work->gradients()));
    write_file(folder + "tokens.bin", bytes_of(tokens));
    write_file(folder + "targets.bin", bytes_of(targets));
    write_file(folder + "facts.txt", base::as_bytes(facts_of(config.model, last.loss)));
    return 0;
}
