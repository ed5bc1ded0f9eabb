#pragma once

/// With whom the nodes of a crew keep links (training/crew/groups.md): with the members of their
/// group, the crew while it is in one piece, and with some of all others, drawn by who they are.
/// Whom a node has something to tell or to ask besides, as another group's steward, it links with
/// then. Pure, and alike at both ends, so that neither is a stranger to the other.

#include <cstdint>
#include <vector>

#include "base/ids.hpp"

namespace tequio::training {

/// Links within a group: of more known nodes so many are drawn. More than have seats, for who waits
/// for one is to be heard, and not every node of a swarm is in the crew (guess: half as many
/// again).
inline constexpr std::uint64_t crew_links_within = 96;
/// Links with nodes of all other groups (guess: with 32 groups one each; with two, each steward
/// hears of the other through dozens).
inline constexpr std::uint64_t crew_links_abroad = 32;

/// The rule for one pair of nodes.
struct crew_links {
    base::task_id task;
    std::uint32_t depth = 0;   ///< the crew is in 2^depth groups
    std::uint64_t within = 0;  ///< nodes of one's group that are known, the others of it
    std::uint64_t abroad = 0;  ///< known nodes of all other groups

    /// True when `a` and `b` keep a link: always where as many are known as links are kept, else
    /// with that chance, which follows from task and ids. The same for (b, a).
    bool keep(const base::node_id& a, const base::node_id& b) const;
};

/// Those of `known` that `self` keeps links with, in the order given. Cost: a SHA-256 for each
/// where more are known than links are kept.
std::vector<base::node_id> crew_links_of(const base::task_id& task, const base::node_id& self,
                                         std::uint32_t depth,
                                         const std::vector<base::node_id>& known);

}  // namespace tequio::training
