#pragma once

/// How the machine is given back: step by step, the cheap and quick ones first. A pure state
/// machine: no clock, process or socket inside. The governor says how many threads may compute;
/// this says what is done about it.
///
///     0 s      the gate closes: threads park at the next tile of work
///     0.1 s    SIGSTOP, if processor time is used all the same
///     0.25 s   the crew hears that what is in hand waits
///     1 s      network to a trickle
///     10 s     memory goes out (to swap); a worker with nothing in hand ends
///     12 s     the worker ends if it holds more than may stay (`keep_bytes`) and that falls no
///              longer, and the lane in hand with it; else it stays parked, however long
///
/// Time alone never ends a worker that has something in hand: need does. Memory pressure is need:
/// the worker ends at once, and the states with it. Before the machine sleeps workers are frozen,
/// and judged by what they hold without paging out: the image of a hibernation has to hold it too.
/// Once no worker is left, states that do not fit are let go of as well, and made again from S(0)
/// by their means when there are threads again. Parked threads go on in the tile where they stood.
/// All workers of a node climb together. Source: reference "volunteer", section 3.3, release
/// ladder.

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "node/governor/governor.hpp"

namespace tequio::node {

/// When each step is taken, counted from the moment at which the last thread was taken away.
struct ladder_timings {
    base::duration freeze = std::chrono::milliseconds(100);
    /// Nearly all pauses last longer, and a round that is being closed waits for this: with 1 s,
    /// two rounds in five of a job whose owners come and go stood still for that second.
    base::duration tell = std::chrono::milliseconds(250);
    /// Later, so that others can fetch what was just computed.
    base::duration trickle = std::chrono::seconds(1);
    base::duration hand_back = std::chrono::seconds(10);
    /// Processor time is looked at this often until the workers stand still.
    base::duration look = std::chrono::milliseconds(50);
    /// Handing memory back takes processor time, this long at most (guess); then it is seen what is
    /// still held, and again after as long, for a disk may need more time.
    base::duration hand_back_grace = std::chrono::seconds(1);
};

/// What the ladder goes by.
struct ladder_facts {
    unsigned threads = 0;          ///< that may compute, over all workers
    bool memory_short = false;     ///< memory pressure: what is held has to go now
    bool sleep = false;            ///< the machine is about to sleep
    bool running = false;          ///< a worker process exists
    bool busy = false;             ///< an item is in hand
    base::duration cpu{};          ///< used so far by all worker processes together
    std::uint64_t keep_bytes = 0;  ///< of memory may stay held while parked (`limits.in_use`)
    /// Bytes of memory that workers and the states of jobs hold now. Costs its caller some
    /// milliseconds: called at most once a `handle`, and only when it decides something. Absent: 0.
    std::function<std::uint64_t()> held_bytes;
};

/// Joins what the governor allows with what the workers use (`running`, `busy`, `cpu` and
/// `held_bytes` of `workers`). A job that needs more memory (`job_bytes`) than is allowed now
/// cannot go on, however many threads may.
ladder_facts ladder_facts_of(const allowance& allowed, ladder_facts workers,
                             std::uint64_t job_bytes);

/// How much of the machine is still held.
enum class release_level {
    working,      ///< threads compute, be it fewer
    parked,       ///< for a moment: nobody else knows
    suspended,    ///< the crew knows
    handed_back,  ///< memory too
    ended,        ///< no worker process is left
};
std::string_view release_level_name(release_level level);

// Effects, to be carried out in order.

struct set_gate {
    unsigned threads = 0;
    bool operator==(const set_gate&) const = default;
};
struct freeze_workers {
    bool operator==(const freeze_workers&) const = default;
};
struct thaw_workers {
    bool operator==(const thaw_workers&) const = default;
};
struct set_trickle {
    bool on = false;  ///< the network's rate is as low as it goes
    bool operator==(const set_trickle&) const = default;
};
/// `suspended`: crews keep what is in hand; `ended`: they give it up; `working`: they go on.
struct tell_crews {
    release_level level = release_level::working;
    bool operator==(const tell_crews&) const = default;
};
struct hand_back_memory {
    bool operator==(const hand_back_memory&) const = default;
};
/// Why workers end.
enum class end_cause {
    nothing_in_hand,  ///< nothing is lost by it
    over_limit,       ///< they hold more than may stay
    memory_short,
};
struct end_workers {
    end_cause why = end_cause::nothing_in_hand;
    bool operator==(const end_workers&) const = default;
};
/// The states of the jobs go too; crews must hear of it (`training::states_lost`).
struct release_states {
    bool operator==(const release_states&) const = default;
};
using ladder_effect = std::variant<set_gate, freeze_workers, thaw_workers, set_trickle, tell_crews,
                                   hand_back_memory, end_workers, release_states>;

class release_ladder {
public:
    explicit release_ladder(ladder_timings timings = {}) : timings_(timings) {}

    /// Takes the facts of `now`, which never falls; appends what must be done.
    void handle(base::time_point now, const ladder_facts& facts, std::vector<ladder_effect>& out);
    /// `handle` is due by then even if nothing changes; `time_point::max()` when nothing is.
    base::time_point next_deadline() const;
    release_level level() const { return level_; }
    bool frozen() const { return frozen_; }
    /// Since when no thread may compute; meaningless while `working`.
    base::time_point parked_since() const { return parked_at_; }
    /// Aborts when an invariant is broken. For tests.
    void check() const;

private:
    void climb(base::time_point now, const ladder_facts& facts, std::vector<ladder_effect>& out);
    void come_back(std::vector<ladder_effect>& out);
    void watch(base::time_point now, const ladder_facts& facts, std::vector<ladder_effect>& out);
    void freeze(std::vector<ladder_effect>& out);
    std::optional<end_cause> must_end(base::time_point now, const ladder_facts& facts);
    bool holds_too_much(const ladder_facts& facts);
    bool falls(base::time_point now);
    void judge_states(const ladder_facts& facts, std::vector<ladder_effect>& out);

    ladder_timings timings_;
    release_level level_ = release_level::working;
    std::int64_t gate_ = -1;  ///< as last set; -1: never
    bool frozen_ = false;
    bool trickle_ = false;
    bool still_ = false;  ///< no processor time was used when last looked at
    base::time_point parked_at_{};
    base::time_point watch_from_{};  ///< use before that is forgiven
    base::time_point looked_at_{};
    base::duration cpu_seen_{};
    std::optional<std::uint64_t> judged_by_;  ///< the `keep_bytes` by which what is held fits
    /// When it last did not fit, and the time before.
    std::optional<std::uint64_t> held_seen_, held_before_;
    base::time_point judge_at_{};
    bool states_released_ = false;
    base::time_point handled_at_{};
};

}  // namespace tequio::node
