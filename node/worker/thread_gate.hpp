#pragma once

/// How many threads may compute at this moment: one number in memory that the daemon shares with
/// its worker, so that the governor takes cores back without waiting for a message to be read.

#include <atomic>
#include <cstdint>

namespace tequio::node {

/// The number, in shared memory or not. Threads whose index is not below it stop before their next
/// task and sleep in the kernel. Any thread of any process that maps it may call any method.
class thread_gate {
public:
    /// Lets `threads` threads compute; 0 parks all of them.
    void allow(std::uint32_t threads);
    std::uint32_t allowed() const { return allowed_.load(std::memory_order_acquire); }
    /// True if thread `index` may take a task now.
    bool open_for(unsigned index) const { return index < allowed(); }
    /// Sleeps until the number changes from `seen`, `wake_all` is called, `timeout_ms` have passed
    /// (negative: never), or the kernel says so for no reason; the caller looks again.
    void wait_for_change(std::uint32_t seen, int timeout_ms = -1);
    /// Wakes every sleeper to look again.
    void wake_all();

private:
    std::atomic<std::uint32_t> allowed_{UINT32_MAX};
};

static_assert(sizeof(thread_gate) == 4, "a futex word, also in shared memory");
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace tequio::node
