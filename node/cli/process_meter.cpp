#include "node/cli/process_meter.hpp"

#include <dirent.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/text.hpp"
#include "node/cli/measure.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

struct closer {
    void operator()(DIR* folder) const { ::closedir(folder); }
};

/// Empty if there is no such file.
std::string kernel_text(const std::string& path) {
    return read_kernel_file(path).value_or("");
}

/// The names in a folder that are numbers, in order.
std::vector<std::uint64_t> numbers_in(const std::string& folder) {
    const std::unique_ptr<DIR, closer> list(::opendir(folder.c_str()));
    std::vector<std::uint64_t> out;
    while (list) {
        const auto* entry = ::readdir(list.get());
        if (entry == nullptr) break;
        if (const auto n = base::parse_u64(entry->d_name)) out.push_back(*n);
    }
    std::sort(out.begin(), out.end());
    return out;
}

std::string process_folder(pid_t process) {
    return "/proc/" + std::to_string(process);
}

/// Bytes of the line "Pss:   123 kB"; 0 if there is none.
std::uint64_t kilobytes_after(const std::string& text, const char* name) {
    const auto at = text.find(name);
    if (at == std::string::npos) return 0;
    return 1024 * std::strtoull(text.c_str() + at + std::strlen(name), nullptr, 10);
}

}  // namespace

double used_seconds(pid_t process) {
    const auto tasks = process_folder(process) + "/task";
    std::uint64_t nanoseconds = 0;
    for (const auto task : numbers_in(tasks)) {
        const auto text = kernel_text(tasks + "/" + std::to_string(task) + "/schedstat");
        nanoseconds += std::strtoull(text.c_str(), nullptr, 10);
    }
    return static_cast<double>(nanoseconds) * 1e-9;
}

bool has_ended(pid_t process) {
    const auto stat = kernel_text(process_folder(process) + "/stat");
    const auto after = stat.rfind(')');
    return after == std::string::npos || after + 2 >= stat.size() || stat[after + 2] == 'Z' ||
           stat[after + 2] == 'X';
}

std::vector<pid_t> children_of(pid_t process) {
    std::vector<pid_t> out;
    for (const auto id : numbers_in("/proc")) {
        const auto stat = kernel_text("/proc/" + std::to_string(id) + "/stat");
        // The name before may hold spaces and brackets; state and parent follow the last one.
        const auto after = stat.rfind(')');
        if (after == std::string::npos || after + 4 >= stat.size()) continue;
        if (std::strtol(stat.c_str() + after + 4, nullptr, 10) != process) continue;
        out.push_back(static_cast<pid_t>(id));
    }
    return out;
}

memory_use memory_of(pid_t process) {
    const auto text = kernel_text(process_folder(process) + "/smaps_rollup");
    memory_use out{kilobytes_after(text, "Rss:"), kilobytes_after(text, "Pss:")};
    if (out.resident > 0) return out;
    const auto pages = kernel_text(process_folder(process) + "/statm");
    const auto words = base::split(pages, ' ');
    if (words.size() < 2) return out;
    out.resident =
        base::parse_u64(words[1]).value_or(0) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    out.proportional = out.resident;
    return out;
}

machine_times read_machine_times() {
    // "cpu  user nice system idle iowait irq softirq steal ...", in ticks; proc(5).
    const auto text = kernel_text("/proc/stat");
    const char* at = text.c_str();
    if (!text.starts_with("cpu ")) return {};
    at += 4;
    std::array<double, 8> ticks{};
    for (auto& value : ticks) {
        char* end = nullptr;
        value = std::strtod(at, &end);
        at = end;
    }
    const double second = static_cast<double>(::sysconf(_SC_CLK_TCK));
    machine_times out;
    for (std::size_t i = 0; i < ticks.size(); ++i) {
        out.total += ticks[i] / second;
        if (i != 3 && i != 4 && i != 7) out.busy += ticks[i] / second;
    }
    out.steal = ticks[7] / second;
    return out;
}

machine_times operator-(const machine_times& late, const machine_times& early) {
    return {late.busy - early.busy, late.steal - early.steal, late.total - early.total};
}

machine_facts read_machine_facts() {
    machine_facts out;
    out.processors = usable_threads();
    utsname name{};
    if (::uname(&name) == 0) out.kernel = name.release;
    out.frequency_governor = kernel_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    while (!out.frequency_governor.empty() && out.frequency_governor.back() == '\n') {
        out.frequency_governor.pop_back();
    }
    if (out.frequency_governor.empty()) out.frequency_governor = "none";
    out.autogroup = kernel_text("/proc/sys/kernel/sched_autogroup_enabled").starts_with("1");
    out.load = std::strtod(kernel_text("/proc/loadavg").c_str(), nullptr);
    errno = 0;
    const int nice_value = ::getpriority(PRIO_PROCESS, 0);
    out.own_priority_usual =
        ::sched_getscheduler(0) == SCHED_OTHER && errno == 0 && nice_value == 0;
    return out;
}

}  // namespace tequio::node
