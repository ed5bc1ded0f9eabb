#pragma once

/// Where a process stands among control groups. Source: the kernel's cgroup-v2.rst, cgroup-v1 and
/// cgroup_namespaces(7), proc(5) for mountinfo.

#include <optional>
#include <string>
#include <string_view>

namespace tequio::node {

/// The group of a process for one controller.
struct group_place {
    int version = 2;    ///< of control groups: 1 or 2
    std::string mount;  ///< folder of the group nearest to the root that can be seen
    std::string root;   ///< that group as /proc/PID/cgroup calls it; "/" for the topmost of all
    std::string path;   ///< below it: "/user.slice/..."; "/" for the topmost itself
    /// The group lies below `mount`. If not (a container whose mount shows another part of the
    /// tree, a process outside its namespace), `path` is "/", and all that can be said is that the
    /// topmost group that is seen is around the process.
    bool seen = true;
    /// The group's folder.
    std::string folder() const { return path == "/" ? mount : mount + path; }
    /// The group as /proc/PID/cgroup calls it; empty for the topmost of all, and when not seen.
    std::string name() const {
        return (root == "/" || !seen ? "" : root) + (path == "/" ? "" : path);
    }
};

/// What the text of /proc/PID/cgroup calls the process's group in the hierarchy of `controller`
/// (version 1) or the one of version 2. Points into `cgroup`. None if it tells none.
std::optional<std::string_view> group_path(int version, std::string_view controller,
                                           std::string_view cgroup);

/// Finds the group that `controller` ("cpu", "memory") counts for in the texts of /proc/PID/cgroup
/// and /proc/self/mountinfo. Version 1 if that controller is mounted there, for then version 2 has
/// none. None if neither is mounted. Pure; safe on any text.
std::optional<group_place> find_group(std::string_view controller, std::string_view cgroup,
                                      std::string_view mountinfo);

}  // namespace tequio::node
