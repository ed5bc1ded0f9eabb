#include "node/cli/measure.hpp"

#include <sched.h>

#include <algorithm>
#include <vector>

#include "training/numerics/gemm.hpp"

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
    namespace numerics = training::numerics;
    constexpr std::size_t side = 2048;
    const std::vector<float> a(side * side, 0.5f), b(side * side, 0.25f);
    std::vector<float> c(side * side);
    const numerics::gemm_shape shape{side, side, side};
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes(shape, run.threads()));
    const auto once = [&] {
        numerics::gemm({}, shape, {a.data(), side}, {b.data(), side}, {c.data(), side}, workspace,
                       run);
    };
    once();
    std::vector<double> seconds;
    for (unsigned i = 0; i < repeats; ++i) {
        const auto start = clock::now();
        once();
        seconds.push_back(seconds_since(start));
    }
    return 2.0 * side * side * side / median(std::move(seconds)) / 1e9;
}

}  // namespace tequio::node
