#include "node/governor/probes/group_limits.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "node/governor/probes/kept_file.hpp"
#include "node/io/files.hpp"
#include "node/worker/group_place.hpp"

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
    const auto stat = read_kernel_line(folder / "memory.stat");
    const auto cache = number_after(stat, cache_label).value_or(0);
    const auto used =
        static_cast<std::uint64_t>(*usage) - std::min(static_cast<std::uint64_t>(*usage), cache);
    lower(out.memory_available_bytes, all - std::min(all, used));
}

void read_version_2_cpu(group_limits& out, const fs::path& folder, const std::string& name) {
    const auto text = read_kernel_line(folder / "cpu.max");  // "max 100000" or "150000 100000"
    const auto parts = base::split(text, ' ');
    const auto quota = base::parse_u64(parts[0]);
    const auto period = parts.size() > 1 ? base::parse_u64(parts[1]) : std::nullopt;
    if (!quota || !period) return;
    lower_cpu(out, static_cast<double>(*quota), static_cast<double>(*period),
              {2, folder, {}, name, 0});
}

void read_version_2_memory(group_limits& out, const fs::path& folder) {
    lower_memory(out, folder, number_in_file(folder / "memory.max"), "memory.current",
                 "\ninactive_file ");
}

/// `use_elsewhere`: the group's processor time in a hierarchy of its own, if there is one.
void read_version_1_cpu(group_limits& out, const fs::path& folder, const std::string& name,
                        const fs::path& use_elsewhere) {
    const auto quota = number_in_file(folder / "cpu.cfs_quota_us");
    const auto period = number_in_file(folder / "cpu.cfs_period_us");
    if (!quota || !period) return;
    std::error_code ec;
    auto use_file = folder / "cpuacct.usage";  // the usual mount has both controllers
    if (!fs::exists(use_file, ec)) use_file = use_elsewhere;
    lower_cpu(out, static_cast<double>(*quota), static_cast<double>(*period),
              {1, folder, use_file, name, 0});
}

void read_version_1_memory(group_limits& out, const fs::path& folder) {
    lower_memory(out, folder, number_in_file(folder / "memory.limit_in_bytes"),
                 "memory.usage_in_bytes", "\ntotal_inactive_file ");
}

/// Calls `read` for the group and each one above it, the topmost that is mounted too.
template <class Read>
void walk_up(group_place place, Read read) {
    for (std::size_t depth = 0; depth < depth_max && place.path.size() > 1; ++depth) {
        read(place);
        place.path.resize(place.path.rfind('/'));
    }
    place.path = "/";
    read(place);
}

}  // namespace

bool quota_group::holds(std::string_view cgroup) const {
    const auto other = group_path(version, "cpu", cgroup);
    if (!other || !other->starts_with(path)) return false;
    const auto rest = other->substr(path.size());
    return path.empty() || rest.empty() || rest.starts_with('/');
}

group_limits read_group_limits(const fs::path& root) {
    group_limits out;
    const auto groups = read_kernel_file(root / "proc/self/cgroup").value_or("");
    const auto mounts = read_kernel_file(root / "proc/self/mountinfo").value_or("");
    const auto in_root = [&](const std::string& folder) {
        return fs::path(root.string() + folder);
    };
    if (const auto cpu = find_group("cpu", groups, mounts)) {
        const auto use = find_group("cpuacct", groups, mounts);
        walk_up(*cpu, [&](const group_place& place) {
            const auto folder = in_root(place.folder());
            if (place.version == 2) return read_version_2_cpu(out, folder, place.name());
            fs::path elsewhere;
            if (use && use->version == 1) {
                const group_place same{1, use->mount, use->root, place.path, place.seen};
                elsewhere = in_root(same.folder()) / "cpuacct.usage";
            }
            read_version_1_cpu(out, folder, place.name(), elsewhere);
        });
    }
    if (const auto memory = find_group("memory", groups, mounts)) {
        walk_up(*memory, [&](const group_place& place) {
            const auto folder = in_root(place.folder());
            place.version == 1 ? read_version_1_memory(out, folder)
                               : read_version_2_memory(out, folder);
        });
    }
    return out;
}

}  // namespace tequio::node
