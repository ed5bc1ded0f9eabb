#include "node/worker/group_place.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace tequio::node {
namespace {

bool names(std::string_view list, std::string_view word) {
    const auto words = base::split(list, ',');
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// One line of mountinfo: "36 35 98:0 /root /mount options tags - type source options".
struct mount_line {
    std::string_view root, place, type, options;
};

std::optional<mount_line> parse_mount(std::string_view line) {
    const auto dash = line.find(" - ");
    if (dash == std::string_view::npos) return {};
    const auto left = base::split(line.substr(0, dash), ' ');
    const auto right = base::split(line.substr(dash + 3), ' ');
    if (left.size() < 6 || right.size() < 3) return {};
    return mount_line{left[3], left[4], right[0], right[2]};
}

/// `path` as seen from a mount whose top is the group `root`; none if it lies elsewhere.
std::optional<std::string> below(std::string_view root, std::string_view path) {
    // "/../other": above the root of the namespace.
    if ((std::string(path) + "/").find("/../") != std::string::npos) return {};
    if (root == "/") return std::string(path);
    if (!path.starts_with(root)) return {};
    path.remove_prefix(root.size());
    if (path.empty()) return "/";
    if (!path.starts_with('/')) return {};
    return std::string(path);
}

/// The first mount that shows the group; without one the first of that kind at all.
std::optional<group_place> find_in_mounts(int version, std::string_view controller,
                                          std::string_view path, std::string_view mountinfo) {
    std::optional<group_place> other;
    for (const auto line : base::split(mountinfo, '\n')) {
        const auto mount = parse_mount(line);
        if (!mount) continue;
        const bool fits = version == 2
                              ? mount->type == "cgroup2"
                              : mount->type == "cgroup" && names(mount->options, controller);
        if (!fits) continue;
        if (auto inside = below(mount->root, path)) {
            return group_place{version, std::string(mount->place), std::string(mount->root),
                               std::move(*inside), true};
        }
        if (!other)
            other = group_place{version, std::string(mount->place), std::string(mount->root), "/",
                                false};
    }
    return other;
}

}  // namespace

std::optional<std::string_view> group_path(int version, std::string_view controller,
                                           std::string_view cgroup) {
    for (const auto line : base::split(cgroup, '\n')) {
        // "0::/user.slice", "4:memory:/docker/1", "2:cpu,cpuacct:/"
        const auto first = line.find(':');
        const auto second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const auto controllers = line.substr(first + 1, second - first - 1);
        const auto path = line.substr(second + 1);
        const bool fits = version == 2 ? controllers.empty() : names(controllers, controller);
        if (fits && path.starts_with('/')) return path;
    }
    return std::nullopt;
}

std::optional<group_place> find_group(std::string_view controller, std::string_view cgroup,
                                      std::string_view mountinfo) {
    for (const int version : {1, 2}) {
        const auto path = group_path(version, controller, cgroup);
        if (!path) continue;
        if (auto found = find_in_mounts(version, controller, *path, mountinfo)) return found;
    }
    return std::nullopt;
}

}  // namespace tequio::node
