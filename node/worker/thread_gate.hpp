#pragma once

/// How many threads may compute at this moment: one word in memory that the daemon shares with its
/// worker, so that the governor takes cores back without waiting for a message to be read.

#include <atomic>
#include <cstdint>

namespace tequio::node {

/// The word, in shared memory or not. Threads whose index is not below its number stop before their
/// next task and sleep in the kernel. Any thread of any process that maps it may call any method.
class thread_gate {
public:
    /// More threads than this are as many as one likes.
    static constexpr std::uint32_t threads_max = 0xFFFF;

    /// Lets `threads` threads compute; 0 parks all of them.
    void allow(std::uint32_t threads);
    std::uint32_t allowed() const { return threads_in(word()); }
    /// True if thread `index` may take a task now.
    bool open_for(unsigned index) const { return index < allowed(); }

    /// The number below, above it how often somebody knocked. Whoever means to sleep reads it
    /// first, then looks at what may have come, then waits: what comes later has changed the word.
    std::uint32_t word() const { return word_.load(std::memory_order_seq_cst); }
    static std::uint32_t threads_in(std::uint32_t word) { return word & threads_max; }
    /// Sleeps until the word is not `seen` any more, `timeout_ms` have passed (negative: never), or
    /// the kernel says so for no reason; the caller looks again.
    void wait_for_change(std::uint32_t seen, int timeout_ms = -1);
    /// Wakes every sleeper to look again, and those who are about to sleep.
    void knock();

private:
    std::atomic<std::uint32_t> word_{threads_max};
};

static_assert(sizeof(thread_gate) == 4, "a futex word, also in shared memory");
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace tequio::node
