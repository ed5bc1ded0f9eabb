#pragma once

/// How well the rest of the machine is protected from our compute threads, as achieved rather than
/// as asked for. Source: sched(7), autogroup; the kernel's cgroup-v2.rst; reference "volunteer",
/// section 3.2.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tequio::node {

/// From strongest to weakest. Competition is decided between groups before threads' priorities
/// count, so the group says more than the nice value.
enum class cpu_protection {
    cgroup_idle,    ///< a control group with cpu.idle stands between it and the others
    cgroup_weight,  ///< one with a CPU weight of at most `light_weight_max` does
    autogroup,      ///< an autogroup of its own at nice 19, which counts in the root group only
    nice_only,      ///< threads yield inside their group; between groups they get a full share
    none,
};

/// "cgroup-idle", "cgroup-weight", "autogroup", "nice-only" or "none".
std::string_view cpu_protection_name(cpu_protection p);

/// False below autogroup: beside work of the owner's in another group such a worker takes half of
/// every processor, so nothing may run while the machine is in use.
bool may_work_in_use(cpu_protection p);

/// The greatest weight that protects (usual: 100): at most one part in twenty of a processor
/// (guess; our units ask for 1).
inline constexpr std::uint64_t light_weight_max = 5;

/// A claim and its reason, for people: "cpu.weight 1 of /tequio.slice".
struct protection_facts {
    cpu_protection kind = cpu_protection::none;
    std::string how;
};

/// One control group that takes part in sharing out the processors.
struct group_level {
    std::string path;            ///< "/user.slice/user-1000.slice"
    bool idle = false;           ///< cpu.idle
    std::uint64_t weight = 100;  ///< cpu.weight, or cpu.shares turned into it
};

/// What a claim follows from.
struct protection_signs {
    std::vector<group_level> levels;  ///< own group last, the one nearest to the root first
    /// CPU groups of processes that are not in ours; kernel threads left out.
    std::vector<std::string> others;
    bool hidden_groups = false;  ///< groups above what can be seen here: autogroups do not count
    bool light_autogroup = false;
    bool idle_threads = false;  ///< scheduling class idle, or nice 19
};

/// What protects others from a process with these signs. A light group protects those alone who
/// share its parent: seen from further up, a group's weight is its parent's. So the claim of a
/// group holds only if no other program runs beyond that parent, services of the system
/// (/system.slice, /init.scope) left out of account but named.
protection_facts judge_protection(const protection_signs& signs);

/// The signs of the calling process and the claim they give. Reads /proc and the control groups'
/// file system; what cannot be read counts as absent.
protection_facts inspect_cpu_protection();

/// Makes the calling process yield to everything else: into the control group at `group` (a folder;
/// empty: stays where it is), scheduling class idle, nice 19, its autogroup at 19, idle I/O class,
/// first to go when memory runs out. Each step is tried and none must succeed:
/// `inspect_cpu_protection` says what came of it. Threads started later inherit it.
void lower_own_priority(const std::string& group = {});

/// What `protection_probe` found. `kind` is the claim, or less if the measurement refutes it.
struct protection_report {
    cpu_protection kind = cpu_protection::none;
    /// What a thread in the worker's set-up got of a processor that a thread of the daemon's group
    /// wanted whole: 0 to 1; negative: not measured.
    double background_share = -1;
    std::string how;  ///< for people
};

}  // namespace tequio::node
