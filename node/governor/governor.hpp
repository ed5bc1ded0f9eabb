#pragma once

/// How much of the machine may be used at this moment, and why. The policy of the owner's limits,
/// a pure state machine: no clock, file, bus or thread inside, so every reason has a table test on
/// a fake clock. Probes (node/governor/probes) make `governor_signals`; the release ladder
/// (release_ladder.hpp) carries out what an `allowance` takes away.
///
/// Rules, each for a reason (reference "volunteer", section 3.3, control loop):
///  1. Shrinks in the reading that shows why, and by single threads where that is enough: what an
///     owner feels is the giving back.
///  2. Grows slowly, and never within a second of a shrink, so that turns come at less than 1 Hz:
///     fans pulse otherwise (BOINC issue 698).
///  3. A missing source degrades to the next one and is named; nothing waits for a source.
///  4. The highest-ranking reason is shown; all of them are listed. A reason holds as long as it is
///     shown: some a few seconds longer than what they were seen by, and `until` says so.
///  5. Only what others use counts: nodes on one machine never pause one another. The probes leave
///     out all Tequio processes and all niced work; pressure on disks, which cannot be told apart
///     by owner, takes bandwidth and no thread.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "node/core/node_config.hpp"

namespace tequio::node {

/// From the strongest to the weakest; the name of each is part of the interface
/// (`reason_code_name`) and is never renamed.
enum class reason_code {
    paused_by_owner,
    draining,         ///< takes no new work; what is in hand goes on within the other limits
    sleep,            ///< the machine is about to sleep
    schedule,         ///< outside the hours of `schedule`
    on_battery,       ///< `power.on_battery` is false
    temperature,      ///< above `power.max_temperature`
    memory_pressure,  ///< others wait for memory, or little is left
    unprotected,      ///< in use, and others would not be protected from our threads
    program_running,  ///< a program of `idle.programs` runs
    full_screen,      ///< the owner watches or plays
    user_active,      ///< input within `idle.after`
    cpu_busy,         ///< others want the processors
    io_pressure,      ///< network only: others wait for disks
    metered,          ///< network only: threads go on
    idle,             ///< nobody needs the machine: the limits of `limits.idle`
};
/// "paused_by_owner", "draining", ... as `status --json` gives it in `reason_code`.
std::string_view reason_code_name(reason_code code);

/// One reading of all probes. An absent value: no such source on this machine.
struct governor_signals {
    unsigned processors = 1;  ///< that this process may use (affinity, control group)
    /// Processors whose use `foreground_cpu` counts: more than `processors` where a control group
    /// gives a share of a machine. 0: the same as `processors`.
    unsigned processors_watched = 0;
    std::uint64_t memory_bytes = 0;             ///< of the machine or the control group
    std::optional<base::duration> since_input;  ///< from the most trusted source there is
    std::string idle_source =
        "cpu-only";              ///< "wayland", "gnome", "x11", "logind", "tty", "cpu-only"
    bool screen_locked = false;  ///< then `full_screen` says nothing about the owner
    std::optional<bool> full_screen;
    double foreground_cpu = 0;  ///< processors' worth that others used since the last reading
    /// Where a control group gives this process a share of the machine: the share, in processors;
    /// what others in the group used of it since the last reading, niced or not; and whether the
    /// group wanted more than its share.
    std::optional<double> quota;
    double group_foreground = 0;
    bool group_throttled = false;
    std::optional<std::uint64_t> memory_available_bytes;
    double memory_stall = 0;  ///< share of time somebody waited for memory (PSI "some")
    double io_stall = 0;      ///< the same for disks
    std::optional<bool> on_battery;
    std::optional<double> celsius;  ///< the hottest processor zone
    std::optional<bool> metered;
    bool preparing_for_sleep = false;
    std::optional<std::string> listed_program;  ///< the first of `idle.programs` that runs
};

/// What a worker is allowed while nobody needs the machine, whatever `limits.idle.memory` says.
inline constexpr std::uint64_t worker_memory_least = std::uint64_t{64} << 20;

/// What may be used from now on.
struct allowance {
    unsigned threads = 0;            ///< compute threads; 0: release (release_ladder.hpp)
    std::uint64_t memory_bytes = 0;  ///< for the worker
    /// May stay held while no thread may compute: `limits.in_use.memory`, whatever the reason.
    std::uint64_t parked_memory_bytes = 0;
    std::uint64_t upload_bytes_per_second = 0;  ///< 0: no limit of the governor's own
    bool in_use = false;                        ///< the limits of `limits.in_use` count
    reason_code code = reason_code::idle;       ///< the highest-ranking reason
    std::vector<reason_code> all;               ///< every reason that holds, strongest first
    /// One line for people, without times that run: "in use: input seen by wayland; 0 of 4
    /// threads".
    std::string reason;
    base::unix_time since;                 ///< this code has been the first since then
    std::optional<base::unix_time> until;  ///< when it ends by itself, if that is known
    bool operator==(const allowance&) const = default;
};

/// A change of the first reason, or from no thread to some and back, as it is kept for `status` and
/// the dashboard; newest last, at most `governor_history_max`, the oldest are dropped.
struct governor_change {
    base::unix_time at;
    reason_code code = reason_code::idle;
    unsigned threads = 0;
    std::string reason;
};
inline constexpr std::size_t governor_history_max = 256;

/// What the owner asked for by command; outranks every signal.
struct owner_wish {
    bool paused = false;
    std::optional<base::unix_time> paused_until;  ///< the pause ends by itself then
    bool draining = false;
    bool operator==(const owner_wish&) const = default;
};

/// The thresholds and times of the policy; the owner's limits are in `node_config`.
struct governor_tuning {
    /// While threads may compute; twice this from 16 processors on, where /proc/stat is long.
    base::duration reading = std::chrono::milliseconds(50);
    base::duration reading_released = std::chrono::seconds(1);
    /// A reason that can come and go quickly holds this long after it was last seen ("volunteer"
    /// 3.3: after pure contention 3 s).
    base::duration hold = std::chrono::seconds(3);
    /// Others' use that was over within `brief`, after `brief_apart` without any, is a command that
    /// ran and not somebody at work: growth waits this long only. The same use over and over gets
    /// the whole `hold`, so that turns stay rare. Guesses; a command of 0.15 s then costs a thread
    /// 1.2 s instead of 3.2 s.
    base::duration hold_brief = std::chrono::seconds(1);
    base::duration brief = std::chrono::milliseconds(500);
    base::duration brief_apart = std::chrono::seconds(5);
    /// One step of growth for each of these of quiet ("volunteer" 3.3: 2-3 s). Quiet counts from
    /// the last disturbance, so after `idle.after` all of it is there at once.
    base::duration grow_every = std::chrono::milliseconds(2500);
    base::duration shrink_to_grow = std::chrono::seconds(1);  ///< rule 2
    /// Others' use that costs no thread: over the window of a burst and over 1 s (the background
    /// hum of a desktop). Guesses; the verified idle class gives them the time anyway. With 100 ms,
    /// or with one reading where our threads wait, every command that ran for 30 ms took a thread
    /// for three seconds: 7 % of the harvest of a machine on which something runs every 10 s.
    base::duration burst_window = std::chrono::milliseconds(200);
    double burst_slack = 0.5;
    double steady_slack = 0.25;
    unsigned cpu_busy_leaves = 0;  ///< others' use takes no thread of these
    double memory_stall_high = 0.1;
    double io_stall_high = 0.4;
    base::duration memory_hold =
        std::chrono::seconds(60);   ///< doubles up to 16 times when it recurs
    double celsius_hysteresis = 5;  ///< grow below the limit less this; stop above it plus this
    base::duration cooling = std::chrono::seconds(3);   ///< one thread less for each of these
    base::duration warming = std::chrono::seconds(15);  ///< one thread more for each of these
    base::duration locked_idle_after = std::chrono::seconds(10);  ///< behind a locked screen
    std::uint64_t trickle_bytes_per_second = 8'000;  ///< under `io_pressure`: 64 kbit/s
};

class governor {
public:
    /// `local_minutes` are of the machine's local time, 0..1439 within `weekday` 0..6 (Monday
    /// first), handed in because time zones are the shell's business.
    struct moment {
        base::time_point now;
        base::unix_time wall;
        unsigned weekday = 0;
        unsigned local_minutes = 0;
    };
    /// `protection_holds`: `may_work_in_use` of the worker's verified protection; without it
    /// nothing runs while the machine is in use. Allows no thread before the first reading.
    governor(const node_config& config, bool protection_holds, moment at,
             const governor_tuning& tuning = {});
    governor(governor&&) noexcept;
    governor& operator=(governor&&) noexcept;
    ~governor();

    /// Takes one reading; `next_deadline` says when the next one is due at the latest. More of them
    /// do no harm: a push (input, sleep) should be followed by a reading at once.
    const allowance& handle(moment at, const governor_signals& signals);
    /// The owner's command; counts at once, on the last reading. The same as before changes
    /// nothing.
    void wish(moment at, const owner_wish& wish);
    /// A reloaded configuration; counts from the next reading.
    void configure(const node_config& config);
    /// The protection was verified anew; counts from the next reading.
    void set_protection(bool holds);

    base::time_point next_deadline() const;
    const allowance& current() const;
    /// The changes since this governor began (history_record.hpp keeps them over restarts).
    const std::vector<governor_change>& history() const;
    /// How many changes there ever were, those that were dropped included.
    std::uint64_t history_count() const;
    /// Aborts when an invariant is broken. For tests.
    void check() const;

private:
    struct state;
    std::unique_ptr<state> state_;
};

}  // namespace tequio::node
