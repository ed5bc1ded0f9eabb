#pragma once

/// How well the rest of the machine is protected from our compute threads, as achieved rather than
/// as asked for. Source: sched(7), autogroup; reference "volunteer", section 3.2.

#include <string_view>

namespace tequio::node {

/// From strongest to weakest. Competition is decided between groups before threads' priorities
/// count, so the group says more than the nice value.
enum class cpu_protection {
    cgroup_idle,    ///< the control group, or one above it, has cpu.idle
    cgroup_weight,  ///< the control group, or one above it, has a CPU weight below the usual 100
    autogroup,      ///< an autogroup of its own at nice 19, which counts in the root group only
    nice_only,      ///< threads yield inside their group; between groups they get a full share
    none,
};

/// "cgroup-idle", "cgroup-weight", "autogroup", "nice-only" or "none".
std::string_view cpu_protection_name(cpu_protection p);

/// What protects others from the calling process now. Reads /proc and /sys/fs/cgroup; what cannot
/// be read counts as absent.
cpu_protection inspect_cpu_protection();

/// Makes the calling process yield to everything else: scheduling class idle, nice 19, its
/// autogroup at 19, idle I/O class, first to go when memory runs out. Each step is tried and none
/// must succeed: `inspect_cpu_protection` says what came of it. Threads started later inherit it.
void lower_own_priority();

}  // namespace tequio::node
