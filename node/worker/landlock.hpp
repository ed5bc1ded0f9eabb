#pragma once

/// Landlock: the kernel's own list of what a process may still open, beside the list of calls that
/// seccomp keeps. Two walls built by different code: a hole in one is closed by the other.
/// Source: the kernel's Documentation/userspace-api/landlock.rst, versions ("ABI") 1 to 7.

#include <cstdint>

#include "base/result.hpp"

namespace tequio::node {

/// What one version of Landlock can forbid; every bit that is set here is forbidden, everywhere.
struct landlock_rights {
    std::uint64_t files = 0;    ///< opening, listing, making, removing, renaming, cutting, ioctl
    std::uint64_t network = 0;  ///< binding and connecting TCP
    std::uint64_t scopes = 0;   ///< abstract Unix sockets of, and signals to, processes outside
};

/// All rights that version `abi` knows, as far as we know them; none for 0.
landlock_rights landlock_rights_of(unsigned abi);

/// The newest version whose rights we know. A kernel with a later one is used as this one.
inline constexpr unsigned landlock_abi_max = 7;

/// What the running kernel has, at most `landlock_abi_max`; 0: older than 5.13, built without it,
/// or not among the modules chosen at boot.
unsigned landlock_abi();

/// From now on nothing can be opened, for ever: every right of the kernel's version is handled and
/// no rule allows any. Descriptors that are open already stay as they are. Holds for the calling
/// thread and the threads and processes it makes later, so it is called while there is one thread.
/// Gives up new privileges first, as the kernel asks. Returns the version used, 0 where the kernel
/// has none; then nothing was done. Errors: `base::errc::io_failure`: it has one and refused.
base::result<unsigned> forbid_new_access();

}  // namespace tequio::node
