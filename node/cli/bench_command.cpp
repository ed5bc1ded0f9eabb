// `tequio bench`: how fast this machine computes, beside its reference in the same run.

#include "node/cli/bench_gemm.hpp"
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

}  // namespace

void add_bench_command(cli_command& app, cli_context& context) {
    auto* bench = app.add_subcommand("bench", "measure this machine");
    bench->require_subcommand(1);
    auto t = std::make_shared<train_bench_options>();
    t->threads = usable_threads();
    auto* train = bench->add_subcommand("train", "training steps of a preset");
    add_training_options(*train, *t);
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
    for (const char* name : {"ledger", "net", "interference"}) {
        refuse_command(*bench, context, name, "train, lane, gemm");
    }
}

}  // namespace tequio::node
