#pragma once

/// Tells how long a giving back took, from what the release ladder sees: from the moment the last
/// thread was taken away until the workers' use of processors had ended. Pure.

#include <optional>

#include "base/time.hpp"
#include "node/governor/release_ladder.hpp"

namespace tequio::node {

class give_back_watch {
public:
    /// `look`: the span over which use is judged. A time is the start of the first span in which
    /// less than 2 % of a processor was used (reference "volunteer", section 4.1), so it is up to
    /// one span too long, never too short by more than the kernel's timer tick.
    explicit give_back_watch(base::duration look = ladder_timings{}.look) : look_(look) {}

    /// Takes the facts of `now`, which never falls. A time comes out once for each giving back of a
    /// machine on which an item was being computed; none if threads came back before it was known.
    std::optional<base::duration> handle(base::time_point now, const ladder_facts& facts);
    /// `handle` is due by then even if nothing changes; `time_point::max()` when nothing is.
    base::time_point next_deadline() const;

private:
    base::duration look_;
    bool open_ = false;                         ///< threads were allowed at the last facts
    std::optional<base::time_point> released_;  ///< a giving back whose end is not known
    base::time_point span_start_{};
    base::duration cpu_at_start_{};
};

}  // namespace tequio::node
