/// pytorch_synchronous_dump DIR: runs a small job of method synchronous on a made-up text and
/// writes, for pytorch_synchronous.py: DIR/recipe.txt, DIR/tokens.bin, DIR/starts.bin (first token
/// of every sequence, uint64 by round, lane, index), and of each round R DIR/state-R.safetensors
/// (the parameters), DIR/mean-R.safetensors (the decoded mean of the lanes' gradients) and a line
/// "R loss" in DIR/losses.txt; DIR/state-N.safetensors after the last one.

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "base/ensure.hpp"
#include "tests/unit/training/engine_fixture.hpp"
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

recipe synchronous(recipe r) {
    r.train.method = method_synchronous;
    r.train.inner_steps = 1;
    r.train.inner.ramp_steps = 0;
    r.train.window = -46;
    r.train.lanes = 3;
    r.train.rounds = 20;
    r.train.inner.clip = 1.6;  // binds in some rounds and not in others
    r.train.schedule.warmup = 4;
    base::ensure(check_recipe(r).has_value(), "the recipe is valid");
    return r;
}

struct job_run {
    std::string folder;
    const recipe& r;
    engine& work;
    owned_state state;

    void write(const char* what, std::uint64_t round, std::span<const float> values) const {
        write_file(folder + "/" + what + "-" + std::to_string(round) + ".safetensors",
                   write_safetensors(work.layout().tensors, values));
    }

    double run_round(std::uint64_t round) {
        write("state", round, state.parameters);
        summation sum(r, work.layout());
        for (std::uint64_t lane = 0; lane < r.train.lanes; ++lane) {
            const auto result =
                work.run_lane(state.span(), {round}, {lane}, [](std::uint64_t) { return true; })
                    .value();
            sum.add({lane}, std::get<base::byte_vector>(result.outcome)).value();
        }
        const auto total = sum.finish().value();
        std::vector<float> mean(work.layout().padded_size);
        decode_contribution(contribution_kind::mean, r, total.mean, mean);
        write("mean", round, mean);
        apply_mean(r, work.layout(), {round}, total.mean, state.span()).value();
        return total.loss;
    }
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fputs("usage: pytorch_synchronous_dump DIR\n", stderr);
        return 2;
    }
    const std::string folder = argv[1];
    const small_job job;
    const auto r = synchronous(job.r);
    const auto view = dataset_view::open(job.data.tokens, r).value();
    serial_executor one;
    auto work = engine::create(r, view, one).value();
    write_file(folder + "/recipe.txt", base::as_bytes(recipe_text(r)));
    write_file(folder + "/tokens.bin", job.data.tokens);
    job_run run{folder, r, *work, owned_state(work->layout(), 2)};
    work->initial_state(run.state.span());
    std::vector<std::uint64_t> starts;
    std::string losses;
    for (std::uint64_t round = 0; round < r.train.rounds; ++round) {
        for (std::uint64_t lane = 0; lane < r.train.lanes; ++lane) {
            for (std::uint64_t i = 0; i < r.train.batch; ++i) {
                starts.push_back(view.training_start({round}, {lane}, 0, i));
            }
        }
        losses += std::to_string(round) + " " + std::to_string(run.run_round(round)) + "\n";
    }
    run.write("state", r.train.rounds, run.state.parameters);
    write_file(folder + "/starts.bin",
               {reinterpret_cast<const std::uint8_t*>(starts.data()), 8 * starts.size()});
    write_file(folder + "/losses.txt", base::as_bytes(losses));
    return 0;
}
