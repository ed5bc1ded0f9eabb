// `tequio bench train|gemm`: how fast this machine computes, beside its reference in the same run.

#include <CLI/CLI.hpp>
#include <bit>
#include <boost/json.hpp>
#include <cstdio>

#include "node/cli/commands.hpp"
#include "node/cli/measure.hpp"
#include "node/worker/compute_pool.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/target.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
namespace numerics = training::numerics;
using clock = std::chrono::steady_clock;

constexpr auto presets = "tiny-1m, small-10m, gpt2-124m";

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
    const double peak = measure_gemm_peak(pool);
    context.say("measuring " + o.preset + " with " + std::to_string(o.threads) + " threads");
    TEQUIO_TRY(const auto rate,
               measure_steps(*preset, pool, {2, 5, 1000, std::chrono::seconds(4)}));
    if (context.json) {
        context.print_json("bench-train", {{"preset", o.preset},
                                           {"threads", o.threads},
                                           {"batch", preset->batch},
                                           {"context", preset->model.context},
                                           {"target", numerics::target_name()},
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
    std::printf("%-24s %u, %s\n", "threads, kernels", o.threads,
                std::string(numerics::target_name()).c_str());
    std::printf("%-24s %.4g s (median of %llu)\n", "step", rate.step_seconds,
                static_cast<unsigned long long>(rate.steps));
    std::printf("%-24s %.0f\n", "tokens per second", rate.tokens_per_second);
    std::printf("%-24s %.1f\n", "GFLOP/s", rate.gflops);
    std::printf("%-24s %.1f (own kernels, 2048 x 2048 x 2048)\n", "GEMM peak, GFLOP/s", peak);
    std::printf("%-24s %.2f\n", "fraction of GEMM peak", rate.gflops / peak);
    return {};
}

struct gemm_case {
    numerics::gemm_shape shape;
    numerics::gemm_form form;
};

const char* form_name(numerics::gemm_form form) {
    return form == numerics::gemm_form::nn ? "nn" : form == numerics::gemm_form::nt ? "nt" : "tn";
}

/// Small floats of mixed signs, the same every time.
std::vector<float> operand(std::size_t size, std::uint32_t x) {
    std::vector<float> out(size);
    for (auto& value : out) {
        x = x * 1664525u + 1013904223u;
        value = static_cast<float>(static_cast<std::int32_t>(x >> 8) - (1 << 23)) * 0x1p-24f;
    }
    return out;
}

struct gemm_row {
    double gflops = 0;
    bool exact = false;
};

/// Times one product and compares it with the definition, bit for bit.
gemm_row time_gemm(const gemm_case& c, training::executor& run) {
    const auto [m, n, k] = c.shape;
    const auto a = operand(m * k, 1), b = operand(k * n, 2);
    std::vector<float> fast(m * n), plain(m * n);
    const bool a_turned = c.form == numerics::gemm_form::tn;
    const bool b_turned = c.form == numerics::gemm_form::nt;
    const numerics::matrix_in left{a.data(), a_turned ? m : k}, right{b.data(), b_turned ? k : n};
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes(c.shape, run.threads()));
    const numerics::gemm_options options{c.form};
    std::vector<double> seconds;
    const auto start = clock::now();
    while (seconds.size() < 3 || clock::now() - start < std::chrono::milliseconds(200)) {
        const auto begin = clock::now();
        numerics::gemm(options, c.shape, left, right, {fast.data(), n}, workspace, run);
        seconds.push_back(std::chrono::duration<double>(clock::now() - begin).count());
    }
    std::nth_element(seconds.begin(), seconds.begin() + seconds.size() / 2, seconds.end());
    numerics::gemm_reference(options, c.shape, left, right, {plain.data(), n});
    gemm_row row;
    row.gflops = 2.0 * static_cast<double>(m * n * k) / seconds[seconds.size() / 2] / 1e9;
    row.exact = std::equal(fast.begin(), fast.end(), plain.begin(), [](float x, float y) {
        return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
    });
    return row;
}

/// The products of a step of small-10m and tiny-1m, and a square.
const std::vector<gemm_case> gemm_cases{
    {{2048, 1152, 384}, numerics::gemm_form::nn}, {{2048, 1536, 384}, numerics::gemm_form::nn},
    {{2048, 384, 1536}, numerics::gemm_form::nn}, {{2048, 384, 1536}, numerics::gemm_form::nt},
    {{384, 1536, 2048}, numerics::gemm_form::tn}, {{2048, 512, 128}, numerics::gemm_form::nn},
    {{128, 512, 2048}, numerics::gemm_form::tn},  {{1024, 1024, 1024}, numerics::gemm_form::nn},
};

base::result<void> bench_gemm(cli_context& context, unsigned threads) {
    compute_pool pool(threads);
    json::array rows;
    bool all_exact = true;
    const auto usual = numerics::active_target();
    if (!context.json) std::printf("    m     n     k trans  target   GFLOP/s  exact\n");
    for (const auto& c : gemm_cases) {
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            const auto row = time_gemm(c, pool);
            all_exact = all_exact && row.exact;
            const std::string name(numerics::target_name(target));
            if (!context.json) {
                std::printf("%5zu %5zu %5zu %5s %7s %9.1f %6s\n", c.shape.m, c.shape.n, c.shape.k,
                            form_name(c.form), name.c_str(), row.gflops, row.exact ? "yes" : "NO");
                continue;
            }
            // No OpenBLAS in the program: tests/bench/gemm_bench measures against it.
            rows.push_back(json::object{{"m", c.shape.m},
                                        {"n", c.shape.n},
                                        {"k", c.shape.k},
                                        {"trans", form_name(c.form)},
                                        {"target", name},
                                        {"gflops", row.gflops},
                                        {"openblas_gflops", nullptr},
                                        {"ratio", nullptr},
                                        {"exact", row.exact}});
        }
    }
    numerics::set_target(usual);
    if (context.json) context.print_json("bench-gemm", {{"threads", threads}, {"rows", rows}});
    if (all_exact) return {};
    return ends_with(exit_code::verification_failed,
                     "a kernel of this machine differs from its definition; run `tequio doctor`");
}

}  // namespace

void add_bench_command(CLI::App& app, cli_context& context) {
    auto* bench = app.add_subcommand("bench", "measure this machine");
    bench->require_subcommand(1);
    auto o = std::make_shared<train_options>();
    auto* train = bench->add_subcommand("train", "training steps of a preset");
    train->add_option("--preset", o->preset, presets)->capture_default_str();
    train->add_option("--threads", o->threads, "compute threads")->check(CLI::Range(1, 1024));
    train->add_option("--batch", o->batch, "sequences a step")->check(CLI::Range(1, 4096));
    train->add_option("--context", o->context, "tokens a sequence")->check(CLI::Range(1, 65536));
    train->callback([&context, o] { context.run([&] { return bench_train(context, *o); }); });
    auto threads = std::make_shared<unsigned>(usable_threads());
    auto* gemm = bench->add_subcommand("gemm", "matrix products, compared with their definition");
    gemm->add_option("--threads", *threads, "compute threads")->check(CLI::Range(1, 1024));
    gemm->callback(
        [&context, threads] { context.run([&] { return bench_gemm(context, *threads); }); });
    for (const char* name : {"lane", "ledger", "net", "interference"}) {
        auto* command = bench->add_subcommand(name, "")->group("");
        command->allow_extras();
        command->callback([&context, name] {
            context.fail(exit_code::usage, "`tequio bench " + std::string(name) +
                                               "` is not in this version (has: train, gemm)");
        });
    }
}

}  // namespace tequio::node
