#pragma once

/// What the control groups around this process leave of the machine: containers, services with
/// limits. Version 2 (cpu.max, memory.max), version 1 (cpu.cfs_quota_us, memory.limit_in_bytes) and
/// mixtures. Source: kernel Documentation, cgroup-v2.rst and cgroup-v1.

#include <cstdint>
#include <filesystem>
#include <optional>

namespace tequio::node {

struct group_limits {
    std::optional<double> processors;           ///< the smallest quota on the way up
    std::optional<std::uint64_t> memory_bytes;  ///< the smallest limit on the way up
    /// Free below that limit; page cache that can be dropped counts as free.
    std::optional<std::uint64_t> memory_available_bytes;
};

/// Reads the groups of the calling process from `root`/proc/self/cgroup and `root`/sys/fs/cgroup.
/// Inside a container the path in /proc may be that of the host: folders that are not there are
/// passed over, and the mounted root counts in any case. What cannot be read counts as no limit.
/// Cost: some 20 small files; once in a second or less.
group_limits read_group_limits(const std::filesystem::path& root);

}  // namespace tequio::node
