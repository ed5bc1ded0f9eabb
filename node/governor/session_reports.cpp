#include "node/governor/session_reports.hpp"

#include <algorithm>

namespace tequio::node {

void session_reports::take(base::time_point now, const report_origin& from,
                           const agent_report& report) {
    std::erase_if(entries_, [&](const entry& e) {
        return now - e.at > agent_fresh_max ||
               (e.from.user == from.user && e.from.process == from.process);
    });
    const auto is_users = [&](const entry& e) { return e.from.user == from.user; };
    const auto of_user = std::count_if(entries_.begin(), entries_.end(), is_users);
    if (static_cast<std::size_t>(of_user) >= of_user_max) {
        entries_.erase(std::find_if(entries_.begin(), entries_.end(), is_users));
    } else if (entries_.size() >= all_max) {
        entries_.erase(entries_.begin());
    }
    entries_.push_back({from, report, now});
}

std::vector<session_input> session_reports::fresh(base::time_point now) const {
    std::vector<session_input> out;
    for (const auto& e : entries_) {
        if (now - e.at > agent_fresh_max) continue;
        out.push_back({e.report.source, e.report.idle, now - e.at, e.report.locked,
                       e.report.full_screen, e.from.trusted});
    }
    return out;
}

}  // namespace tequio::node
