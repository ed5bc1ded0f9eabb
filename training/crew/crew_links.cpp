#include "training/crew_links.hpp"

#include <algorithm>

#include "base/sha256.hpp"
#include "training/crew/groups.hpp"

namespace tequio::training {
namespace {

/// Of `among` links so many are kept.
bool link_drawn(const base::task_id& task, const base::node_id& a, const base::node_id& b,
                std::uint64_t kept, std::uint64_t among) {
    if (among <= kept) return true;
    const auto& [low, high] = std::minmax(a, b);
    base::sha256_stream hash;
    hash.add("tequio/crew-link/v1").add(task.view()).add(low.view()).add(high.view());
    const auto digest = hash.finish();
    // Of 2^24, so that nothing overflows with any number of nodes.
    const std::uint64_t lot =
        std::uint64_t{digest.bytes[0]} << 16 | digest.bytes[1] << 8 | digest.bytes[2];
    return lot * among < kept << 24;
}

crew_protocol::group_map groups_of(const base::task_id& task, const base::node_id& self,
                                   std::uint32_t depth) {
    crew_protocol::group_map groups(task, self);
    groups.set_depth(depth);
    return groups;
}

}  // namespace

bool crew_links::keep(const base::node_id& a, const base::node_id& b) const {
    return groups_of(task, a, depth).foreign(b) ? link_drawn(task, a, b, crew_links_abroad, abroad)
                                                : link_drawn(task, a, b, crew_links_within, within);
}

std::vector<base::node_id> crew_links_of(const base::task_id& task, const base::node_id& self,
                                         std::uint32_t depth,
                                         const std::vector<base::node_id>& known) {
    const auto groups = groups_of(task, self, depth);
    crew_links rule{task, depth, 0, 0};
    for (const auto& node : known) ++(groups.foreign(node) ? rule.abroad : rule.within);
    std::vector<base::node_id> out;
    for (const auto& node : known) {
        if (node != self && rule.keep(self, node)) out.push_back(node);
    }
    return out;
}

}  // namespace tequio::training
