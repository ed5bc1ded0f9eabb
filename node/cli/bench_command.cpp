// `tequio bench`: how fast this machine computes, beside its reference in the same run.

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>

#include "node/cli/bench_gemm.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/measure.hpp"
#include "node/worker/compute_pool.hpp"
#include "training/exactness.hpp"

namespace tequio::node {
namespace {

constexpr auto presets = "tiny-1m, small-10m, gpt2-124m, llama-60m";

struct train_options {
    std::string preset = "small-10m";
    unsigned threads = usable_threads();
    std::uint64_t batch = 0;    ///< 0: the preset's
    std::uint64_t context = 0;  ///< 0: the preset's
};

base::result<void> bench_train(cli_context& context, const train_options& o) {
    auto preset = training::bench_preset_of(o.preset);
    if (!preset) return ends_with(exit_code::usage, preset.error().message());
    if (o.batch != 0) preset->batch = o.batch;
    if (o.context != 0) preset->model.context = o.context;
    compute_pool pool(o.threads);
    context.say("measuring " + o.preset + ", threads: " + std::to_string(o.threads));
    const double peak_before = measure_gemm_peak(pool, 3);
    TEQUIO_TRY(const auto rate,
               measure_steps(*preset, pool, {2, 5, 1000, std::chrono::seconds(4)}));
    // Around the steps, so that a machine that slowed down meanwhile does not flatter them.
    const double peak = std::max(peak_before, measure_gemm_peak(pool, 3));
    if (context.json) {
        context.print_json("bench-train", {{"preset", o.preset},
                                           {"threads", o.threads},
                                           {"batch", preset->batch},
                                           {"context", preset->model.context},
                                           {"target", training::active_target()},
                                           {"parameters", rate.parameters},
                                           {"steps", rate.steps},
                                           {"step_seconds", rate.step_seconds},
                                           {"tokens_per_second", rate.tokens_per_second},
                                           {"gflops", rate.gflops},
                                           {"gemm_peak", "own kernels, 2048 x 2048 x 2048"},
                                           {"gemm_peak_gflops", peak},
                                           {"fraction_of_gemm_peak", rate.gflops / peak}});
        return {};
    }
    std::printf("%-24s %s\n", "preset", o.preset.c_str());
    std::printf("%-24s %llu\n", "parameters", static_cast<unsigned long long>(rate.parameters));
    std::printf("%-24s %u, %s\n", "threads, kernels", o.threads, training::active_target().c_str());
    std::printf("%-24s %.4g s (median of %llu)\n", "step", rate.step_seconds,
                static_cast<unsigned long long>(rate.steps));
    std::printf("%-24s %.0f\n", "tokens per second", rate.tokens_per_second);
    std::printf("%-24s %.1f\n", "GFLOP/s", rate.gflops);
    std::printf("%-24s %.1f (own kernels, 2048 x 2048 x 2048)\n", "GEMM peak, GFLOP/s", peak);
    std::printf("%-24s %.2f\n", "fraction of GEMM peak", rate.gflops / peak);
    return {};
}

}  // namespace

void add_bench_command(cli_command& app, cli_context& context) {
    auto* bench = app.add_subcommand("bench", "measure this machine");
    bench->require_subcommand(1);
    auto o = std::make_shared<train_options>();
    auto* train = bench->add_subcommand("train", "training steps of a preset");
    train->add_option("--preset", o->preset, presets)->show_default();
    train->add_option("--threads", o->threads, "compute threads")->range(1, 1024);
    train->add_option("--batch", o->batch, "sequences a step")->range(1, 4096);
    train->add_option("--context", o->context, "tokens a sequence")->range(1, 65536);
    train->callback([&context, o] { context.run([&] { return bench_train(context, *o); }); });
    auto g = std::make_shared<gemm_bench_options>(gemm_bench_options{.threads = usable_threads()});
    auto* gemm = bench->add_subcommand("gemm", "matrix products beside OpenBLAS's");
    gemm->add_option("--threads", g->threads, "compute threads")->range(1, 1024);
    gemm->add_flag("--thin", g->thin, "products of few rows (1 to 16) instead of a step's");
    gemm->callback([&context, g] { context.run([&] { return bench_gemm(context, *g); }); });
    for (const char* name : {"lane", "ledger", "net", "interference"}) {
        refuse_command(*bench, context, name, "train, gemm");
    }
}

}  // namespace tequio::node
