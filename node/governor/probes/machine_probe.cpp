#include "node/governor/probes/machine_probe.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "node/governor/probes/sensors.hpp"
#include "node/governor/probes/tty_probe.hpp"

namespace tequio::node {
namespace {

constexpr auto memory_every = std::chrono::milliseconds(200);
constexpr auto scan_every = std::chrono::seconds(1);
constexpr auto slow_every = std::chrono::seconds(2);
/// While nothing can be given back. The end of a listed program is awaited: it is seen sooner.
constexpr auto released_every = std::chrono::seconds(5);
constexpr auto released_scan_every = std::chrono::seconds(2);

/// The affinity mask, for machines of up to 8,192 processors.
watched_processors affinity() {
    std::array<cpu_set_t, 8> sets{};
    watched_processors out;
    if (::sched_getaffinity(0, sizeof(sets), sets.data()) != 0) return out;
    out.count = static_cast<unsigned>(CPU_COUNT_S(sizeof(sets), sets.data()));
    const long all = ::sysconf(_SC_NPROCESSORS_ONLN);
    if (out.count == 0) out.count = 1;
    if (all > 0 && out.count >= static_cast<unsigned>(all)) return out;
    for (unsigned i = 0; i < sets.size() * CPU_SETSIZE; ++i) {
        if (CPU_ISSET_S(i, sizeof(sets), sets.data())) out.only.push_back(i);
    }
    return out;
}

}  // namespace

machine_probe::machine_probe(options o)
    : root_(o.root),
      own_(o.own_process == 0 ? ::getpid() : o.own_process),
      watched_(o.watched.value_or(affinity())),
      affine_(watched_.count),
      cpu_(o.root, watched_),
      group_use_(o.root),
      memory_(o.root),
      processes_(o.root, std::move(o.programs)),
      sensors_at_once_(o.sensors_at_once) {
    if (!sensors_at_once_) thread_ = std::thread([this] { watch_sensors(); });
}

machine_probe::~machine_probe() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    wake_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void machine_probe::watch_sensors() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        lock.unlock();
        const sensor_values values{read_on_battery(root_), read_celsius(root_)};
        lock.lock();
        sensors_ = values;
        wake_.wait_for(lock, slow_every, [this] { return stop_; });
    }
}

void machine_probe::set_programs(std::vector<std::string> programs) {
    processes_ = process_scan(root_, std::move(programs));
    scanned_.reset();
}

void machine_probe::scan_processes(base::time_point now) {
    processes_.refresh();
    scanned_ = now;
}

/// Who uses the machine's processors, and those of the control group that confines us, if one does.
void machine_probe::read_processors(base::time_point now, int worker, governor_signals& out) {
    std::vector<int> close{own_};
    if (worker != 0) close.push_back(worker);
    const auto cpu = cpu_.read(now, processes_, close, worker);
    out.foreground_cpu = cpu.foreground;

    const auto quota = limits_.processors.value_or(affine_);
    out.processors = std::clamp(static_cast<unsigned>(std::min(quota, 1e6)), 1u, affine_);
    out.processors_watched = affine_;
    if (!limits_.tightest || quota >= affine_) return;
    auto ours = processes_.ours();
    for (const int pid : close) {
        if (std::find(ours.begin(), ours.end(), pid) == ours.end()) ours.push_back(pid);
    }
    const auto use = group_use_.read(now, *limits_.tightest, ours);
    out.quota = quota;
    out.group_foreground = use.others;
    out.group_throttled = use.throttled;
}

governor_signals machine_probe::read(base::time_point now, base::unix_time wall,
                                     const outside_facts& facts, int worker) {
    const auto due = [now](const std::optional<base::time_point>& last, base::duration every) {
        return !last || now - *last >= every;
    };
    // A listing costs a microsecond a process or so; on crowded machines it comes less often.
    const auto crowd = std::chrono::milliseconds(2 * processes_.count());
    const auto often = !facts.released               ? scan_every
                       : processes_.lists_programs() ? released_scan_every
                                                     : released_every;
    if (due(scanned_, std::clamp<base::duration>(crowd, often, 5 * scan_every))) {
        scan_processes(now);
    }
    if (due(memory_read_, memory_every)) {
        memory_reading_ = memory_.read(now);
        memory_read_ = now;
    }
    if (due(slow_read_, facts.released ? released_every : slow_every)) {
        limits_ = read_group_limits(root_);
        tty_idle_ = read_tty_idle(root_, wall);
        slow_read_ = now;
    }
    governor_signals out;
    {
        const std::lock_guard lock(mutex_);
        if (sensors_at_once_) sensors_ = {read_on_battery(root_), read_celsius(root_)};
        out.on_battery = sensors_.on_battery;
        out.celsius = sensors_.celsius;
    }
    read_processors(now, worker, out);
    out.memory_bytes = memory_reading_.bytes;
    out.memory_available_bytes = memory_reading_.available_bytes;
    if (limits_.memory_bytes &&
        (out.memory_bytes == 0 || *limits_.memory_bytes < out.memory_bytes)) {
        out.memory_bytes = *limits_.memory_bytes;
    }
    if (const auto& left = limits_.memory_available_bytes) {
        out.memory_available_bytes = std::min(out.memory_available_bytes.value_or(*left), *left);
    }
    out.memory_stall = memory_reading_.memory_stall;
    out.io_stall = memory_reading_.io_stall;

    hint_works_ = hint_works_ || facts.idle_hint.value_or(false);
    const auto belief = believe(
        {facts.agents, facts.locked, facts.idle_hint, facts.idle_for, hint_works_, tty_idle_});
    out.since_input = belief.since_input;
    out.idle_source = belief.source;
    out.screen_locked = belief.locked;
    out.full_screen = belief.full_screen;
    out.metered = facts.metered;
    out.preparing_for_sleep = facts.preparing_for_sleep;
    out.listed_program = processes_.listed();
    return out;
}

}  // namespace tequio::node
