#pragma once

/// What the worker takes from itself before it reads a byte that came from elsewhere.

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace tequio::node {

/// Bounds of one worker process.
struct sandbox_limits {
    /// Private memory that computing may use, in bytes: the owner's limit. Room for the program
    /// itself and its threads' stacks is added. 0: no limit.
    std::uint64_t memory_bytes = 0;
    unsigned threads = 1;
};

/// What a worker may take besides: the program's own pages and each thread's stack.
std::uint64_t worker_overhead_bytes(unsigned threads);

/// Sets the process's resource limits: private memory, no core dumps, few descriptors, no file
/// larger than the memory limit. Not under sanitizers, whose shadow memory has no bound.
/// Errors: `base::errc::io_failure`.
base::result<void> limit_resources(const sandbox_limits& limits);

/// First wall, while the process has one thread: nothing can be opened any more (landlock.hpp).
/// Returns Landlock's version; 0 where the kernel has none, which is no error, for the second wall
/// holds alone, and in sanitizer builds, which open files at any time. Errors:
/// `base::errc::io_failure`: the worker must not run then.
base::result<unsigned> forbid_opening();

/// Second wall. Ends, for all threads of this process and for ever: opening or naming files,
/// sockets, new processes and threads, programs, signals to others, executable memory, new
/// privileges. What is left is in sandbox.cpp, call by call. A call that is not allowed fails with
/// EPERM and does nothing; the process is not killed for it, because an update of the C library may
/// bring a harmless new call, and a worker that dies of it would lose its owner's lanes for ever,
/// whereas an attacker gains nothing from a call that fails.
///
/// In sanitizer builds the list is turned round (they must open files and start threads): sockets,
/// programs, tracing and signals to others are refused, the rest is let through.
///
/// Returns how both went, for people; `landlock` is what `forbid_opening` returned: "seccomp +
/// landlock 7", "seccomp, no landlock in this kernel", or "seccomp (relaxed: sanitizer build)".
/// Errors: `base::errc::io_failure`: the worker must not run then.
base::result<std::string> enter_sandbox(unsigned landlock);

/// True in builds whose sandbox and limits are relaxed as said above.
bool sandbox_is_relaxed();

}  // namespace tequio::node
