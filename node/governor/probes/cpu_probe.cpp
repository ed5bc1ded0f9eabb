#include "node/governor/probes/cpu_probe.hpp"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/text.hpp"

namespace tequio::node {
namespace {

constexpr auto span_least = std::chrono::milliseconds(40);
constexpr auto look_around = std::chrono::seconds(1);
constexpr auto threads_again = std::chrono::seconds(5);
/// Threads whose waiting is looked at; more of them say the same.
constexpr std::size_t watched_threads_max = 8;
constexpr double suspicion = 0.25;  // processors

double seconds_of(base::duration d) {
    return std::chrono::duration<double>(d).count();
}

/// `user + system` of one line of /proc/stat behind its name.
std::optional<double> busy_of(std::string_view line) {
    const auto user = take_number(line), nice = take_number(line), system = take_number(line);
    if (!user || !nice || !system) return std::nullopt;
    return static_cast<double>(*user) + static_cast<double>(*system);
}

/// What a process adds to `user + system`: its time in the kernel, and the rest unless it is niced.
std::optional<std::uint64_t> counted_ticks(std::string_view stat) {
    // The name may hold blanks and brackets; the fields come after the last bracket.
    const auto bracket = stat.rfind(')');
    if (bracket == stat.npos || bracket + 2 >= stat.size()) return std::nullopt;
    stat.remove_prefix(bracket + 2);
    const auto fields = base::split(stat, ' ');
    // proc(5): the state is field 3, utime 14, stime 15, nice 19.
    if (fields.size() < 17) return std::nullopt;
    const auto user = base::parse_u64(fields[11]), system = base::parse_u64(fields[12]);
    const auto nice = base::parse_i64(fields[16]);
    if (!user || !system || !nice) return std::nullopt;
    return *system + (*nice > 0 ? 0 : *user);
}

}  // namespace

cpu_probe::cpu_probe(std::filesystem::path root, watched_processors watched)
    : root_(std::move(root)),
      watched_(std::move(watched)),
      ticks_per_second_(static_cast<double>(std::max(1L, ::sysconf(_SC_CLK_TCK)))),
      buffer_(256 * 1024, '\0'),
      stat_(root_ / "proc/stat") {}

std::optional<double> cpu_probe::busy_ticks() {
    auto text = stat_.read(buffer_);
    if (!text.starts_with("cpu ")) return std::nullopt;
    if (watched_.only.empty()) return busy_of(text.substr(4));
    const std::set<std::uint64_t> wanted(watched_.only.begin(), watched_.only.end());
    double sum = 0;
    std::size_t found = 0;
    while (!text.empty()) {
        const auto end = std::min(text.find('\n'), text.size());
        auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!line.starts_with("cpu")) break;
        line.remove_prefix(3);
        if (line.starts_with(' ')) continue;
        const auto number = take_number(line);
        if (!number || !wanted.contains(*number)) continue;
        const auto busy = busy_of(line);
        if (!busy) return std::nullopt;
        sum += *busy;
        ++found;
    }
    if (found == 0) return std::nullopt;
    return sum;
}

double cpu_probe::own_ticks(const std::vector<int>& pids) {
    double sum = 0;
    for (const int pid : pids) {
        auto [it, fresh] = processes_.try_emplace(pid);
        if (fresh) it->second.stat = kept_file(root_ / "proc" / std::to_string(pid) / "stat");
        const auto ticks = counted_ticks(it->second.stat.read(buffer_));
        if (!ticks) continue;
        auto& credited = it->second.ticks;
        // Found after the first reading, it began after the scan before: all of its time is new.
        const auto before = credited.value_or(before_ ? 0 : *ticks);
        if (*ticks > before) sum += static_cast<double>(*ticks - before);
        credited = *ticks;
    }
    return sum;
}

/// `used`: busy ticks of all. Takes off what is ours: exactly for `close`, and for the others by
/// their last pace, which is put right whenever they are read.
double cpu_probe::foreground_ticks(double used, base::time_point now, base::duration span,
                                   process_scan& scan, const std::vector<int>& close) {
    used -= own_ticks(close);
    const double share = others_rate_ * seconds_of(span);
    const bool busy = used - share > suspicion * seconds_of(span) * ticks_per_second_;
    if (busy && !suspicious_) scan.refresh();
    suspicious_ = busy;
    if (others_read_ && !busy && now - *others_read_ < look_around) {
        others_credited_ += share;
        return used - share;
    }
    std::vector<int> others;
    for (const int pid : scan.ours()) {
        if (std::find(close.begin(), close.end(), pid) == close.end()) others.push_back(pid);
    }
    const auto is_ours = [&](int pid) {
        return std::find(others.begin(), others.end(), pid) != others.end() ||
               std::find(close.begin(), close.end(), pid) != close.end();
    };
    std::erase_if(processes_, [&](const auto& item) { return !is_ours(item.first); });
    const double ticks = own_ticks(others);
    used -= std::max(0.0, ticks - others_credited_);
    if (others_read_ && now > *others_read_) others_rate_ = ticks / seconds_of(now - *others_read_);
    others_read_ = now;
    others_credited_ = 0;
    return used;
}

cpu_probe::reading cpu_probe::read(base::time_point now, process_scan& scan,
                                   const std::vector<int>& close, int worker) {
    if (before_ && now - *before_ < span_least) return last_;
    const auto span = before_ ? now - *before_ : base::duration::zero();
    const auto busy = busy_ticks();
    sees_others_ = busy.has_value();
    const bool both = busy && busy_before_;
    const double all = both ? std::max(0.0, *busy - *busy_before_) : 0;
    const double used = foreground_ticks(all, now, span, scan, close);
    last_.foreground = both && span > base::duration::zero()
                           ? std::max(0.0, used) / (seconds_of(span) * ticks_per_second_)
                           : 0;
    const bool alone = std::all_of(scan.ours().begin(), scan.ours().end(), [&](int pid) {
        return std::find(close.begin(), close.end(), pid) != close.end();
    });
    last_.run_delay = busy ? 0 : run_delay(now, span, worker);
    if (!busy && alone) last_.foreground = last_.run_delay * static_cast<double>(watched_.count);
    busy_before_ = busy;
    before_ = now;
    return last_;
}

void cpu_probe::find_threads(int worker) {
    threads_.clear();
    worker_ = worker;
    if (worker == 0) return;
    std::error_code ec;
    const auto folder = root_ / "proc" / std::to_string(worker) / "task";
    for (std::filesystem::directory_iterator it(folder, ec), end; !ec && it != end;
         it.increment(ec)) {
        if (threads_.size() == watched_threads_max) break;
        threads_.push_back({kept_file(it->path() / "schedstat")});
    }
}

double cpu_probe::run_delay(base::time_point now, base::duration span, int worker) {
    if (worker != worker_ || !threads_found_ || now - *threads_found_ >= threads_again) {
        find_threads(worker);
        threads_found_ = now;
    }
    double run = 0, delay = 0;
    bool gone = false;
    for (auto& t : threads_) {
        auto text = t.schedstat.read(buffer_);
        const auto run_ns = take_number(text), delay_ns = take_number(text);
        if (!run_ns || !delay_ns) {
            gone = true;
            continue;
        }
        if (t.known) {
            run += static_cast<double>(*run_ns - std::min(*run_ns, t.run_ns));
            delay += static_cast<double>(*delay_ns - std::min(*delay_ns, t.delay_ns));
        }
        t.run_ns = *run_ns;
        t.delay_ns = *delay_ns;
        t.known = true;
    }
    if (gone) threads_found_.reset();
    // Threads that hardly wanted to run say nothing.
    if (run + delay <= 0.1 * static_cast<double>(span.count())) return 0;
    return delay / (run + delay);
}

}  // namespace tequio::node
