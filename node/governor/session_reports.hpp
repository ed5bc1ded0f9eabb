#pragma once

/// The last report of each session's agent, so that one session's cannot hide another's: nobody
/// takes back what somebody else has seen. Pure; times are handed in.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.hpp"
#include "node/governor/agent_report.hpp"
#include "node/governor/idle_source.hpp"

namespace tequio::node {

/// Who handed a report over, by the kernel's word (SO_PEERCRED).
struct report_origin {
    std::uint32_t user = 0;
    std::int32_t process = 0;
    /// The daemon's own user, root, or whoever sits at one of the machine's seats.
    bool trusted = false;
};

class session_reports {
public:
    /// Reports kept: of one user, and of all. Beyond, the one heard longest ago goes, of that user
    /// first, so that a user alone cannot push out others'.
    static constexpr std::size_t of_user_max = 4, all_max = 64;

    /// Takes the newest report of a process; what it said before is forgotten.
    void take(base::time_point now, const report_origin& from, const agent_report& report);
    /// What was heard within `agent_fresh_max`, in no order that means anything.
    std::vector<session_input> fresh(base::time_point now) const;

private:
    struct entry {
        report_origin from;
        agent_report report;
        base::time_point at;
    };
    std::vector<entry> entries_;  ///< by when they were heard, the oldest first
};

}  // namespace tequio::node
