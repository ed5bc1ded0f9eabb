/// mlp_twin gradient DIR: trains a small classifier for a few steps, then writes one step's
/// parameters, examples, loss and gradients for pytorch_mlp_gradient.py to compare.
///
/// mlp_twin train DIR: runs the job of DIR/recipe.txt (canonical text; its data's name is filled
/// in) on DIR/examples.bin in this process, and writes DIR/model.safetensors: what mlp_accuracy.py
/// judges.

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "tests/support/thread_pool.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/merge.hpp"
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

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    base::ensure(in.good(), "the folder has all files");
    return {std::istreambuf_iterator<char>(in), {}};
}

int gradient(const std::string& folder) {
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
    write_file(folder + "/gradients.safetensors", write_safetensors(layout.tensors, work->gradients()));
    write_file(folder + "/inputs.bin", float_bytes(inputs));
    write_file(folder + "/targets.bin", {reinterpret_cast<const std::uint8_t*>(targets.data()),
                                         targets.size() * sizeof targets[0]});
    write_file(folder + "/loss.txt", base::as_bytes(base::shortest(last.loss)));
    return 0;
}

int train(const std::string& folder) {
    const auto blob = read_file(folder + "/examples.bin");
    const auto bytes = base::as_bytes(blob);
    auto text = read_file(folder + "/recipe.txt");
    constexpr std::string_view mark = "@examples@";
    const auto at = text.find(mark);
    base::ensure(at != std::string::npos, "the recipe has a place for the name of its data");
    text.replace(at, mark.size(), base::blob_ref_of(bytes).text());
    const auto r = parse_recipe(text);
    if (!r) {
        std::fprintf(stderr, "%s\n", r.error().message().c_str());
        return 1;
    }
    tests::thread_pool run(2);
    auto work = engine::create(*r, dataset_view::open(bytes, *r).value(), run).value();
    const engine::keep_going always = [](std::uint64_t) { return true; };
    std::vector<float> parameters(work->layout().padded_size), momentum(parameters.size());
    const state_span state{parameters, momentum};
    work->initial_state(state);
    for (std::uint64_t round = 0; round < r->train.rounds; ++round) {
        summation sum(*r, work->layout());
        for (std::uint64_t lane = 0; lane < r->train.lanes; ++lane) {
            const auto result = work->run_lane(state, {round}, {lane}, always).value();
            sum.add({lane}, std::get<base::byte_vector>(result.outcome)).value();
        }
        apply_mean(*r, work->layout(), sum.finish().value().mean, state).value();
    }
    write_file(folder + "/model.safetensors", write_safetensors(work->layout().tensors, parameters));
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc == 3 ? argv[1] : "";
    if (what == "gradient") return gradient(argv[2]);
    if (what == "train") return train(argv[2]);
    std::fputs("usage: mlp_twin gradient|train DIR\n", stderr);
    return 2;
}
