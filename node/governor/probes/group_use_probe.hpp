#pragma once

/// What others use of the share of processors that a control group gives this process: in a
/// container /proc/stat shows the whole machine, and says nothing about who uses up the quota.
///
/// Others' use is that of the group less that of the Tequio processes in it, niced work included:
/// the quota does not ask for niceness. Source: kernel Documentation, cgroup-v2.rst (cpu.stat) and
/// cgroup-v1 (cpuacct.rst); sched-bwc.rst for throttling.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "node/governor/probes/group_limits.hpp"
#include "node/governor/probes/kept_file.hpp"

namespace tequio::node {

class group_use_probe {
public:
    struct reading {
        double others = 0;       ///< processors' worth
        bool throttled = false;  ///< the group wanted more than its share since the reading before
    };
    explicit group_use_probe(std::filesystem::path root);

    /// `ours`: Tequio processes; those outside the group are left out. Another group than at the
    /// last reading begins anew. Readings closer than 40 ms give the last one again. What cannot be
    /// read is no use by others.
    reading read(base::time_point now, const quota_group& group, const std::vector<int>& ours);

private:
    struct process {
        bool inside = false;
        kept_file stat;
        std::optional<double> seconds;  ///< at the last reading
    };
    struct count {
        double seconds = 0;  ///< processor time of the group
        std::uint64_t throttled = 0;
    };
    void begin(const quota_group& group);
    std::optional<count> count_now(const quota_group& group);
    double own_seconds(const quota_group& group, const std::vector<int>& ours);

    std::filesystem::path root_;
    double ticks_per_second_;
    std::string buffer_;
    std::filesystem::path folder_;
    kept_file use_, stat_;
    std::map<int, process> processes_;
    std::optional<base::time_point> before_;
    std::optional<count> count_;
    reading last_;
};

}  // namespace tequio::node
