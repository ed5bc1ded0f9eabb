#pragma once

/// The worker's threads: a fork-join pool for kernels. The one place with threads for compute.
///
/// Why it looks as it does: a training step is some thousand short parallel sections, so a section
/// must open in about a microsecond; but the machine belongs to somebody else, so idle threads
/// sleep in the kernel after a short spin, and a section never waits for a thread that has not
/// come: the others do its tasks.
///
/// A thread begins with its own part of the tasks, the same part of every section, and helps others
/// when it is done: what it wrote in one section (rows of tokens) then lies in its own cache when
/// the next one reads it.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "node/worker/thread_gate.hpp"
#include "training/executor.hpp"

namespace tequio::node {

/// Runs tasks on the caller's thread and `threads() - 1` of its own. `run` is called by one thread
/// at a time, never from inside a task: both are mistakes of ours and abort.
class compute_pool final : public training::executor {
public:
    /// Starts the threads; each sets its floating-point environment, as does the calling thread,
    /// which must be the one that calls `run`. `threads` >= 1. `gate`, if given, must outlive the
    /// pool.
    explicit compute_pool(unsigned threads, thread_gate* gate = nullptr);
    /// Wakes and joins all threads, parked ones too.
    ~compute_pool() override;
    compute_pool(const compute_pool&) = delete;
    compute_pool& operator=(const compute_pool&) = delete;

    unsigned threads() const override { return threads_; }
    /// While the gate allows no thread, `run` stops before its next task and sleeps until it does.
    void run(std::size_t tasks, training::task_ref body) override;

    /// Stops here as `run` would, for work between sections: sleeps while the gate allows no
    /// thread. For the thread that calls `run`.
    void stop_at_gate();
    /// Called by the thread that calls `run`: when it parks, and whenever somebody knocks at the
    /// gate meanwhile. It may `abandon`.
    void while_parked(std::function<void()> look) { look_ = std::move(look); }
    /// Drops the tasks that are left of this section and of every later one, parked or not, so that
    /// the item in hand comes to its end at once: what it comes to is void. Until
    /// `restore_environment`. From `while_parked` or between sections.
    void abandon() { abandoned_.store(true, std::memory_order_relaxed); }
    bool abandoned() const { return abandoned_.load(std::memory_order_relaxed); }

    /// False once any thread came out of a section with another floating-point environment than
    /// it must have: what was computed since `restore_environment` may be wrong (NUMERICS.md, rule
    /// 1).
    bool environment_ok() const { return !environment_changed_.load(std::memory_order_relaxed); }
    /// Sets the caller's environment, and that of each helper before its next section. For the
    /// thread that calls `run`, between two pieces of work. Ends `abandon`.
    void restore_environment();

private:
    void help(unsigned index);
    bool join_section();
    void leave_section();
    void close_section();
    void do_tasks(unsigned index);
    bool take_task(unsigned index, std::size_t& task);
    bool take_from(unsigned whose, std::size_t& task);
    void sleep_until_work();
    void wait_for_helpers();
    void check_environment();
    void park();

    const unsigned threads_;
    thread_gate* const gate_;

    // The section in hand. Written by the caller while it is closed and nobody is inside.
    const training::task_ref* body_ = nullptr;
    std::size_t tasks_ = 0;
    std::uint64_t number_ = 0;  ///< of the section

    /// A thread's share of the tasks: a range of them, of which the first few are taken. Above the
    /// low 24 bits the section's number: a share that shows another section's is untouched.
    struct alignas(64) share {
        std::atomic<std::uint64_t> taken{0};
    };
    std::unique_ptr<share[]> shares_;

    /// Top bit: the section is open. Below: helpers inside, the caller not counted.
    alignas(64) std::atomic<std::uint32_t> section_{0};
    std::atomic<std::uint32_t> caller_sleeps_{0};

    /// Counts the sections opened; helpers sleep on it.
    alignas(64) std::atomic<std::uint32_t> opened_{0};
    std::atomic<std::uint32_t> sleepers_{0};

    alignas(64) std::atomic<bool> stopping_{false};
    std::atomic<bool> running_{false};
    std::atomic<bool> environment_changed_{false};
    std::atomic<bool> abandoned_{false};
    std::function<void()> look_;
    std::atomic<std::uint32_t> helpers_left_{0};
    std::vector<std::thread> helpers_;
};

}  // namespace tequio::node
