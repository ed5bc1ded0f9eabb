#include "node/governor/probes/group_use_probe.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/text.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

constexpr auto group_span_least = std::chrono::milliseconds(40);

/// All processor time of a process, in ticks.
std::optional<std::uint64_t> used_ticks(std::string_view stat) {
    // The name may hold blanks and brackets; the fields come after the last bracket.
    const auto bracket = stat.rfind(')');
    if (bracket == stat.npos || bracket + 2 >= stat.size()) return std::nullopt;
    stat.remove_prefix(bracket + 2);
    const auto fields = base::split(stat, ' ');
    // proc(5): the state is field 3, utime 14, stime 15.
    if (fields.size() < 13) return std::nullopt;
    const auto user = base::parse_u64(fields[11]), system = base::parse_u64(fields[12]);
    if (!user || !system) return std::nullopt;
    return *user + *system;
}

}  // namespace

group_use_probe::group_use_probe(std::filesystem::path root)
    : root_(std::move(root)),
      ticks_per_second_(static_cast<double>(std::max(1L, ::sysconf(_SC_CLK_TCK)))),
      buffer_(64 * 1024, '\0') {}

void group_use_probe::begin(const quota_group& group) {
    folder_ = group.folder;
    stat_ = kept_file(group.folder / "cpu.stat");
    use_ = kept_file(group.use_file);
    processes_.clear();
    before_.reset();
    count_.reset();
    last_ = {};
}

std::optional<group_use_probe::count> group_use_probe::count_now(const quota_group& group) {
    count out;
    const auto stat = stat_.read(buffer_);
    out.throttled = number_after(stat, "nr_throttled ").value_or(0);
    if (group.version == 2) {
        const auto microseconds = number_after(stat, "usage_usec ");
        if (!microseconds) return std::nullopt;
        out.seconds = static_cast<double>(*microseconds) / 1e6;
        return out;
    }
    auto text = use_.read(buffer_);
    const auto nanoseconds = take_number(text);
    if (!nanoseconds) return std::nullopt;
    out.seconds = static_cast<double>(*nanoseconds) / 1e9;
    return out;
}

/// What our processes in the group used since the reading before.
double group_use_probe::own_seconds(const quota_group& group, const std::vector<int>& ours) {
    double sum = 0;
    std::erase_if(processes_, [&](const auto& item) {
        return std::find(ours.begin(), ours.end(), item.first) == ours.end();
    });
    for (const int pid : ours) {
        auto [it, fresh] = processes_.try_emplace(pid);
        auto& p = it->second;
        const auto folder = root_ / "proc" / std::to_string(pid);
        if (fresh) {
            p.inside = group.holds(read_kernel_file(folder / "cgroup").value_or(""));
            if (p.inside) p.stat = kept_file(folder / "stat");
        }
        if (!p.inside) continue;
        const auto ticks = used_ticks(p.stat.read(buffer_));
        if (!ticks) continue;
        const double seconds = static_cast<double>(*ticks) / ticks_per_second_;
        // Found after the first reading, it has just begun: all of its time is new.
        const double known = p.seconds.value_or(before_ ? 0 : seconds);
        sum += std::max(0.0, seconds - known);
        p.seconds = seconds;
    }
    return sum;
}

group_use_probe::reading group_use_probe::read(base::time_point now, const quota_group& group,
                                               const std::vector<int>& ours) {
    if (folder_ != group.folder) begin(group);
    if (before_ && now - *before_ < group_span_least) return last_;
    const auto counted = count_now(group);
    const double own = own_seconds(group, ours);
    last_ = {};
    if (counted && count_ && before_) {
        const double span = std::chrono::duration<double>(now - *before_).count();
        const double all = counted->seconds - count_->seconds;
        last_.others = std::max(0.0, all - own) / span;
        last_.throttled = counted->throttled > count_->throttled;
    }
    count_ = counted;
    before_ = now;
    return last_;
}

}  // namespace tequio::node
