#pragma once

/// The workers' own control group. Source: the kernel's cgroup-v2.rst (no internal processes,
/// delegation), cgroup-v1/cgroups.rst, systemd's CGROUP_DELEGATION.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "node/worker/group_place.hpp"

namespace tequio::node {

/// True if the kernel took it. Tries again while it answers EAGAIN, half a second at most.
bool write_kernel_file(const std::string& path, std::string_view text);

/// A group for this daemon's workers, below or beside the daemon's own; removed on destruction,
/// when its processes must have ended, and a division undone.
class worker_group {
public:
    worker_group() = default;
    /// Makes it where this process's group is ours to divide: version 2 delegated to us, with no
    /// process but this one in it, which is moved into a leaf `daemon` beside the new leaf
    /// `worker`; version 1 writable. The group idles (cpu.idle; where the kernel lacks it, the
    /// least weight). `memory_bytes`: memory above it is taken back from the group (memory.high);
    /// 0: no bound. Where that cannot be, `folder` is empty and `how` says why.
    static worker_group make(std::uint64_t memory_bytes);
    ~worker_group();
    worker_group(worker_group&& other) noexcept
        : folder_(std::exchange(other.folder_, {})),
          divided_(std::exchange(other.divided_, {})),
          how_(std::move(other.how_)) {}
    worker_group& operator=(worker_group&& other) noexcept {
        std::swap(folder_, other.folder_);
        std::swap(divided_, other.divided_);
        std::swap(how_, other.how_);
        return *this;
    }

    /// For `lower_own_priority`; also holds cpu.stat and, in version 2, cgroup.freeze.
    const std::string& folder() const { return folder_; }
    const std::string& how() const { return how_; }
    /// Another bound than `make` was given, where there is one; not 0.
    void bound(std::uint64_t memory_bytes);

private:
    bool make_version_1(const group_place& own);
    bool make_version_2(const group_place& own, std::uint64_t memory_bytes);
    std::string folder_;
    std::string divided_;  ///< version 2: the group that we divided
    std::string how_;
};

}  // namespace tequio::node
