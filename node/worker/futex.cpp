#include "node/worker/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

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
    allowed_.store(threads, std::memory_order_release);
    wake_all();
}

void thread_gate::wait_for_change(std::uint32_t seen, int timeout_ms) {
    futex_wait(allowed_, seen, futex_scope::shared, timeout_ms);
}

void thread_gate::wake_all() {
    futex_wake(allowed_, INT_MAX, futex_scope::shared);
}

}  // namespace tequio::node
