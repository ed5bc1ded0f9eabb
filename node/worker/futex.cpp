#include "node/worker/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <ctime>

#include "node/worker/thread_gate.hpp"

namespace tequio::node {

void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, futex_scope scope,
                int timeout_ms) {
    const int operation = scope == futex_scope::process ? FUTEX_WAIT_PRIVATE : FUTEX_WAIT;
    timespec timeout{timeout_ms / 1000, (timeout_ms % 1000) * 1'000'000L};
    ::syscall(SYS_futex, &word, operation, seen, timeout_ms < 0 ? nullptr : &timeout, nullptr, 0);
}

void futex_wake(std::atomic<std::uint32_t>& word, int count, futex_scope scope) {
    const int operation = scope == futex_scope::process ? FUTEX_WAKE_PRIVATE : FUTEX_WAKE;
    ::syscall(SYS_futex, &word, operation, count, nullptr, nullptr, 0);
}

void thread_gate::allow(std::uint32_t threads) {
    const auto number = std::min(threads, threads_max);
    auto seen = word();
    // Knocks of others are kept.
    while (!word_.compare_exchange_weak(seen, (seen & ~threads_max) | number)) continue;
    futex_wake(word_, INT_MAX, futex_scope::shared);
}

void thread_gate::wait_for_change(std::uint32_t seen, int timeout_ms) {
    futex_wait(word_, seen, futex_scope::shared, timeout_ms);
}

void thread_gate::knock() {
    word_.fetch_add(threads_max + 1);
    futex_wake(word_, INT_MAX, futex_scope::shared);
}

}  // namespace tequio::node
