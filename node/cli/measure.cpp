#include "node/cli/measure.hpp"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>

#include "base/ensure.hpp"
#include "node/governor/probes/group_limits.hpp"
#include "training/arithmetic.hpp"

namespace tequio::node {
namespace {

using clock = std::chrono::steady_clock;

/// Steps of the plan's model are cut to about this many operations: under a second anywhere.
constexpr double plan_flops_max = 1e10;

double seconds_since(clock::time_point start) {
    return std::chrono::duration<double>(clock::now() - start).count();
}

}  // namespace

unsigned usable_threads() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    const auto allowed = static_cast<unsigned>(CPU_COUNT(&set));
    const double quota = read_group_limits("/").processors.value_or(allowed);
    return std::max(1u, static_cast<unsigned>(std::min<double>(allowed, quota)));
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

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

double measure_stream(training::executor& run) {
    constexpr std::size_t floats = std::size_t{1} << 25;  // 128 MiB each
    constexpr std::size_t piece = std::size_t{1} << 15;
    constexpr unsigned repeats = 5;
    // In huge pages where the system gives them, as the arrays of training (training/model/arena).
    constexpr std::size_t huge_page = std::size_t{1} << 21;
    const auto array = [] {
        auto* memory = std::aligned_alloc(huge_page, floats * sizeof(float));
        base::ensure(memory != nullptr, "there is memory for a measurement");
        (void)::madvise(memory, floats * sizeof(float), MADV_HUGEPAGE);
        auto* first = static_cast<float*>(memory);
        std::fill(first, first + floats, 1.0F);
        return std::unique_ptr<float, decltype(&std::free)>(first, &std::free);
    };
    const auto x = array();
    const auto y = array();
    const auto add = [&](std::size_t task, unsigned) {
        float* __restrict to = x.get() + task * piece;
        const float* __restrict from = y.get() + task * piece;
        for (std::size_t i = 0; i < piece; ++i) to[i] = to[i] + from[i];
    };
    std::vector<double> seconds;
    for (unsigned i = 0; i < repeats; ++i) {
        const auto start = clock::now();
        run.run(floats / piece, add);
        seconds.push_back(seconds_since(start));
    }
    return 3 * sizeof(float) * static_cast<double>(floats) / median(std::move(seconds)) / 1e9;
}

double measure_gemm_peak(training::executor& run, unsigned repeats) {
    constexpr std::size_t side = 2048;
    training::product_bench product(training::product_form::nn, side, side, side, run);
    const std::array<std::function<void()>, 1> bodies{[&] { product.once(); }};
    const auto seconds = measure_in_turn(bodies, repeats, std::chrono::microseconds(0));
    return product.flops() / seconds.front() / 1e9;
}

std::vector<double> measure_in_turn(std::span<const std::function<void()>> bodies, unsigned samples,
                                    std::chrono::microseconds sample_time) {
    // Longer than idle threads of OpenBLAS (node/cli/openblas.hpp) or of ours go on spinning.
    constexpr std::chrono::microseconds settle_time{2500};
    std::vector<std::vector<double>> seconds(bodies.size());
    for (unsigned sample = 0; sample < samples; ++sample) {
        for (std::size_t i = 0; i < bodies.size(); ++i) {
            std::uint64_t warm_up = 0;
            const auto settle = clock::now();
            while (warm_up == 0 || clock::now() - settle < settle_time) {
                bodies[i]();
                ++warm_up;
            }
            const double one = seconds_since(settle) / static_cast<double>(warm_up);
            const double wanted = std::chrono::duration<double>(sample_time).count();
            const auto calls = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(wanted / one));
            const auto start = clock::now();
            for (std::uint64_t call = 0; call < calls; ++call) bodies[i]();
            seconds[i].push_back(seconds_since(start) / static_cast<double>(calls));
        }
    }
    std::vector<double> out;
    for (auto& values : seconds) out.push_back(median(std::move(values)));
    return out;
}

}  // namespace tequio::node
