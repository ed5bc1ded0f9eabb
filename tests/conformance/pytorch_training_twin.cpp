/// pytorch_training_twin DIR TEXT...: writes DIR/recipe.txt and DIR/tokens.bin of a small DiLoCo
/// job on TEXT, runs the whole job in this process for seeds 1, 2 and 3, and prints each one's
/// validation loss at the end: "seed S validation_loss X". For each seed it also writes what was
/// drawn: DIR/initial-S.safetensors (the weights) and DIR/starts-S.bin (first token of every
/// sequence, uint64 by round, lane, step, index). The other half is pytorch_training.py.

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/ensure.hpp"
#include "tests/support/thread_pool.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/merge.hpp"
#include "training/model/safetensors.hpp"

namespace {

using namespace tequio;
using namespace tequio::training;

void write_file(const std::string& path, base::byte_view bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(reinterpret_cast<const char*>(bytes.data()),
              static_cast<std::streamsize>(bytes.size()));
    base::ensure(out.good(), "the folder can be written");
}

recipe small_recipe(const data_config& data) {
    recipe r;
    r.model = {"gpt2", 2, 3, 96, 64, 256};
    r.data = data;
    r.train.lanes = 4;
    r.train.rounds = 20;
    r.train.inner_steps = 20;
    r.train.batch = 8;
    r.train.micro_batch = 8;
    // Gentle enough that seeds differ by about 0.02 nats at the end: with lr 2e-3 and warmup 20
    // they differ by 0.5, and means over three say nothing.
    r.train.inner.lr = 1e-3;
    r.train.inner.ramp_steps = 5;
    r.train.schedule.warmup = 100;
    return r;
}

void write_starts(const std::string& path, const recipe& r, const dataset_view& data) {
    std::vector<std::uint64_t> starts;
    for (std::uint64_t round = 0; round < r.train.rounds; ++round) {
        for (std::uint64_t lane = 0; lane < r.train.lanes; ++lane) {
            for (std::uint64_t step = 0; step < r.train.inner_steps; ++step) {
                for (std::uint64_t i = 0; i < r.train.batch; ++i) {
                    starts.push_back(data.training_start({round}, {lane}, step, i));
                }
            }
        }
    }
    write_file(path, {reinterpret_cast<const std::uint8_t*>(starts.data()), 8 * starts.size()});
}

double final_validation_loss(const std::string& folder, const recipe& r, base::byte_view tokens,
                             executor& run) {
    const auto view = dataset_view::open(tokens, r).value();
    auto work = engine::create(r, view, run).value();
    const engine::keep_going always = [](std::uint64_t) { return true; };
    std::vector<float> parameters(work->layout().padded_size), momentum(parameters.size());
    const state_span state{parameters, momentum};
    work->initial_state(state);
    const auto seed = std::to_string(r.train.seed);
    write_file(folder + "/initial-" + seed + ".safetensors",
               write_safetensors(work->layout().tensors, parameters));
    write_starts(folder + "/starts-" + seed + ".bin", r, view);
    for (std::uint64_t round = 0; round < r.train.rounds; ++round) {
        summation sum(r, work->layout());
        for (std::uint64_t lane = 0; lane < r.train.lanes; ++lane) {
            const auto result = work->run_lane(state, {round}, {lane}, always).value();
            sum.add({lane}, std::get<base::byte_vector>(result.outcome)).value();
        }
        apply_mean(r, work->layout(), {round}, sum.finish().value().mean, state).value();
    }
    return work->validate(state, always).value();
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fputs("usage: pytorch_training_twin DIR TEXT...\n", stderr);
        return 2;
    }
    const std::string folder = argv[1];
    std::string text;
    for (int i = 2; i < argc; ++i) {
        std::ifstream in(argv[i], std::ios::binary);
        base::ensure(in.good(), "every text can be read");
        text.append(std::istreambuf_iterator<char>(in), {});
    }
    const source_file file{"texts", base::as_bytes(text)};
    const auto data = tokenise_bytes(std::span(&file, 1), 0.1, 64).value();
    auto r = small_recipe(data.config);
    write_file(folder + "/recipe.txt", base::as_bytes(recipe_text(r)));
    write_file(folder + "/tokens.bin", data.tokens);
    tests::thread_pool run(2);
    for (const std::uint64_t seed : {1U, 2U, 3U}) {
        r.train.seed = seed;
        std::printf("seed %llu validation_loss %.4f\n", static_cast<unsigned long long>(seed),
                    final_validation_loss(folder, r, data.tokens, run));
        std::fflush(stdout);
    }
    return 0;
}
