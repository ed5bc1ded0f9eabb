#include "node/governor/probes/group_limits.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "node/governor/probes/kept_file.hpp"

namespace tequio::node {
namespace {

namespace fs = std::filesystem;

/// Version 1 says "no limit" by a number near 2^63, rounded down to pages.
constexpr std::int64_t unlimited_least = std::int64_t{1} << 60;
constexpr std::size_t depth_max = 64;

template <class T>
void lower(std::optional<T>& out, T value) {
    out = out ? std::min(*out, value) : value;
}

void lower_cpu(group_limits& out, double quota, double period) {
    if (quota > 0 && period > 0) lower(out.processors, quota / period);
}

void lower_memory(group_limits& out, const fs::path& folder, std::optional<std::int64_t> limit,
                  const char* usage_file, const char* cache_label) {
    if (!limit || *limit <= 0 || *limit >= unlimited_least) return;
    const auto all = static_cast<std::uint64_t>(*limit);
    lower(out.memory_bytes, all);
    const auto usage = number_in_file(folder / usage_file);
    if (!usage || *usage < 0) return;
    const auto stat = read_small_file(folder / "memory.stat");
    const auto cache = number_after(stat, cache_label).value_or(0);
    const auto used =
        static_cast<std::uint64_t>(*usage) - std::min(static_cast<std::uint64_t>(*usage), cache);
    lower(out.memory_available_bytes, all - std::min(all, used));
}

void read_version_2(group_limits& out, const fs::path& folder) {
    const auto text = read_small_file(folder / "cpu.max");  // "max 100000" or "150000 100000"
    const auto parts = base::split(text, ' ');
    const auto quota = base::parse_u64(parts[0]);
    const auto period = parts.size() > 1 ? base::parse_u64(parts[1]) : std::nullopt;
    if (quota && period) {
        lower_cpu(out, static_cast<double>(*quota), static_cast<double>(*period));
    }
    lower_memory(out, folder, number_in_file(folder / "memory.max"), "memory.current",
                 "\ninactive_file ");
}

void read_version_1_cpu(group_limits& out, const fs::path& folder) {
    const auto quota = number_in_file(folder / "cpu.cfs_quota_us");
    const auto period = number_in_file(folder / "cpu.cfs_period_us");
    if (quota && period) {
        lower_cpu(out, static_cast<double>(*quota), static_cast<double>(*period));
    }
}

void read_version_1_memory(group_limits& out, const fs::path& folder) {
    lower_memory(out, folder, number_in_file(folder / "memory.limit_in_bytes"),
                 "memory.usage_in_bytes", "\ntotal_inactive_file ");
}

/// Calls `read` for the folder of `path` below `mount` and each one above it, the mount too.
template <class Read>
void walk_up(const fs::path& mount, std::string path, Read read) {
    for (std::size_t depth = 0; depth < depth_max && !path.empty() && path != "/"; ++depth) {
        // A group outside the mount ("/../other") has nothing to say here.
        if (path.find("..") == path.npos) read(fs::path(mount.string() + path));
        path.resize(path.rfind('/') == path.npos ? 0 : path.rfind('/'));
    }
    read(mount);
}

}  // namespace

group_limits read_group_limits(const fs::path& root) {
    group_limits out;
    const auto mounts = root / "sys/fs/cgroup";
    const auto text = read_small_file(root / "proc/self/cgroup");
    for (const auto line : base::split(text, '\n')) {
        // "0::/user.slice", "4:memory:/docker/1", "2:cpu,cpuacct:/"
        const auto first = line.find(':');
        const auto second = first == line.npos ? line.npos : line.find(':', first + 1);
        if (second == line.npos) continue;
        const auto controllers = line.substr(first + 1, second - first - 1);
        const std::string path(line.substr(second + 1));
        if (controllers.empty()) {
            for (const auto& mount : {mounts, mounts / "unified"}) {
                walk_up(mount, path, [&](const fs::path& f) { read_version_2(out, f); });
            }
        }
        for (const auto controller : base::split(controllers, ',')) {
            if (controller == "cpu") {
                for (const auto& mount : {mounts / "cpu", mounts / std::string(controllers)}) {
                    walk_up(mount, path, [&](const fs::path& f) { read_version_1_cpu(out, f); });
                }
            } else if (controller == "memory") {
                walk_up(mounts / "memory", path,
                        [&](const fs::path& f) { read_version_1_memory(out, f); });
            }
        }
    }
    return out;
}

}  // namespace tequio::node
