/// pytorch_mlp_dump DIR: trains a small classifier for a few steps, then writes one step's
/// parameters, examples, loss and gradients for pytorch_mlp_gradient.py to compare.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/ensure.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "training/model/initial.hpp"
#include "training/model/safetensors.hpp"
#include "training/model/trainer.hpp"

namespace {

using namespace tequio;
using namespace tequio::training;

void write_file(const std::string& path, base::byte_view bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    base::ensure(out.good(), "the folder can be written");
}

void dump(const std::string& folder) {
    constexpr std::uint64_t warm_steps = 5;
    model_config model;
    model.family = "mlp";
    model.layers = 3;
    model.width = 48;
    model.context = 1;
    model.inputs = 100;
    model.vocabulary = 10;
    const trainer_config config{model, 600, 256, {}};
    const auto layout = layout_of(model);
    serial_executor run;
    auto work = trainer::create(config, layout, run).value();
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    fill_initial(layout, 1, base::digest{}, {parameters, momentum}, run);
    work->begin(parameters);

    std::vector<float> inputs(config.batch * model.inputs);
    std::vector<std::uint32_t> targets(config.batch);
    base::rng rng(1);
    for (auto& x : inputs) x = static_cast<float>(rng.below(2001)) / 1000.0F - 1.0F;
    for (auto& t : targets) t = static_cast<std::uint32_t>(rng.below(model.vocabulary));
    const auto source = [&](std::uint64_t first, const batch_span& batch) {
        const auto values = std::span(inputs).subspan(first * model.inputs, batch.inputs.size());
        std::copy(values.begin(), values.end(), batch.inputs.begin());
        const auto labels = std::span(targets).subspan(first, batch.targets.size());
        std::copy(labels.begin(), labels.end(), batch.targets.begin());
    };
    const auto always = [] { return true; };
    // Some steps at a high rate, so that biases are no longer 0.
    for (std::uint64_t step = 1; step <= warm_steps; ++step) {
        base::ensure(work->step(step, 1e-2, source, always).has_value(), "nobody stops it");
    }
    parameters.assign(work->parameters().begin(), work->parameters().end());
    const auto last = work->step(warm_steps + 1, 0.0, source, always).value();
    write_file(folder + "/parameters.safetensors", write_safetensors(layout.tensors, parameters));
    write_file(folder + "/gradients.safetensors",
               write_safetensors(layout.tensors, work->gradients()));
    write_file(folder + "/inputs.bin", float_bytes(inputs));
    write_file(folder + "/targets.bin", {reinterpret_cast<const std::uint8_t*>(targets.data()),
                                         targets.size() * sizeof targets[0]});
    write_file(folder + "/loss.txt", base::as_bytes(base::shortest(last.loss)));
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: pytorch_mlp_dump DIR\n", stderr);
        return 2;
    }
    dump(argv[1]);
    return 0;
}
