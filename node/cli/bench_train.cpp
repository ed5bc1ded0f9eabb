#include "node/cli/bench_train.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/text.hpp"
#include "node/cli/bench_slices.hpp"
#include "node/cli/kernel_times.hpp"
#include "node/cli/measure.hpp"
#include "node/cli/openblas.hpp"
#include "node/cli/training_job.hpp"
#include "node/worker/compute_pool.hpp"
#include "training/arithmetic.hpp"
#include "training/dataset.hpp"
#include "training/engine.hpp"
#include "training/exactness.hpp"
#include "training/state.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using clock = std::chrono::steady_clock;

constexpr std::size_t peak_side = 2048;
/// What is measured runs at least that long before the yardstick has its turn again.
constexpr std::chrono::milliseconds turn{200};
constexpr std::chrono::seconds time_least{5};
constexpr std::size_t turns_least = 5;
constexpr std::size_t lanes_least = 2;

double seconds_of(const std::function<void()>& body) {
    const auto start = clock::now();
    body();
    return std::chrono::duration<double>(clock::now() - start).count();
}

/// Until threads of the other side that wait for work have stopped spinning (node/cli/openblas.hpp:
/// about 2 ms).
void let_threads_sleep() {
    const auto end = clock::now() + std::chrono::milliseconds(3);
    while (clock::now() < end) continue;
}

/// The most memory that this process has held.
std::uint64_t peak_memory_bytes() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// The machine's rate of multiplying: OpenBLAS's, or, where there is none, ours.
class yardstick {
public:
    yardstick(const cli_context& context, compute_pool& pool)
        : blas_(find_openblas(context, pool.threads(), training::active_target())),
          product_(training::product_form::nn, peak_side, peak_side, peak_side, pool),
          theirs_(blas_ ? peak_side * peak_side : 0) {}

    std::string name() const {
        return (blas_ ? "OpenBLAS " + blas_->core() : std::string("own kernels")) +
               ", 2048 x 2048 x 2048";
    }
    /// One call that warms up, then two that count.
    void measure() {
        once();
        for (int i = 0; i < 2; ++i) seconds_.push_back(seconds_of([&] { once(); }));
    }
    /// GFLOP/s, median of all calls so far.
    double gflops() const { return product_.flops() / median(seconds_) / 1e9; }

private:
    void once() {
        if (!blas_) return product_.once();
        blas_->multiply(training::product_form::nn, peak_side, peak_side, peak_side,
                        product_.left(), product_.right(), theirs_.data());
    }

    std::optional<openblas> blas_;
    training::product_bench product_;
    std::vector<float> theirs_;
    std::vector<double> seconds_;
};

/// What came of measuring a body that trains on `tokens` tokens a call.
struct training_rate {
    std::size_t calls = 0;
    double seconds = 0;  ///< of a call, median
    double tokens_per_second = 0;
    double gflops = 0;
    double peak_gflops = 0;
    double stream_gbytes = 0;
    std::string peak_name;
    std::uint64_t memory_bytes = 0;
};

/// What a call of the body does.
struct training_work {
    std::uint64_t tokens = 0;
    std::uint64_t flops = 0;
    std::size_t calls_least = 0;
    std::function<base::result<void>()> body;
};

/// The body was called before: memory is what it took so far.
base::result<training_rate> measure_training(const cli_context& context, const training_work& work,
                                             compute_pool& pool, kernel_times& times) {
    training_rate out;
    out.memory_bytes = peak_memory_bytes();
    yardstick peak(context, pool);
    std::vector<double> seconds;
    const auto start = clock::now();
    while (seconds.size() < work.calls_least || clock::now() - start < time_least) {
        peak.measure();
        let_threads_sleep();
        const auto turn_start = clock::now();
        do {
            base::result<void> done;
            times.start();
            seconds.push_back(seconds_of([&] { done = work.body(); }));
            times.stop();
            TEQUIO_CHECK(done);
        } while (clock::now() - turn_start < turn);
    }
    peak.measure();
    out.calls = seconds.size();
    out.seconds = median(std::move(seconds));
    out.tokens_per_second = static_cast<double>(work.tokens) / out.seconds;
    out.gflops = static_cast<double>(work.flops) / out.seconds / 1e9;
    out.peak_gflops = peak.gflops();
    out.peak_name = peak.name();
    out.stream_gbytes = measure_stream(pool);
    return out;
}

/// A kernel's row of the table.
struct table_row {
    kernel_time kernel;
    double milliseconds = 0;  ///< a call of the body
    double share = 0;         ///< of the time
    double gflops = 0;
    double gbytes = 0;
    double of_limit = 0;  ///< of the rate that its limiting resource allows
    const char* limit = "";
};

table_row row_of(const kernel_time& kernel, double all, const training_rate& rate) {
    table_row row{.kernel = kernel};
    row.milliseconds = 1e3 * kernel.seconds / static_cast<double>(rate.calls);
    row.share = kernel.seconds / all;
    row.gflops = static_cast<double>(kernel.flops) / kernel.seconds / 1e9;
    row.gbytes = static_cast<double>(kernel.bytes) / kernel.seconds / 1e9;
    const double of_flops = row.gflops / rate.peak_gflops;
    const double of_bytes = row.gbytes / rate.stream_gbytes;
    row.of_limit = std::max(of_flops, of_bytes);
    if (row.of_limit > 0) row.limit = of_flops >= of_bytes ? "flops" : "bytes";
    return row;
}

std::vector<table_row> table_of(const kernel_times& times, const training_rate& rate) {
    const auto kernels = times.by_time();
    double all = 0;
    for (const auto& kernel : kernels) all += kernel.seconds;
    std::vector<table_row> out;
    for (const auto& kernel : kernels) out.push_back(row_of(kernel, all, rate));
    return out;
}

json::array as_json(const std::vector<table_row>& table, std::size_t calls) {
    json::array out;
    for (const auto& row : table) {
        out.push_back(json::object{{"kernel", row.kernel.name},
                                   {"calls", static_cast<double>(row.kernel.calls) / double(calls)},
                                   {"milliseconds", row.milliseconds},
                                   {"share", row.share},
                                   {"gflops", row.gflops},
                                   {"gbytes_per_second", row.gbytes},
                                   {"limit", row.limit},
                                   {"of_limit", row.of_limit}});
    }
    return out;
}

void print(const std::vector<table_row>& table, const training_rate& rate) {
    std::printf("\n%-32s %6s %10s %6s %9s %7s  %s\n", "kernel", "calls", "ms", "share", "GFLOP/s",
                "GB/s", "of what limits it");
    for (const auto& row : table) {
        std::printf("%-32.*s %6.0f %10.3f %5.1f%%", static_cast<int>(row.kernel.name.size()),
                    row.kernel.name.data(),
                    static_cast<double>(row.kernel.calls) / static_cast<double>(rate.calls),
                    row.milliseconds, 100 * row.share);
        if (row.of_limit > 0) {
            std::printf(" %9.1f %7.1f  %3.0f%% of %s", row.gflops, row.gbytes, 100 * row.of_limit,
                        row.limit);
        }
        std::printf("\n");
    }
    std::printf(
        "flops: %.1f GFLOP/s (%s); bytes: %.1f GB/s (x = x + y beyond any cache; more "
        "comes from caches)\n",
        rate.peak_gflops, rate.peak_name.c_str(), rate.stream_gbytes);
}

json::object common_json(const train_bench_options& o, const training::bench_preset& preset,
                         const training_rate& rate) {
    return {{"preset", o.preset},
            {"threads", o.threads},
            {"batch", preset.batch},
            {"context", preset.model.context},
            {"target", training::active_target()},
            {"parameters", training::parameter_count(preset.model).value_or(0)},
            {"tokens_per_second", rate.tokens_per_second},
            {"gflops", rate.gflops},
            {"gemm_peak", rate.peak_name},
            {"gemm_peak_gflops", rate.peak_gflops},
            {"fraction_of_gemm_peak", rate.gflops / rate.peak_gflops},
            {"stream_gbytes_per_second", rate.stream_gbytes},
            {"peak_memory_bytes", rate.memory_bytes}};
}

void print_line(const std::string& name, const std::string& value) {
    std::printf("%-24s %s\n", name.c_str(), value.c_str());
}

std::string number(const char* format, double value) {
    char text[64];
    std::snprintf(text, sizeof text, format, value);
    return text;
}

void print_common(const train_bench_options& o, const training::bench_preset& preset,
                  const training_rate& rate) {
    print_line("preset", o.preset + ", batch " + std::to_string(preset.batch) + ", context " +
                             std::to_string(preset.model.context));
    print_line("parameters", std::to_string(training::parameter_count(preset.model).value_or(0)));
    print_line("threads, kernels", std::to_string(o.threads) + ", " + training::active_target());
    print_line("tokens per second", number("%.0f", rate.tokens_per_second));
    print_line("GFLOP/s", number("%.1f", rate.gflops));
    print_line("GEMM peak, GFLOP/s",
               number("%.1f", rate.peak_gflops) + " (" + rate.peak_name + ")");
    print_line("fraction of GEMM peak", number("%.3f", rate.gflops / rate.peak_gflops));
    print_line("peak memory", base::human_size(rate.memory_bytes));
}

}  // namespace

base::result<void> bench_train(cli_context& context, const train_bench_options& o) {
    if (o.slices > 1) return bench_slices(context, o);
    TEQUIO_TRY(const auto preset, preset_for(o));
    compute_pool pool(o.threads);
    kernel_times times(pool);
    context.say("measuring steps of " + o.preset + ", threads: " + std::to_string(o.threads));
    TEQUIO_TRY(const auto bench, training::step_bench::create(preset, times));
    for (int i = 0; i < 2; ++i) bench->one_step();
    const training_work work{bench->tokens_per_step(), bench->flops_per_step(), turns_least,
                             [&]() -> base::result<void> {
                                 bench->one_step();
                                 return {};
                             }};
    TEQUIO_TRY(const auto rate, measure_training(context, work, pool, times));
    const auto table = table_of(times, rate);
    if (context.json) {
        auto out = common_json(o, preset, rate);
        out["steps"] = rate.calls;
        out["step_seconds"] = rate.seconds;
        out["kernels"] = as_json(table, rate.calls);
        context.print_json("bench-train", std::move(out));
        return {};
    }
    print_common(o, preset, rate);
    print_line("step",
               number("%.4g s", rate.seconds) + " (median of " + std::to_string(rate.calls) + ")");
    print(table, rate);
    return {};
}

base::result<void> bench_lane(cli_context& context, const train_bench_options& o) {
    TEQUIO_TRY(const auto preset, preset_for(o));
    TEQUIO_TRY(const auto job, training_job_of(preset, {o.steps, preset.batch, {}}));
    compute_pool pool(o.threads);
    kernel_times times(pool);
    context.say("measuring lanes of " + o.preset + ", threads: " + std::to_string(o.threads));
    TEQUIO_TRY(auto data, training::dataset_view::open(job.tokens, job.recipe));
    TEQUIO_TRY(const auto engine, training::engine::create(job.recipe, std::move(data), times));
    std::vector<float> parameters(engine->layout().padded_size);
    std::vector<float> momentum(parameters.size());
    engine->initial_state({parameters, momentum});
    const auto lane = [&]() -> base::result<void> {
        TEQUIO_TRY(const auto done, engine->run_lane({parameters, momentum}, {0}, {0},
                                                     [](std::uint64_t) { return true; }));
        if (std::holds_alternative<training::diverged>(done.outcome)) {
            return ends_with(exit_code::failure, "the lane diverged");
        }
        return {};
    };
    TEQUIO_CHECK(lane());
    const training_work work{training::lane_tokens(job.recipe), training::lane_flops(job.recipe),
                             lanes_least, lane};
    TEQUIO_TRY(const auto rate, measure_training(context, work, pool, times));
    const auto state_bytes = 2 * parameters.size() * sizeof(float);
    const auto planned = engine->memory_bytes() + state_bytes;
    const auto table = table_of(times, rate);
    if (context.json) {
        auto out = common_json(o, preset, rate);
        out["steps"] = o.steps;
        out["lanes"] = rate.calls;
        out["lane_seconds"] = rate.seconds;
        out["planned_memory_bytes"] = planned;
        out["kernels"] = as_json(table, rate.calls);
        context.print_json("bench-lane", std::move(out));
        return {};
    }
    print_common(o, preset, rate);
    print_line("memory as planned", base::human_size(planned) + ", the state included");
    print_line("lane of " + std::to_string(o.steps) + " steps",
               number("%.4g s", rate.seconds) + " (median of " + std::to_string(rate.calls) + ")");
    print(table, rate);
    return {};
}

}  // namespace tequio::node
