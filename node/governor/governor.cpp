#include "node/governor/governor.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>

#include "base/ensure.hpp"
#include "base/text.hpp"

namespace tequio::node {
namespace {

using base::duration;
using base::time_point;
using std::chrono::seconds;

constexpr unsigned no_cap = std::numeric_limits<unsigned>::max();

/// The mean of a value over the newest readings.
class mean_window {
public:
    void add(duration span, double value) {
        readings_.push_front({span, value});
        kept_ += span;
        while (readings_.size() > 1 && kept_ - readings_.back().span >= seconds(1)) {
            kept_ -= readings_.back().span;
            readings_.pop_back();
        }
    }
    /// Over the newest readings that make up `span` together, or all there are; 0 without any.
    double over(duration span) const {
        double sum = 0;
        duration taken{};
        for (const auto& r : readings_) {
            if (taken >= span) break;
            sum += r.value * static_cast<double>(r.span.count());
            taken += r.span;
        }
        return taken.count() > 0 ? sum / static_cast<double>(taken.count()) : 0;
    }

private:
    struct reading {
        duration span;
        double value;
    };
    std::deque<reading> readings_;
    duration kept_{};
};

/// Seen of a reason that says nothing about whether somebody needs the machine: when it ends, the
/// quiet before counts.
constexpr time_point no_use = time_point::min();

/// A reason that holds at this reading.
struct holding {
    reason_code code;
    unsigned cap = no_cap;  ///< threads it leaves
    time_point seen;        ///< when the signal behind it was last there, or `no_use`
    std::string text;
    std::optional<base::unix_time> until;
};

/// A signal that counts until `hold` after it was last true.
struct held_signal {
    std::optional<time_point> seen;
    std::string text;  ///< of the last time it was true
    bool holds(time_point now, duration hold) const { return seen && now - *seen < hold; }
};

/// Threads that others' use of `processors` takes, one for each that is used beyond the slack.
unsigned threads_taken(double used, double slack) {
    return used > slack ? static_cast<unsigned>(std::ceil(std::min(used, 1e6) - slack)) : 0;
}

double sane(double value) {
    return std::isfinite(value) && value > 0 ? value : 0;
}

std::string whole(double value) {
    return std::to_string(std::lround(value));
}

}  // namespace

std::string_view reason_code_name(reason_code code) {
    switch (code) {
        case reason_code::paused_by_owner:
            return "paused_by_owner";
        case reason_code::draining:
            return "draining";
        case reason_code::sleep:
            return "sleep";
        case reason_code::schedule:
            return "schedule";
        case reason_code::on_battery:
            return "on_battery";
        case reason_code::temperature:
            return "temperature";
        case reason_code::memory_pressure:
            return "memory_pressure";
        case reason_code::unprotected:
            return "unprotected";
        case reason_code::program_running:
            return "program_running";
        case reason_code::full_screen:
            return "full_screen";
        case reason_code::user_active:
            return "user_active";
        case reason_code::cpu_busy:
            return "cpu_busy";
        case reason_code::io_pressure:
            return "io_pressure";
        case reason_code::metered:
            return "metered";
        case reason_code::idle:
            return "idle";
    }
    return "unknown";
}

struct governor::state {
    node_config config;
    governor_tuning tuning;
    bool protection = false;
    owner_wish wished;
    governor_signals signals;
    moment at;
    bool read = false;  ///< there was a reading

    mean_window foreground, group_foreground, memory_stall, io_stall;
    std::optional<time_point> throttled;  ///< when the group last wanted more than its quota
    held_signal sleep, battery, memory, program, screen, cpu, disks, meter;
    unsigned memory_level = 0;  ///< how often the hold of memory pressure was doubled
    std::optional<time_point> memory_ended;
    std::optional<unsigned> heat_cap;
    time_point heat_changed;

    allowance now_allowed;
    unsigned wanted = 0;  ///< threads that the reasons leave; growth goes there
    unsigned grown = 0;   ///< steps of growth since `disturbed`
    /// The latest sight of something that left no more threads than there were; the latest of
    /// others' use among them; the latest shrink.
    std::optional<time_point> disturbed, contended, shrunk;
    time_point used_from;     ///< the begin of others' latest use of our processors
    bool used_often = false;  ///< there was another shortly before it
    std::vector<governor_change> changes;
    std::uint64_t changes_ever = 0;

    // Of this reading, strongest first.
    std::vector<holding> found;

    unsigned idle_threads() const {
        return static_cast<unsigned>(config.threads.of(std::max(1u, signals.processors), 1));
    }
    unsigned in_use_threads() const {
        const auto n = config.in_use_threads.of(std::max(1u, signals.processors), 0);
        return std::min(static_cast<unsigned>(n), idle_threads());
    }
    base::unix_time wall_after(duration d) const {
        return {at.wall.seconds + std::chrono::ceil<seconds>(d).count()};
    }

    void take(moment m, const governor_signals& s);
    void follow_memory();
    void follow_heat();
    void find_reasons();
    void find_commands();
    void find_machine_reasons();
    void find_use_reasons();
    unsigned taken_in_group() const;
    void find_cpu();
    void find_network_reasons();
    void follow_use();
    duration contention_hold() const;
    void set_threads();
    void publish();
    void decide();
    void keep(const allowance& before);
    /// `held` was last seen true, for `text`, when `truth` holds now.
    void mark(held_signal& held, bool truth, std::string text) {
        if (!truth) return;
        held.seen = at.now;
        held.text = std::move(text);
    }
    void add_held(reason_code code, const held_signal& held, duration hold, unsigned cap) {
        if (!held.holds(at.now, hold)) return;
        std::optional<base::unix_time> until;
        // While the signal is there nobody knows the end.
        if (*held.seen != at.now) until = wall_after(hold - (at.now - *held.seen));
        found.push_back({code, cap, *held.seen, held.text, until});
    }
};

void governor::state::take(moment m, const governor_signals& s) {
    const auto span = read ? m.now - at.now : duration::zero();
    at = m;
    signals = s;
    read = true;
    if (span > duration::zero()) {
        foreground.add(span, sane(s.foreground_cpu));
        group_foreground.add(span, s.quota ? sane(s.group_foreground) : 0);
        memory_stall.add(span, std::min(1.0, sane(s.memory_stall)));
        io_stall.add(span, std::min(1.0, sane(s.io_stall)));
    }
    if (s.quota && s.group_throttled) throttled = m.now;
    mark(sleep, s.preparing_for_sleep, "the machine is about to sleep");
    mark(battery, s.on_battery.value_or(false) && !config.work_on_battery,
         "on battery (power.on_battery is false)");
    mark(program, s.listed_program.has_value(),
         s.listed_program.value_or("") + " runs (idle.programs)");
    mark(screen, s.full_screen.value_or(false) && !s.screen_locked, "a program fills the screen");
    mark(disks, io_stall.over(seconds(1)) >= tuning.io_stall_high, "others wait for disks");
    mark(meter, s.metered.value_or(false) && config.metered_bits, "the connection is metered");
    follow_memory();
    follow_heat();
}

void governor::state::follow_memory() {
    const auto all = signals.memory_bytes;
    const auto reserve = std::max(all / 20, std::min(all / 8, std::uint64_t{256} << 20));
    const auto& left = signals.memory_available_bytes;
    const auto hold = tuning.memory_hold * (1u << memory_level);
    const bool held = memory.holds(at.now, hold);
    // A worker that comes back after a pause waits for its own pages: stalls count only where
    // memory is scarce. Once under pressure, more must be free to end it.
    const bool stalls =
        memory_stall.over(seconds(1)) >= tuning.memory_stall_high && (!left || *left < 4 * reserve);
    const bool scarce = left && *left < (held ? reserve + reserve / 2 : reserve);
    if (!held && memory.seen && !memory_ended) memory_ended = at.now;
    if (!stalls && !scarce) return;
    if (!held) {
        // Pressure that returns when the worker does was our own doing: wait longer each time.
        const bool again = memory_ended && at.now - *memory_ended < std::chrono::minutes(10);
        memory_level = again ? std::min(memory_level + 1, 4u) : 0;
        memory_ended.reset();
    }
    mark(memory, true, scarce ? "little memory is left to others" : "others wait for memory");
}

void governor::state::follow_heat() {
    if (!signals.celsius || !std::isfinite(*signals.celsius)) return heat_cap.reset();
    const double c = *signals.celsius, limit = config.celsius_max;
    const auto past = at.now - heat_changed;
    const auto change = [&](unsigned cap) {
        heat_cap = cap;
        heat_changed = at.now;
    };
    const unsigned in_hand = std::min(heat_cap.value_or(no_cap), now_allowed.threads);
    if (c >= limit + tuning.celsius_hysteresis) {
        change(0);
    } else if (c >= limit && (!heat_cap || past >= tuning.cooling)) {
        change(in_hand > 0 ? in_hand - 1 : 0);
    } else if (c < limit - tuning.celsius_hysteresis && heat_cap && past >= tuning.warming) {
        change(*heat_cap + 1);
    }
    if (heat_cap && *heat_cap >= idle_threads() && c < limit) heat_cap.reset();
}

void governor::state::find_commands() {
    if (wished.paused && !(wished.paused_until && *wished.paused_until <= at.wall)) {
        found.push_back(
            {reason_code::paused_by_owner, 0, no_use, "paused by its owner", wished.paused_until});
    }
    if (wished.draining) {
        found.push_back({reason_code::draining,
                         no_cap,
                         no_use,
                         "draining: finishes the lane in hand and takes no more",
                         {}});
    }
}

void governor::state::find_machine_reasons() {
    add_held(reason_code::sleep, sleep, tuning.hold, 0);
    if (!config.hours.open(at.weekday, at.local_minutes)) {
        std::optional<base::unix_time> until;
        if (const auto m = config.hours.minutes_to_change(at.weekday, at.local_minutes)) {
            until = base::unix_time{at.wall.seconds - at.wall.seconds % 60 + *m * 60};
        }
        found.push_back({reason_code::schedule, 0, no_use,
                         "outside the hours of its schedule (" + config.hours.text() + ")", until});
    }
    if (!config.work_on_battery) add_held(reason_code::on_battery, battery, tuning.hold, 0);
    if (heat_cap && *heat_cap < idle_threads()) {
        found.push_back({reason_code::temperature,
                         *heat_cap,
                         no_use,
                         whole(*signals.celsius) +
                             " C at the processor (power.max_temperature is " +
                             base::shortest(config.celsius_max) + "C)",
                         {}});
    }
    add_held(reason_code::memory_pressure, memory, tuning.memory_hold * (1u << memory_level), 0);
}

void governor::state::find_use_reasons() {
    const auto cap = in_use_threads();
    const auto first = found.size();
    if (!config.idle_programs.empty()) {
        add_held(reason_code::program_running, program, tuning.hold, cap);
    }
    add_held(reason_code::full_screen, screen, tuning.hold, cap);
    const auto idle_after = signals.screen_locked
                                ? std::min(config.idle_after, tuning.locked_idle_after)
                                : config.idle_after;
    if (signals.since_input) {
        const auto past = std::max(duration::zero(), *signals.since_input);
        if (past < idle_after) {
            found.push_back({reason_code::user_active, cap, at.now - past,
                             "in use: input seen by " + signals.idle_source,
                             wall_after(idle_after - past)});
        }
    }
    find_cpu();
    if (protection || found.size() == first) return;
    // Threads that the limits would leave, and that nobody would be protected from.
    unsigned left = idle_threads();
    time_point seen = found[first].seen;
    for (auto i = first; i < found.size(); ++i) {
        left = std::min(left, found[i].cap);
        seen = std::max(seen, found[i].seen);
    }
    if (left == 0) return;
    found.insert(
        found.begin() + static_cast<std::ptrdiff_t>(first),
        {reason_code::unprotected,
         0,
         seen,
         "in use, and others would not be protected from our threads (`tequio doctor` says "
         "why)",
         {}});
}

/// Processors that others want of the group's share, beyond what our threads leave of it.
unsigned governor::state::taken_in_group() const {
    if (!signals.quota) return 0;
    const double spare = std::max(0.0, sane(*signals.quota) - std::max(1u, signals.processors));
    // A full group shows what others got, which is less than they wanted.
    const bool full = throttled && at.now - *throttled <= tuning.burst_window;
    const auto burst = full ? tuning.steady_slack : tuning.burst_slack;
    return std::max(threads_taken(group_foreground.over(tuning.burst_window) - spare, burst),
                    threads_taken(group_foreground.over(seconds(1)) - spare, tuning.steady_slack));
}

void governor::state::find_cpu() {
    const unsigned watched = std::max({1u, signals.processors, signals.processors_watched});
    const auto burst = foreground.over(tuning.burst_window);
    const auto taken = std::max(threads_taken(burst, tuning.burst_slack),
                                threads_taken(foreground.over(seconds(1)), tuning.steady_slack));
    unsigned used = std::min(watched, taken), of = watched;
    std::string place;
    const unsigned share = std::max(1u, signals.processors);
    if (const auto in_group = std::min(share, taken_in_group());
        share - in_group < watched - used) {
        used = in_group;
        of = share;
        place = " of this control group";
    }
    const unsigned cap = std::max(of - used, tuning.cpu_busy_leaves);
    if (cap < idle_threads()) {
        follow_use();
        mark(cpu, true,
             "others use " + std::to_string(used) + " of " + std::to_string(of) +
                 (of == 1 ? " processor" : " processors") + place);
    }
    // What others leave counts at once; growing back waits for `hold` by way of `disturbed`.
    add_held(reason_code::cpu_busy, cpu, tuning.hold, cap);
}

void governor::state::find_network_reasons() {
    add_held(reason_code::io_pressure, disks, tuning.hold, no_cap);
    if (config.metered_bits) add_held(reason_code::metered, meter, tuning.hold, no_cap);
}

void governor::state::find_reasons() {
    found.clear();
    find_commands();
    find_machine_reasons();
    find_use_reasons();
    find_network_reasons();
    if (found.empty()) {
        const auto seen = disturbed.value_or(at.now);
        found.push_back({reason_code::idle, no_cap, seen, "idle, by " + signals.idle_source, {}});
    }
}

/// Others use processors: whether it is a moment's use shows when it ends.
void governor::state::follow_use() {
    if (!cpu.seen || at.now - *cpu.seen >= tuning.hold_brief) {
        used_often = cpu.seen && at.now - *cpu.seen < tuning.brief_apart;
        used_from = at.now;
    }
}

/// How long growth waits after others' use.
duration governor::state::contention_hold() const {
    const bool brief = cpu.seen && !used_often && *cpu.seen - used_from <= tuning.brief;
    return brief ? tuning.hold_brief : tuning.hold;
}

void governor::state::set_threads() {
    const unsigned limit = idle_threads();
    wanted = limit;
    for (const auto& h : found) wanted = std::min(wanted, h.cap);
    unsigned& threads = now_allowed.threads;
    if (wanted < threads) {
        threads = wanted;
        shrunk = at.now;
    }
    for (const auto& h : found) {
        if (h.cap > threads) continue;
        if (h.code == reason_code::cpu_busy) contended = h.seen;
        if (h.seen == no_use || (disturbed && h.seen <= *disturbed)) continue;
        disturbed = h.seen;
        grown = 0;
    }
    if (wanted == threads || (shrunk && at.now - *shrunk < tuning.shrink_to_grow)) return;
    // Quiet from the start: a machine nobody was seen to use.
    if (!disturbed) {
        threads = wanted;
        return;
    }
    const auto quiet = at.now - *disturbed;
    const auto hold = contention_hold();
    if (contended && at.now - *contended < hold) return;
    const auto beyond = std::max(duration::zero(), quiet - hold);
    const auto steps = 1 + static_cast<std::uint64_t>(beyond / tuning.grow_every);
    if (steps <= grown) return;
    const auto more = std::min<std::uint64_t>(steps - grown, wanted - threads);
    threads += static_cast<unsigned>(more);
    grown = static_cast<unsigned>(std::min<std::uint64_t>(steps, no_cap));
}

void governor::state::publish() {
    auto& a = now_allowed;
    const auto& first = found.front();
    a.in_use = std::any_of(found.begin(), found.end(), [](const holding& h) {
        return h.code == reason_code::program_running || h.code == reason_code::full_screen ||
               h.code == reason_code::user_active;
    });
    a.memory_bytes = (a.in_use ? config.in_use_memory : config.memory).of(signals.memory_bytes, 0);
    if (!a.in_use) a.memory_bytes = std::max(a.memory_bytes, worker_memory_least);
    a.parked_memory_bytes = config.in_use_memory.of(signals.memory_bytes, 0);
    a.all.clear();
    a.upload_bytes_per_second = 0;
    const auto cap_upload = [&](std::uint64_t rate) {
        auto& out = a.upload_bytes_per_second;
        out = out == 0 ? rate : std::min(out, rate);
    };
    for (const auto& h : found) {
        a.all.push_back(h.code);
        if (h.code == reason_code::metered) cap_upload(*config.metered_bits / 8);
        if (h.code == reason_code::io_pressure) cap_upload(tuning.trickle_bytes_per_second);
    }
    if (first.code != a.code || a.since == base::unix_time{}) a.since = at.wall;
    a.code = first.code;
    a.until = first.until;
    a.reason = first.text;
    if (first.code == reason_code::draining && found.size() > 1) a.reason += "; " + found[1].text;
    const unsigned limit = idle_threads();
    if (first.code != reason_code::paused_by_owner || a.threads != 0) {
        a.reason += "; " + std::to_string(a.threads) + " of " + std::to_string(limit) +
                    (limit == 1 ? " thread" : " threads") +
                    (a.threads < wanted ? ", more when it stays quiet" : "");
    }
}

void governor::state::keep(const allowance& before) {
    const auto& a = now_allowed;
    const bool same =
        !changes.empty() && before.code == a.code && (before.threads == 0) == (a.threads == 0);
    if (same) return;
    if (changes.size() == governor_history_max) changes.erase(changes.begin());
    changes.push_back({at.wall, a.code, a.threads, a.reason});
    ++changes_ever;
}

void governor::state::decide() {
    const auto before = now_allowed;
    find_reasons();
    set_threads();
    publish();
    keep(before);
}

governor::governor(const node_config& config, bool protection_holds, moment at,
                   const governor_tuning& tuning)
    : state_(std::make_unique<state>()) {
    state_->config = config;
    state_->tuning = tuning;
    state_->protection = protection_holds;
    state_->at = at;
    state_->now_allowed.since = at.wall;
    state_->now_allowed.all = {reason_code::idle};
    state_->now_allowed.reason = "starting: no reading yet";
}
governor::governor(governor&&) noexcept = default;
governor& governor::operator=(governor&&) noexcept = default;
governor::~governor() = default;

const allowance& governor::handle(moment at, const governor_signals& signals) {
    // Two readings at one instant, or a clock that stands still, do no harm.
    at.now = std::max(at.now, state_->at.now);
    state_->take(at, signals);
    state_->decide();
    return state_->now_allowed;
}

void governor::wish(moment at, const owner_wish& wish) {
    const bool same = state_->wished == wish;
    state_->wished = wish;
    if (same || !state_->read) return;
    const auto now = state_->at.now;
    // The readings' own clock stays: a wish is no reading.
    state_->at = at;
    state_->at.now = std::max(at.now, now);
    state_->decide();
    state_->at.now = now;
}

void governor::configure(const node_config& config) {
    state_->config = config;
}
void governor::set_protection(bool holds) {
    state_->protection = holds;
}

base::time_point governor::next_deadline() const {
    const auto& s = *state_;
    if (!s.read) return s.at.now;
    if (s.now_allowed.threads == 0) return s.at.now + s.tuning.reading_released;
    return s.at.now + s.tuning.reading * (s.signals.processors_watched > 16 ? 2 : 1);
}

const allowance& governor::current() const {
    return state_->now_allowed;
}
const std::vector<governor_change>& governor::history() const {
    return state_->changes;
}
std::uint64_t governor::history_count() const {
    return state_->changes_ever;
}

void governor::check() const {
    const auto& s = *state_;
    const auto& a = s.now_allowed;
    base::ensure(a.threads <= s.idle_threads(), "threads within the limit");
    base::ensure(!a.all.empty() && a.all.front() == a.code, "the first reason is shown");
    base::ensure(std::is_sorted(a.all.begin(), a.all.end()), "reasons by rank");
    base::ensure(std::adjacent_find(a.all.begin(), a.all.end()) == a.all.end(), "reasons once");
    base::ensure(a.all.back() != reason_code::idle || a.all.size() == 1, "idle stands alone");
    base::ensure(!a.reason.empty(), "a reason has words");
    base::ensure(!a.in_use || a.threads <= s.in_use_threads(), "threads within the limit in use");
    for (const auto& h : s.found) base::ensure(a.threads <= h.cap, "threads within each cap");
    base::ensure(s.changes.size() <= governor_history_max, "a bounded history");
}

}  // namespace tequio::node
