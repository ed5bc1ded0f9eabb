#include "node/governor/release_ladder.hpp"

#include <algorithm>

#include "base/ensure.hpp"

namespace tequio::node {
namespace {

/// Less than this part of a core counts as standing still (volunteer.md, section 4.1).
constexpr double still_share = 0.02;

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

void release_ladder::handle(base::time_point now, const ladder_facts& facts,
                            std::vector<ladder_effect>& out) {
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
    frozen_ = trickle_ = false;
    level_ = release_level::working;
}

void release_ladder::climb(base::time_point now, const ladder_facts& facts,
                           std::vector<ladder_effect>& out) {
    const auto stay = now - parked_at_;
    watch(now, facts, out);
    if (level_ == release_level::parked && (stay >= timings_.tell || facts.urgent)) {
        level_ = release_level::suspended;
        trickle_ = true;
        out.emplace_back(set_trickle{true});
        out.emplace_back(tell_crews{release_level::suspended});
    }
    if (level_ == release_level::suspended && stay >= timings_.hand_back && !facts.urgent) {
        level_ = release_level::handed_back;
        if (frozen_) out.emplace_back(thaw_workers{});  // it has to do that itself
        frozen_ = still_ = false;
        watch_from_ = now + timings_.hand_back_grace;
        looked_at_ = now;
        cpu_seen_ = facts.cpu;
        out.emplace_back(hand_back_memory{});
    }
    const bool idle = level_ == release_level::handed_back && !facts.busy;
    if (level_ != release_level::ended && (stay >= timings_.end || facts.urgent || idle)) {
        level_ = release_level::ended;
        frozen_ = false;
        still_ = true;
        out.emplace_back(tell_crews{release_level::ended});
        out.emplace_back(end_workers{});
    }
}

/// Freezes workers that use processor time though their gate is closed: threads that are in the
/// middle of something that has no tiles, such as a hash over a large state.
void release_ladder::watch(base::time_point now, const ladder_facts& facts,
                           std::vector<ladder_effect>& out) {
    if (frozen_ || now - looked_at_ < timings_.look) return;
    const auto used = std::max(facts.cpu - cpu_seen_, base::duration::zero());
    const auto spent = now - looked_at_;
    const bool forgiven = looked_at_ < watch_from_;
    looked_at_ = now;
    cpu_seen_ = facts.cpu;
    still_ = !facts.running || std::chrono::duration<double>(used) <
                                   still_share * std::chrono::duration<double>(spent);
    if (still_ || forgiven) return;
    frozen_ = true;
    out.emplace_back(freeze_workers{});
}

base::time_point release_ladder::next_deadline() const {
    auto next = base::time_point::max();
    if (level_ == release_level::working) return next;
    if (!still_ && !frozen_) next = looked_at_ + timings_.look;
    switch (level_) {
        case release_level::parked:
            return std::min(next, parked_at_ + timings_.tell);
        case release_level::suspended:
            return std::min(next, parked_at_ + timings_.hand_back);
        case release_level::handed_back:
            return std::min(next, parked_at_ + timings_.end);
        default:
            return next;
    }
}

void release_ladder::check() const {
    base::ensure((level_ == release_level::working) == (gate_ != 0) || gate_ < 0,
                 "the gate is closed while the machine is given back, and only then");
    base::ensure(trickle_ == (level_ >= release_level::suspended), "crew and network go together");
    base::ensure(!frozen_ || level_ != release_level::working, "what works is not frozen");
    base::ensure(!frozen_ || level_ != release_level::ended, "what has ended is not frozen");
}

}  // namespace tequio::node
