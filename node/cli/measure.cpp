#include "node/cli/measure.hpp"

#include <sched.h>

#include <algorithm>
#include <vector>

#include "training/arithmetic.hpp"

namespace tequio::node {
namespace {

using clock = std::chrono::steady_clock;

/// Steps of the plan's model are cut to about this many operations: under a second anywhere.
constexpr double plan_flops_max = 1e10;

double seconds_since(clock::time_point start) {
    return std::chrono::duration<double>(clock::now() - start).count();
}

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

}  // namespace

unsigned usable_threads() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return std::max(1u, static_cast<unsigned>(CPU_COUNT(&set)));
}

base::result<step_rate> measure_steps(const training::bench_preset& preset, training::executor& run,
                                      const measure_limits& limits) {
    TEQUIO_TRY(const auto bench, training::step_bench::create(preset, run));
    for (std::uint64_t i = 0; i < limits.warm_up; ++i) bench->one_step();
    std::vector<double> seconds;
    const auto start = clock::now();
    while (seconds.size() < limits.steps_max &&
           (seconds.size() < limits.steps_min || clock::now() - start < limits.time_min)) {
        const auto step_start = clock::now();
        bench->one_step();
        seconds.push_back(seconds_since(step_start));
    }
    step_rate out;
    out.parameters = bench->parameters();
    out.tokens_per_step = bench->tokens_per_step();
    out.steps = seconds.size();
    out.step_seconds = median(std::move(seconds));
    out.tokens_per_second = static_cast<double>(out.tokens_per_step) / out.step_seconds;
    out.gflops = static_cast<double>(bench->flops_per_step()) / out.step_seconds / 1e9;
    return out;
}

training::bench_preset preset_of(const training::recipe& r) {
    training::bench_preset out{"job", r.model, r.train.micro_batch};
    const auto lane_steps = static_cast<double>(r.train.inner_steps * r.train.batch);
    const double sequence_flops = static_cast<double>(training::lane_flops(r)) / lane_steps;
    const auto sequences = static_cast<std::uint64_t>(plan_flops_max / sequence_flops);
    out.batch = std::clamp<std::uint64_t>(sequences, 1, out.batch);
    return out;
}

double measure_gemm_peak(training::executor& run, unsigned repeats) {
    constexpr std::size_t side = 2048;
    training::product_bench product(training::product_form::nn, side, side, side, run);
    product.once();
    return measure_product(product, repeats, std::chrono::milliseconds(0));
}

double measure_product(training::product_bench& product, unsigned repeats,
                       std::chrono::milliseconds time_min) {
    std::vector<double> seconds;
    const auto start = clock::now();
    while (seconds.size() < repeats || clock::now() - start < time_min) {
        const auto begin = clock::now();
        product.once();
        seconds.push_back(seconds_since(begin));
    }
    return product.flops() / median(std::move(seconds)) / 1e9;
}

}  // namespace tequio::node
