#pragma once

/// How long each kernel takes: an executor between the kernels, which say their names, and the
/// threads. `training` reads no clock; this does.

#include <chrono>
#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "training/executor.hpp"

namespace tequio::node {

/// All calls of one kernel.
struct kernel_time {
    std::string_view name;
    std::uint64_t calls = 0;
    double seconds = 0;  ///< from its note to the next one
    std::uint64_t flops = 0;
    std::uint64_t bytes = 0;
};

/// Hands everything to another executor, which outlives it. Notes come from one thread.
class kernel_times final : public training::executor {
public:
    explicit kernel_times(training::executor& run) : run_(run) {}

    unsigned threads() const override { return run_.threads(); }
    void run(std::size_t tasks, training::task_ref body) override { run_.run(tasks, body); }
    void note(const training::kernel_note& kernel) override;

    /// Time counts from `start` to `stop`, that before the first note under "other".
    void start();
    void stop();
    /// Longest first.
    std::vector<kernel_time> by_time() const;

private:
    void count();

    using clock = std::chrono::steady_clock;
    training::executor& run_;
    std::map<std::string_view, kernel_time> kernels_;
    kernel_time* now_ = nullptr;  // null while stopped
    clock::time_point since_;
};

}  // namespace tequio::node
