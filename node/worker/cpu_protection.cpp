#include "node/worker/cpu_protection.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/// Path of this process's version-2 control group, "" for the root or where there is none.
std::string own_control_group() {
    const auto text = read_kernel_file("/proc/self/cgroup");
    if (!text) return {};
    for (const auto line : base::split(*text, '\n')) {
        if (line.starts_with("0::/")) return std::string(line.substr(4));
    }
    return {};
}

struct group_facts {
    bool idle = false;
    bool light = false;    ///< a weight below the usual
    bool grouped = false;  ///< some group has the CPU controller, so autogroups do not count
};

group_facts look_at_groups() {
    group_facts facts;
    auto group = own_control_group();
    while (!group.empty()) {
        const auto folder = "/sys/fs/cgroup/" + group;
        const auto weight = read_number(folder + "/cpu.weight");
        if (weight) facts.grouped = true;
        if (weight && *weight < 100) facts.light = true;
        if (read_number(folder + "/cpu.idle").value_or(0) == 1) facts.idle = true;
        const auto slash = group.rfind('/');
        group.resize(slash == std::string::npos ? 0 : slash);
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
    const auto groups = look_at_groups();
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
