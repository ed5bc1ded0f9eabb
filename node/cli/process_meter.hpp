#pragma once

/// What processes and the machine have used, as the kernel counts it. For measurements.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace tequio::node {

/// Processor seconds of all threads of a process (/proc/PID/task/*/schedstat); 0 once it is gone.
/// The kernel brings a running thread's count up to date at its timer tick: 1 to 10 ms late.
double used_seconds(pid_t process);

/// True once a process runs no more, though its parent may not have asked for its end yet.
bool has_ended(pid_t process);

/// The processes whose parent is `process`, in order of their ids.
std::vector<pid_t> children_of(pid_t process);

/// Memory of a process in bytes (/proc/PID/smaps_rollup, or statm where that may not be read).
struct memory_use {
    std::uint64_t resident = 0;
    std::uint64_t proportional = 0;  ///< shared pages in equal parts; `resident` if unknown
};
/// Zeros once the process is gone.
memory_use memory_of(pid_t process);

/// Processor seconds since the machine started, over all processors (/proc/stat).
struct machine_times {
    double busy = 0;   ///< everything but idle, waiting for disks, and stolen
    double steal = 0;  ///< taken by the host of this virtual machine
    double total = 0;
};
machine_times read_machine_times();
/// What was used between two readings.
machine_times operator-(const machine_times& late, const machine_times& early);

/// The machine as a report states it.
struct machine_facts {
    unsigned processors = 0;
    std::string kernel;
    std::string frequency_governor;  ///< of processor 0; "none" where it cannot be known
    bool autogroup = false;          ///< sessions compete as groups
    double load = 0;                 ///< mean of the last minute, runnable and blocked tasks
    bool own_priority_usual = true;  ///< this process has the usual class and nice value
};
machine_facts read_machine_facts();

}  // namespace tequio::node
