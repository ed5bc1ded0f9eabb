#include "node/worker/cpu_protection.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <iterator>
#include <optional>
#include <set>

#include "base/text.hpp"
#include "node/io/files.hpp"
#include "node/worker/control_group.hpp"

namespace tequio::node {
namespace {

std::optional<std::uint64_t> read_number(const std::string& path) {
    auto text = read_kernel_file(path);
    if (!text) return std::nullopt;
    while (!text->empty() && text->back() == '\n') text->pop_back();
    return base::parse_u64(*text);
}

/// True where "/" may stand for a group that only the host sees. Source: PROC_CGROUP_INIT_INO in
/// the kernel's proc_ns.h.
bool in_group_namespace() {
    constexpr std::string_view initial = "cgroup:[4026531835]";
    std::array<char, 64> link;
    const auto size = ::readlink("/proc/self/ns/cgroup", link.data(), link.size());
    return size > 0 && std::string_view(link.data(), static_cast<std::size_t>(size)) != initial;
}

/// The weight of version 2 that means the same as shares of version 1 (1024 are usual).
std::uint64_t weight_of_shares(std::uint64_t shares) {
    return std::max<std::uint64_t>(1, std::min<std::uint64_t>(shares, 1u << 18) * 100 / 1024);
}

/// The control groups from the topmost that can be seen down to `own`. Without the CPU controller
/// at its level a group is no party to the sharing, and the file is missing.
std::vector<group_level> levels_of(const group_place& own) {
    std::vector<group_level> out;
    auto path = own.path;
    while (true) {
        const auto folder = own.mount + (path == "/" ? "" : path);
        // The true root has no such file; the root that a container sees is some group, and has.
        auto weight = read_number(folder + (own.version == 2 ? "/cpu.weight" : "/cpu.shares"));
        const bool true_root = own.version == 1 && path == "/" && !in_group_namespace();
        if (weight && !true_root) {
            if (own.version == 1) weight = weight_of_shares(*weight);
            const bool idle = read_number(folder + "/cpu.idle").value_or(0) == 1;
            out.insert(out.begin(), {path, idle, *weight});
        }
        if (path == "/") return out;
        const auto slash = path.rfind('/');
        path.resize(slash == std::string::npos || slash == 0 ? 0 : slash);
        if (path.empty()) path = "/";
    }
}

/// True for kernel threads: children of thread 2, which makes them.
bool is_kernel_thread(const std::string& process) {
    const auto text = read_kernel_file(process + "/stat").value_or("");
    const auto name_end = text.rfind(')');  // names may hold anything
    if (name_end == std::string::npos) return true;
    const auto rest = base::split(std::string_view(text).substr(name_end + 1), ' ');
    return rest.size() < 3 || rest[2] == "2" || rest[2] == "0";
}

/// CPU groups of all processes that can be seen, each once.
std::vector<std::string> groups_in_use(std::string_view mountinfo) {
    std::set<std::string> out;
    std::error_code ec;
    for (const auto& item : std::filesystem::directory_iterator("/proc", ec)) {
        if (!base::parse_u64(item.path().filename().string())) continue;
        const auto process = item.path().string();
        const auto group =
            find_group("cpu", read_kernel_file(process + "/cgroup").value_or(""), mountinfo);
        if (group && group->seen && !out.contains(group->path) && !is_kernel_thread(process)) {
            out.insert(group->path);
        }
    }
    return {out.begin(), out.end()};
}

bool is_light(const group_level& level) {
    return level.idle || level.weight <= light_weight_max;
}

std::string parent_of(const std::string& path) {
    const auto slash = path.rfind('/');
    return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

bool is_inside(std::string_view path, std::string_view group) {
    return group == "/" || path == group ||
           (path.starts_with(group) && path.substr(group.size()).starts_with('/'));
}

bool is_of_system(std::string_view path) {
    return is_inside(path, "/system.slice") || is_inside(path, "/init.scope");
}

std::vector<std::string> groups_beyond(const std::string& border,
                                       const std::vector<std::string>& groups) {
    std::vector<std::string> out;
    std::copy_if(groups.begin(), groups.end(), std::back_inserter(out),
                 [&](const std::string& group) { return !is_inside(group, border); });
    return out;
}

bool in_light_autogroup() {
    if (read_number("/proc/sys/kernel/sched_autogroup_enabled").value_or(0) != 1) return false;
    const auto text = read_kernel_file("/proc/self/autogroup");  // "/autogroup-25 nice 19"
    return text && text->find(" nice 19") != std::string::npos;
}

}  // namespace

std::string_view cpu_protection_name(cpu_protection p) {
    switch (p) {
        case cpu_protection::cgroup_idle:
            return "cgroup-idle";
        case cpu_protection::cgroup_weight:
            return "cgroup-weight";
        case cpu_protection::autogroup:
            return "autogroup";
        case cpu_protection::nice_only:
            return "nice-only";
        case cpu_protection::none:
            break;
    }
    return "none";
}

bool may_work_in_use(cpu_protection p) {
    return p == cpu_protection::cgroup_idle || p == cpu_protection::cgroup_weight ||
           p == cpu_protection::autogroup;
}

protection_facts judge_protection(const protection_signs& signs) {
    const auto light = std::find_if(signs.levels.begin(), signs.levels.end(), is_light);
    std::string but;
    if (light != signs.levels.end()) {
        const auto beyond = groups_beyond(parent_of(light->path), signs.others);
        const auto person = std::find_if_not(beyond.begin(), beyond.end(), is_of_system);
        if (person == beyond.end()) {
            const auto what = light->idle ? std::string("cpu.idle")
                                          : "cpu.weight " + std::to_string(light->weight);
            return {light->idle ? cpu_protection::cgroup_idle : cpu_protection::cgroup_weight,
                    what + " of " + light->path +
                        (beyond.empty() ? "" : "; does not hold for services of the system")};
        }
        but = "; " + light->path + " yields only inside " + parent_of(light->path) + ", not to " +
              *person;
    }
    if (signs.levels.empty() && !signs.hidden_groups && signs.light_autogroup) {
        return {cpu_protection::autogroup, "autogroup at nice 19"};
    }
    if (signs.idle_threads) {
        return {cpu_protection::nice_only, "threads yield inside their group only" + but};
    }
    return {cpu_protection::none, "threads of the usual priority" + but};
}

protection_facts inspect_cpu_protection() {
    protection_signs signs;
    signs.hidden_groups = in_group_namespace();
    const auto mountinfo = read_kernel_file("/proc/self/mountinfo").value_or("");
    const auto own =
        find_group("cpu", read_kernel_file("/proc/self/cgroup").value_or(""), mountinfo);
    if (own && own->seen) {
        signs.levels = levels_of(*own);
        signs.others = groups_in_use(mountinfo);
    }
    signs.light_autogroup = in_light_autogroup();
    errno = 0;
    const int nice_value = ::getpriority(PRIO_PROCESS, 0);
    signs.idle_threads = ::sched_getscheduler(0) == SCHED_IDLE || (errno == 0 && nice_value == 19);
    return judge_protection(signs);
}

void lower_own_priority(const std::string& group) {
    if (!group.empty()) write_kernel_file(group + "/cgroup.procs", "0");
    ::setpriority(PRIO_PROCESS, 0, 19);
    const sched_param no_priority{};
    ::sched_setscheduler(0, SCHED_IDLE, &no_priority);
    write_kernel_file("/proc/self/autogroup", "19");
    write_kernel_file("/proc/self/oom_score_adj", "1000");
    // No wrapper in glibc: who = this process (1, 0), class idle (3 << 13).
    ::syscall(SYS_ioprio_set, 1, 0, 3 << 13);
}

}  // namespace tequio::node
