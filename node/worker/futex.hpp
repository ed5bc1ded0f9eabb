#pragma once

/// Sleeping on a 32-bit word (futex(2)). std::atomic::wait is not used because it cannot reach
/// across processes and its number of spins cannot be chosen.

#include <atomic>
#include <cstdint>

namespace tequio::node {

/// Who may wake whom.
enum class futex_scope {
    process,  ///< threads of one process; cheaper
    shared,   ///< every process that maps the word
};

/// Sleeps while `word` holds `seen`, at most `timeout_ms` if that is not negative. May return early
/// without reason.
void futex_wait(std::atomic<std::uint32_t>& word, std::uint32_t seen, futex_scope scope,
                int timeout_ms = -1);
/// Wakes at most `count` sleepers of `word`.
void futex_wake(std::atomic<std::uint32_t>& word, int count, futex_scope scope);

}  // namespace tequio::node
