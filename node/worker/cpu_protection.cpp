#include "node/worker/cpu_protection.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string>

#include "base/text.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

/// The start of a small file of the kernel's; such files have no length to map or to trust.
std::optional<std::string> read_kernel_file(const std::string& path) {
    const unique_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return std::nullopt;
    std::array<char, 4096> buffer;
    const auto size = ::read(fd.get(), buffer.data(), buffer.size());
    if (size < 0) return std::nullopt;
    return std::string(buffer.data(), static_cast<std::size_t>(size));
}

void write_kernel_file(const char* path, std::string_view text) {
    // The kernel takes ten autogroup changes a second from all unprivileged processes together and
    // answers EAGAIN to the others.
    for (int attempt = 0; attempt < 10; ++attempt) {
        const unique_fd fd(::open(path, O_WRONLY | O_CLOEXEC));
        if (!fd || ::write(fd.get(), text.data(), text.size()) >= 0 || errno != EAGAIN) return;
        ::poll(nullptr, 0, 50);
    }
}

std::optional<std::uint64_t> read_number(const std::string& path) {
    auto text = read_kernel_file(path);
    if (!text) return std::nullopt;
    while (!text->empty() && text->back() == '\n') text->pop_back();
    return base::parse_u64(*text);
}

struct group_facts {
    bool idle = false;
    bool light = false;    ///< a weight below the usual
    bool grouped = false;  ///< some group has the CPU controller, so autogroups do not count
};

/// Looks at a version-2 group and all above it; `path` without the leading '/'.
void look_at_groups(std::string path, group_facts& facts) {
    while (true) {
        // The true root has no such file; the root that a container sees is some group, and has.
        const auto folder = "/sys/fs/cgroup/" + path;
        const auto weight = read_number(folder + "/cpu.weight");
        if (weight) facts.grouped = true;
        if (weight && *weight < 100) facts.light = true;
        if (read_number(folder + "/cpu.idle").value_or(0) == 1) facts.idle = true;
        if (path.empty()) return;
        const auto slash = path.rfind('/');
        path.resize(slash == std::string::npos ? 0 : slash);
    }
}

/// True if a line of /proc/self/cgroup puts us into a version-1 CPU group ("4:cpu,cpuacct:/user").
bool is_cpu_group(std::string_view line) {
    const auto parts = base::split(line, ':');
    if (parts.size() != 3 || parts[2] == "/") return false;
    const auto controllers = base::split(parts[1], ',');
    return std::find(controllers.begin(), controllers.end(), "cpu") != controllers.end();
}

/// True where "/" may stand for a group that only the host sees. Source: PROC_CGROUP_INIT_INO in
/// the kernel's proc_ns.h.
bool in_group_namespace() {
    constexpr std::string_view initial = "cgroup:[4026531835]";
    std::array<char, 64> link;
    const auto size = ::readlink("/proc/self/ns/cgroup", link.data(), link.size());
    return size > 0 && std::string_view(link.data(), static_cast<std::size_t>(size)) != initial;
}

group_facts look_at_own_groups() {
    group_facts facts;
    facts.grouped = in_group_namespace();
    const auto text = read_kernel_file("/proc/self/cgroup").value_or("");
    for (const auto line : base::split(text, '\n')) {
        if (line.starts_with("0::/")) look_at_groups(std::string(line.substr(4)), facts);
        if (is_cpu_group(line)) facts.grouped = true;
    }
    return facts;
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

cpu_protection inspect_cpu_protection() {
    const auto groups = look_at_own_groups();
    if (groups.idle) return cpu_protection::cgroup_idle;
    if (groups.light) return cpu_protection::cgroup_weight;
    if (!groups.grouped && in_light_autogroup()) return cpu_protection::autogroup;
    errno = 0;
    const int nice_value = ::getpriority(PRIO_PROCESS, 0);
    if (::sched_getscheduler(0) == SCHED_IDLE || (errno == 0 && nice_value == 19)) {
        return cpu_protection::nice_only;
    }
    return cpu_protection::none;
}

void lower_own_priority() {
    ::setpriority(PRIO_PROCESS, 0, 19);
    const sched_param no_priority{};
    ::sched_setscheduler(0, SCHED_IDLE, &no_priority);
    write_kernel_file("/proc/self/autogroup", "19");
    write_kernel_file("/proc/self/oom_score_adj", "1000");
    // No wrapper in glibc: who = this process (1, 0), class idle (3 << 13).
    ::syscall(SYS_ioprio_set, 1, 0, 3 << 13);
}

}  // namespace tequio::node
