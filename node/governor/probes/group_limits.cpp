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

/// `group`: all of it but the share.
void lower_cpu(group_limits& out, double quota, double period, quota_group group) {
    if (!(quota > 0 && period > 0)) return;
    group.processors = quota / period;
    if (out.processors && *out.processors <= group.processors) return;
    out.processors = group.processors;
    out.tightest = std::move(group);
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

void read_version_2(group_limits& out, const fs::path& folder, const std::string& path) {
    const auto text = read_small_file(folder / "cpu.max");  // "max 100000" or "150000 100000"
    const auto parts = base::split(text, ' ');
    const auto quota = base::parse_u64(parts[0]);
    const auto period = parts.size() > 1 ? base::parse_u64(parts[1]) : std::nullopt;
    if (quota && period) {
        lower_cpu(out, static_cast<double>(*quota), static_cast<double>(*period),
                  {2, folder, {}, path, 0});
    }
    lower_memory(out, folder, number_in_file(folder / "memory.max"), "memory.current",
                 "\ninactive_file ");
}

/// `mounts`: where the hierarchies are mounted.
void read_version_1_cpu(group_limits& out, const fs::path& folder, const std::string& path,
                        const fs::path& mounts) {
    const auto quota = number_in_file(folder / "cpu.cfs_quota_us");
    const auto period = number_in_file(folder / "cpu.cfs_period_us");
    if (!quota || !period) return;
    std::error_code ec;
    auto use_file = folder / "cpuacct.usage";  // the usual mount has both controllers
    if (!fs::exists(use_file, ec)) {
        use_file = fs::path((mounts / "cpuacct").string() + path) / "cpuacct.usage";
    }
    lower_cpu(out, static_cast<double>(*quota), static_cast<double>(*period),
              {1, folder, use_file, path, 0});
}

void read_version_1_memory(group_limits& out, const fs::path& folder) {
    lower_memory(out, folder, number_in_file(folder / "memory.limit_in_bytes"),
                 "memory.usage_in_bytes", "\ntotal_inactive_file ");
}

/// Calls `read` for the folder of `path` below `mount` and each one above it, the mount too, with
/// the path that is left ("" at the mount).
template <class Read>
void walk_up(const fs::path& mount, std::string path, Read read) {
    for (std::size_t depth = 0; depth < depth_max && !path.empty() && path != "/"; ++depth) {
        // A group outside the mount ("/../other") has nothing to say here.
        if (path.find("..") == path.npos) read(fs::path(mount.string() + path), path);
        path.resize(path.rfind('/') == path.npos ? 0 : path.rfind('/'));
    }
    read(mount, std::string());
}

/// One line of /proc/PID/cgroup: "0::/user.slice", "4:memory:/docker/1", "2:cpu,cpuacct:/".
struct group_line {
    std::string_view controllers, path;
};

std::optional<group_line> parse_line(std::string_view line) {
    const auto first = line.find(':');
    const auto second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) return std::nullopt;
    return group_line{line.substr(first + 1, second - first - 1), line.substr(second + 1)};
}

}  // namespace

bool quota_group::holds(std::string_view cgroup) const {
    for (const auto text : base::split(cgroup, '\n')) {
        const auto line = parse_line(text);
        if (!line) continue;
        const auto names = base::split(line->controllers, ',');
        const bool ours = version == 2
                              ? line->controllers.empty()
                              : std::find(names.begin(), names.end(), "cpu") != names.end();
        if (!ours) continue;
        if (!line->path.starts_with(path)) return false;
        const auto rest = line->path.substr(path.size());
        return path.empty() || rest.empty() || rest.starts_with('/');
    }
    return false;
}

group_limits read_group_limits(const fs::path& root) {
    group_limits out;
    const auto mounts = root / "sys/fs/cgroup";
    const auto text = read_small_file(root / "proc/self/cgroup");
    for (const auto item : base::split(text, '\n')) {
        const auto line = parse_line(item);
        if (!line) continue;
        const auto controllers = line->controllers;
        const std::string path(line->path);
        if (controllers.empty()) {
            for (const auto& mount : {mounts, mounts / "unified"}) {
                walk_up(mount, path, [&](const fs::path& f, const std::string& p) {
                    read_version_2(out, f, p);
                });
            }
        }
        for (const auto controller : base::split(controllers, ',')) {
            if (controller == "cpu") {
                for (const auto& mount : {mounts / "cpu", mounts / std::string(controllers)}) {
                    walk_up(mount, path, [&](const fs::path& f, const std::string& p) {
                        read_version_1_cpu(out, f, p, mounts);
                    });
                }
            } else if (controller == "memory") {
                walk_up(mounts / "memory", path, [&](const fs::path& f, const std::string&) {
                    read_version_1_memory(out, f);
                });
            }
        }
    }
    return out;
}

}  // namespace tequio::node
