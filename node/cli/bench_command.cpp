// `tequio bench`: how fast this machine computes, beside its reference in the same run.

#include "node/cli/bench_codecs.hpp"
#include "node/cli/bench_gemm.hpp"
#include "node/cli/bench_interference.hpp"
#include "node/cli/bench_train.hpp"
#include "node/cli/commands.hpp"
#include "node/cli/measure.hpp"
#include "training/engine.hpp"

namespace tequio::node {
namespace {

void add_training_options(cli_command& command, train_bench_options& o) {
    command.add_option("--preset", o.preset, training::bench_preset_names())->show_default();
    command.add_option("--threads", o.threads, "compute threads")->range(1, 1024);
    command.add_option("--batch", o.batch, "sequences a step")->range(1, 4096);
    command.add_option("--context", o.context, "tokens a sequence")->range(1, 65536);
}

void add_interference_options(cli_command& command, interference_options& o) {
    command.add_option("--probe", o.probes,
                       "wake-up | keystroke | frames | request | share | "
                       "triad | chase | build | give-back | harvest | paused; may be repeated");
    command
        .add_option("--conditions", o.conditions,
                    "A no node, B node forced on, C normal policy and its owner is there, D a "
                    "rival at nice 10, E normal policy and nobody is there")
        ->show_default();
    command.add_option("--blocks", o.blocks, "how often each condition has its turn")
        ->range(std::uint64_t{1}, std::uint64_t{1000})
        ->show_default();
    command
        .add_option("--seconds", o.seconds,
                    "length of a probe's turn; harvest and paused last 15 times that")
        ->range(0.05, 600.0)
        ->show_default();
    command
        .add_option("--triggers", o.triggers,
                    "trials of giving back, after input and after contention each")
        ->range(std::uint64_t{0}, std::uint64_t{10000})
        ->show_default();
    command.add_option("--build", o.build,
                       "shell command of the probe build, which must do the same each time");
    command.add_option("--seed", o.seed, "of the bootstrap intervals")->show_default();
    command.add_flag("--quick", o.quick, "as short as it can be, to see that everything works");
}

void add_interference(cli_command& bench, cli_context& context) {
    auto i = std::make_shared<interference_options>();
    auto* command =
        bench.add_subcommand("interference", "what is felt of a node, and how fast it lets go");
    add_interference_options(*command, *i);
    command->callback(
        [&context, i] { context.run([&] { return bench_interference(context, *i); }); });
    auto threads = std::make_shared<unsigned>(usable_threads());
    auto* rival = bench.add_subcommand("rival", "")->hide();
    rival->add_option("--threads", *threads, "")->range(1, 1024);
    rival->callback([&context, threads] { context.run([&] { return run_rival(*threads); }); });
}

}  // namespace

void add_bench_command(cli_command& app, cli_context& context) {
    auto* bench = app.add_subcommand("bench", "measure this machine");
    bench->require_subcommand(1);
    auto t = std::make_shared<train_bench_options>();
    t->threads = usable_threads();
    auto* train = bench->add_subcommand("train", "training steps of a preset");
    add_training_options(*train, *t);
    train
        ->add_option("--slices", t->slices,
                     "lanes by as many workers of one thread, a slice each, beside whole ones")
        ->range(1, 64);
    train->add_option("--micro-batches", t->micro_batches, "of a step, with --slices")
        ->range(1, 1024)
        ->show_default();
    train
        ->add_option("--cut", t->cut,
                     "the layer that the second of two slices begins with; default: what balances "
                     "the operations")
        ->range(1, 1024);
    train->add_option("--steps", t->steps, "inner steps of a lane, with --slices")
        ->range(1, 1000)
        ->show_default();
    train->add_option("--pairs", t->pairs, "lanes of both kinds, with --slices")
        ->range(1, 1000)
        ->show_default();
    train->callback([&context, t] { context.run([&] { return bench_train(context, *t); }); });
    auto l = std::make_shared<train_bench_options>(*t);
    auto* lane = bench->add_subcommand("lane", "whole lanes of a preset");
    add_training_options(*lane, *l);
    lane->add_option("--steps", l->steps, "inner steps of a lane")->range(1, 1000)->show_default();
    lane->callback([&context, l] { context.run([&] { return bench_lane(context, *l); }); });
    auto g = std::make_shared<gemm_bench_options>(gemm_bench_options{.threads = usable_threads()});
    auto* gemm = bench->add_subcommand("gemm", "matrix products beside OpenBLAS's");
    gemm->add_option("--threads", g->threads, "compute threads")->range(1, 1024);
    gemm->add_flag("--thin", g->thin, "products of few rows (1 to 16) instead of a step's");
    gemm->callback([&context, g] { context.run([&] { return bench_gemm(context, *g); }); });
    bench->add_subcommand("codecs", "encoding and adding contributions, beside memcpy")
        ->callback([&context] { context.run([&] { return bench_codecs(context); }); });
    add_interference(*bench, context);
    for (const char* name : {"ledger", "net"}) {
        refuse_command(*bench, context, name, "train, lane, gemm, codecs, interference");
    }
}

}  // namespace tequio::node
