#pragma once

/// Short measurements of this machine, for `bench`, `job new` and `job plan`. They run in the
/// calling process at its own priority.

#include <chrono>
#include <functional>
#include <span>
#include <vector>

#include "base/result.hpp"
#include "training/arithmetic.hpp"
#include "training/engine.hpp"
#include "training/executor.hpp"

namespace tequio::node {

/// Processors that this process may use, by its affinity mask and the quota of its control group;
/// whole ones, at least 1.
unsigned usable_threads();

/// When a measurement ends: after `steps_min` and `time_min`, or after `steps_max`.
struct measure_limits {
    std::uint64_t warm_up = 1;  ///< steps not counted
    std::uint64_t steps_min = 3;
    std::uint64_t steps_max = 1000;
    std::chrono::milliseconds time_min{2000};
};

/// How fast a model trains here.
struct step_rate {
    std::uint64_t parameters = 0;
    std::uint64_t tokens_per_step = 0;
    std::uint64_t steps = 0;  ///< measured
    double step_seconds = 0;  ///< median
    double tokens_per_second = 0;
    double gflops = 0;  ///< 10^9 operations a second, counted as `step_bench::flops_per_step`
};

/// Trains on random tokens for a moment. Errors: `errc::out_of_memory`.
base::result<step_rate> measure_steps(const training::bench_preset& preset, training::executor& run,
                                      const measure_limits& limits);

/// A job's own model with as few sequences a step as tell its speed within seconds.
training::bench_preset preset_of(const training::recipe& r);

/// The middle value; of an even number the upper one. `values` is not empty.
double median(std::vector<double> values);

/// GB/s of x = x + y over two arrays that no cache holds: 12 bytes an element. Median of a few.
double measure_stream(training::executor& run);

/// Our own matrix product of 2048 x 2048 x 2048 with these threads, in GFLOP/s: median of
/// `repeats` after one that warms up.
double measure_gemm_peak(training::executor& run, unsigned repeats = 5);

/// Seconds of one call of each body: medians of `samples` samples, taken in turn so that a change
/// of the machine's pace meets all alike. A sample is as many calls as fill `sample_time`, at least
/// one; untimed calls go before it, which warm caches and outlast the other body's spinning
/// threads. `samples` >= 1.
std::vector<double> measure_in_turn(std::span<const std::function<void()>> bodies, unsigned samples,
                                    std::chrono::microseconds sample_time);

}  // namespace tequio::node
