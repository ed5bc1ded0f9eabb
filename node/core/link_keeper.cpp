#include "node/core/link_keeper.hpp"

#include <algorithm>

namespace tequio::node {

void link_keeper::set(const base::task_id& job, std::vector<base::node_id> nodes) {
    if (nodes.empty()) {
        jobs_.erase(job);
    } else {
        jobs_[job] = std::move(nodes);
    }
}

bool link_keeper::spoke(base::time_point now, const base::node_id& node) {
    const bool fresh = spoken_.insert_or_assign(node, now).second;
    if (spoken_.size() > spoken_links_max) {
        spoken_.erase(
            std::min_element(spoken_.begin(), spoken_.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; }));
    }
    return fresh && !kept_.contains(node);
}

link_keeper::changes link_keeper::step(base::time_point now) {
    std::erase_if(spoken_, [&](const auto& s) { return now - s.second > spoken_links_for; });
    std::set<base::node_id> wanted;
    bool more = true;
    for (std::size_t i = 0; more && wanted.size() < crew_links_max; ++i) {
        more = false;
        for (const auto& [job, nodes] : jobs_) {
            if (i >= nodes.size() || wanted.size() >= crew_links_max) continue;
            wanted.insert(nodes[i]);
            more = true;
        }
    }
    for (const auto& [node, last] : spoken_) wanted.insert(node);
    changes out;
    std::set_difference(wanted.begin(), wanted.end(), kept_.begin(), kept_.end(),
                        std::back_inserter(out.want));
    std::set_difference(kept_.begin(), kept_.end(), wanted.begin(), wanted.end(),
                        std::back_inserter(out.unwant));
    kept_ = std::move(wanted);
    return out;
}

}  // namespace tequio::node
