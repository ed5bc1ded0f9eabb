#include "node/governor/release_ladder.hpp"

#include <algorithm>
#include <utility>

#include "base/ensure.hpp"

namespace tequio::node {
namespace {

/// Less than this part of a core counts as standing still (volunteer.md, section 4.1).
constexpr double still_share = 0.02;
/// Memory falls as long as a hundredth of it goes in a second (guess).
constexpr std::uint64_t still_falling = 100;

}  // namespace

std::string_view release_level_name(release_level level) {
    switch (level) {
        case release_level::working:
            return "working";
        case release_level::parked:
            return "parked";
        case release_level::suspended:
            return "suspended";
        case release_level::handed_back:
            return "handed_back";
        case release_level::ended:
            break;
    }
    return "ended";
}

ladder_facts ladder_facts_of(const allowance& allowed, ladder_facts workers,
                             std::uint64_t job_bytes) {
    const auto holds = [&](reason_code code) {
        return std::find(allowed.all.begin(), allowed.all.end(), code) != allowed.all.end();
    };
    workers.threads = job_bytes <= allowed.memory_bytes ? allowed.threads : 0;
    workers.memory_short = holds(reason_code::memory_pressure);
    workers.sleep = holds(reason_code::sleep);
    workers.keep_bytes = allowed.parked_memory_bytes;
    return workers;
}

void release_ladder::handle(base::time_point now, const ladder_facts& facts,
                            std::vector<ladder_effect>& out) {
    handled_at_ = now;
    if (facts.threads > 0) {
        if (level_ != release_level::working) come_back(out);
    } else if (level_ == release_level::working) {
        level_ = release_level::parked;
        parked_at_ = looked_at_ = now;
        watch_from_ = now + timings_.freeze - timings_.look;
        cpu_seen_ = facts.cpu;
        still_ = false;
    }
    if (gate_ != static_cast<std::int64_t>(facts.threads)) {
        gate_ = facts.threads;
        out.emplace_back(set_gate{facts.threads});
    }
    if (level_ != release_level::working) climb(now, facts, out);
}

void release_ladder::come_back(std::vector<ladder_effect>& out) {
    if (frozen_) out.emplace_back(thaw_workers{});
    if (trickle_) out.emplace_back(set_trickle{false});
    if (level_ >= release_level::suspended) out.emplace_back(tell_crews{release_level::working});
    frozen_ = trickle_ = states_released_ = false;
    judged_by_.reset();
    level_ = release_level::working;
}

void release_ladder::climb(base::time_point now, const ladder_facts& facts,
                           std::vector<ladder_effect>& out) {
    const auto stay = now - parked_at_;
    const bool at_once = facts.memory_short || facts.sleep;
    watch(now, facts, out);
    if (level_ == release_level::parked && (stay >= timings_.tell || at_once)) {
        level_ = release_level::suspended;
        out.emplace_back(tell_crews{release_level::suspended});
    }
    if (!trickle_ && (stay >= timings_.trickle || at_once)) {
        trickle_ = true;
        out.emplace_back(set_trickle{true});
    }
    const bool runs = facts.running && level_ != release_level::ended;
    if (facts.sleep && runs && !frozen_) freeze(out);
    if (level_ == release_level::suspended && stay >= timings_.hand_back && !at_once) {
        level_ = release_level::handed_back;
        if (frozen_) out.emplace_back(thaw_workers{});  // it has to do that itself
        frozen_ = still_ = false;
        watch_from_ = judge_at_ = now + timings_.hand_back_grace;
        held_seen_.reset();
        looked_at_ = now;
        cpu_seen_ = facts.cpu;
        out.emplace_back(hand_back_memory{});
    }
    if (level_ == release_level::ended) return judge_states(facts, out);
    const auto why = must_end(now, facts);
    if (!why) return;
    level_ = release_level::ended;
    frozen_ = false;
    still_ = true;
    judged_by_.reset();  // from now on it is the states alone that are held
    out.emplace_back(tell_crews{release_level::ended});
    out.emplace_back(end_workers{*why});
    judge_states(facts, out);
}

std::optional<end_cause> release_ladder::must_end(base::time_point now, const ladder_facts& facts) {
    if (facts.memory_short) return end_cause::memory_short;
    const bool handed_back = level_ == release_level::handed_back;
    if (handed_back && (!facts.busy || !facts.running)) return end_cause::nothing_in_hand;
    if (facts.sleep && holds_too_much(facts)) return end_cause::over_limit;
    const bool due = handed_back && now >= judge_at_;
    if (due && holds_too_much(facts) && !falls(now)) return end_cause::over_limit;
    return std::nullopt;
}

/// What fitted once does not grow while it is parked, so it is judged again only by another limit.
bool release_ladder::holds_too_much(const ladder_facts& facts) {
    if (judged_by_ == facts.keep_bytes) return false;
    const auto held = facts.held_bytes ? facts.held_bytes() : 0;
    if (held <= facts.keep_bytes) {
        judged_by_ = facts.keep_bytes;
        held_seen_.reset();
        return false;
    }
    judged_by_.reset();
    held_before_ = std::exchange(held_seen_, held);
    return true;
}

/// What does not fit yet is on its way out: judged again later.
bool release_ladder::falls(base::time_point now) {
    judge_at_ = now + timings_.hand_back_grace;
    return !held_before_ || *held_seen_ < *held_before_ - *held_before_ / still_falling;
}

/// What is left when the worker has gone: the states of the jobs. A worker that is still dying
/// would be counted with them.
void release_ladder::judge_states(const ladder_facts& facts, std::vector<ladder_effect>& out) {
    if (states_released_) return;
    if (!facts.memory_short && (facts.running || !holds_too_much(facts))) return;
    states_released_ = true;
    out.emplace_back(release_states{});
}

void release_ladder::freeze(std::vector<ladder_effect>& out) {
    frozen_ = true;
    out.emplace_back(freeze_workers{});
}

/// Freezes workers that use processor time though their gate is closed: threads that are in the
/// middle of something that has no tiles, such as a hash over a large state.
void release_ladder::watch(base::time_point now, const ladder_facts& facts,
                           std::vector<ladder_effect>& out) {
    // A killed worker needs a moment to die.
    if (frozen_ || level_ == release_level::ended || now - looked_at_ < timings_.look) return;
    const auto used = std::max(facts.cpu - cpu_seen_, base::duration::zero());
    const auto spent = now - looked_at_;
    const bool forgiven = looked_at_ < watch_from_;
    looked_at_ = now;
    cpu_seen_ = facts.cpu;
    still_ = !facts.running || std::chrono::duration<double>(used) <
                                   still_share * std::chrono::duration<double>(spent);
    if (!still_ && !forgiven) freeze(out);
}

base::time_point release_ladder::next_deadline() const {
    auto next = base::time_point::max();
    if (level_ == release_level::working) return next;
    if (!still_ && !frozen_) next = looked_at_ + timings_.look;
    switch (level_) {
        case release_level::parked:
            return std::min(next, parked_at_ + timings_.tell);
        case release_level::suspended:
            if (!trickle_) return std::min(next, parked_at_ + timings_.trickle);
            // Past that while it sleeps: the end of sleep is a change that the caller sees.
            return handled_at_ >= parked_at_ + timings_.hand_back
                       ? next
                       : std::min(next, parked_at_ + timings_.hand_back);
        case release_level::handed_back:
            return judged_by_ || handled_at_ >= judge_at_ ? next : std::min(next, judge_at_);
        case release_level::ended:
            return judged_by_ || states_released_ ? next : handled_at_ + timings_.look;
        default:
            return next;
    }
}

void release_ladder::check() const {
    base::ensure((level_ == release_level::working) == (gate_ != 0) || gate_ < 0,
                 "the gate is closed while the machine is given back, and only then");
    base::ensure(!trickle_ || level_ >= release_level::suspended, "the crew hears of it first");
    base::ensure(trickle_ || level_ <= release_level::suspended, "the network follows");
    base::ensure(!frozen_ || level_ != release_level::working, "what works is not frozen");
    base::ensure(!frozen_ || level_ != release_level::ended, "what has ended is not frozen");
    base::ensure(!states_released_ || level_ == release_level::ended,
                 "states outlive their workers");
}

}  // namespace tequio::node
