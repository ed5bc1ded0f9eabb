#pragma once

/// Checks of our own reasoning, on in release builds too. What a peer, a disk, a user or the
/// network can cause is a `base::result`, never an `ensure` (STYLE.md section 8).

#include <source_location>

namespace tequio::base {

/// Prints `what` and where, then aborts. Never returns.
[[noreturn]] void fail_ensure(const char* what, std::source_location where);

/// Aborts the process when `condition` is false. `what` says which belief of ours was wrong.
inline void ensure(bool condition, const char* what,
                   std::source_location where = std::source_location::current()) {
    if (!condition) [[unlikely]] {
        fail_ensure(what, where);
    }
}

}  // namespace tequio::base
