// Links of crews: what the keeper says becomes p2p's.

#include <bit>

#include "node/core/node_state.hpp"
#include "training/crew_links.hpp"
#include "training/slices.hpp"

namespace tequio::node {
namespace {

/// Nodes come and go, and the crew divides, without a word to the shell.
constexpr auto links_every = std::chrono::seconds(2);
/// Then a blob is as good as lost (guess: some dials fail in that time). A crew in one piece knows
/// who is there; of another group's members nobody in this one does.
constexpr auto holders_patience = std::chrono::seconds(15);

}  // namespace

bool node_logic::state::may_divide(const held_job& j) const {
    return j.task->trust.crew_max > config_.group_max && slices_max(j.task->work) == 1;
}

void node_logic::state::give_up_out_of_reach(held_job& j) {
    std::vector<run_of_blob> lost;
    for (auto& [what, want] : j.wanted) {
        const auto here = [this](const base::node_id& node) { return network_.linked(node); };
        if (std::any_of(want.holders.begin(), want.holders.end(), here)) {
            want.out_of_reach.reset();
            continue;
        }
        if (!want.out_of_reach) want.out_of_reach = at_.now;
        if (at_.now - *want.out_of_reach > holders_patience) lost.push_back(what);
    }
    for (const auto& what : lost) give_up(j, what, "none of its holders can be reached");
}

void node_logic::state::keep_links() {
    const auto known = network_.known_nodes();
    bool any_needs = false;
    for (auto& [id, j] : jobs_) {
        const bool needs = j.crew && j.phase != job_phase::ended && (is_open(j) || j.exporting);
        any_needs = any_needs || needs;
        const auto depth =
            needs ? static_cast<std::uint32_t>(std::bit_width(j.crew->view().groups) - 1) : 0;
        if (needs && may_divide(j)) give_up_out_of_reach(j);
        links_.set(id, needs ? training::crew_links_of(id, self_.node(), depth, known)
                             : std::vector<base::node_id>{});
    }
    const auto changes = links_.step(at_.now);
    for (const auto& node : changes.want) {
        if (!tell_network(p2p::want_peer{node})) links_.failed(node);
    }
    for (const auto& node : changes.unwant) (void)tell_network(p2p::unwant_peer{node});
    // Also while nobody else is known: others come.
    const bool over = !any_needs && links_.idle();
    links_at_ = over ? base::time_point::max() : at_.now + links_every;
}

}  // namespace tequio::node
