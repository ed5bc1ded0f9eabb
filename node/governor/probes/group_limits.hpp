#pragma once

/// What the control groups around this process leave of the machine: containers, services with
/// limits. Version 2 (cpu.max, memory.max), version 1 (cpu.cfs_quota_us, memory.limit_in_bytes) and
/// mixtures. Source: kernel Documentation, cgroup-v2.rst and cgroup-v1.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace tequio::node {

/// A control group that gives the processes in it a share of the processors.
struct quota_group {
    int version = 2;
    std::filesystem::path folder;  ///< with cpu.stat
    /// Version 1: the group's processor time, in a hierarchy of its own perhaps.
    std::filesystem::path use_file;
    std::string path;       ///< as in /proc/PID/cgroup; empty for the topmost, and when not known
    double processors = 0;  ///< the share
    /// `cgroup`: the text of /proc/PID/cgroup of a process; true when that one is in the group or
    /// below it.
    bool holds(std::string_view cgroup) const;
};

struct group_limits {
    std::optional<double> processors;           ///< the smallest quota on the way up
    std::optional<quota_group> tightest;        ///< the group that sets it
    std::optional<std::uint64_t> memory_bytes;  ///< the smallest limit on the way up
    /// Free below that limit; page cache that can be dropped counts as free.
    std::optional<std::uint64_t> memory_available_bytes;
};

/// Reads the groups of the calling process as `find_group` finds them by `root`/proc/self/cgroup
/// and mountinfo; mounts lie in `root` too. Inside a container the group itself may be out of
/// sight: the topmost group that is mounted counts in any case. What cannot be read counts as no
/// limit. Cost: some 20 small files; once in a second or less.
group_limits read_group_limits(const std::filesystem::path& root);

}  // namespace tequio::node
