#pragma once

/// Which links the crews of this node want kept. Pure.
///
/// A swarm links a node with a few others; members of a crew have to hear all of theirs. So they
/// keep the links that `training/crew_links.hpp` names, and for a while those with nodes that the
/// crew spoke to without having one, as stewards of other groups.

#include <map>
#include <set>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace tequio::node {

/// Kept by the rule, of all crews together: what chance gives one of a thousand nodes, and below
/// p2p's 256 links in all, for others are needed too.
inline constexpr std::size_t crew_links_max = 180;
/// Kept because a crew spoke to them; beyond that the one spoken to longest ago is let go.
inline constexpr std::size_t spoken_links_max = 32;
/// For so long after the last word (guess: a steward speaks every second).
inline constexpr base::duration spoken_links_for = std::chrono::seconds(60);

class link_keeper {
public:
    /// The crew of this job wants links with these nodes, each once. None: it wants none any more.
    void set(const base::task_id& job, std::vector<base::node_id> nodes);
    /// A crew has something to say to this node, and there is no link. True when that is news: the
    /// next step is due at once.
    bool spoke(base::time_point now, const base::node_id& node);

    struct changes {
        std::vector<base::node_id> want, unwant;  ///< by id
    };
    /// What is to be wanted from now on, and what no longer. Jobs take turns where there are too
    /// many. Whatever could not be wanted: `failed`.
    changes step(base::time_point now);
    /// That node could not be wanted: it is tried again with the next step.
    void failed(const base::node_id& node) { kept_.erase(node); }

    /// No crew wants any links, and none is kept.
    bool idle() const { return jobs_.empty() && spoken_.empty() && kept_.empty(); }
    std::size_t kept() const { return kept_.size(); }

private:
    std::map<base::task_id, std::vector<base::node_id>> jobs_;
    std::map<base::node_id, base::time_point> spoken_;
    std::set<base::node_id> kept_;
};

}  // namespace tequio::node
