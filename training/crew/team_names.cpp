#include "training/crew/team_names.hpp"

namespace tequio::training::crew_protocol {

bool team_names::owed(const job_shape& shape, const std::optional<team_call>& call) const {
    return call && call->item.item < shape.lanes && parts_.size() + 1 < call->nodes.size();
}

claim_team team_names::team(const job_shape& shape, const std::optional<team_call>& call) const {
    claim_team out;
    if (!call || call->item.item >= shape.lanes) return out;
    out.attempt = call->attempt;
    for (std::size_t i = 1; i < call->nodes.size(); ++i) {
        out.members.push_back({call->nodes[i], parts_.at(call->nodes[i])});
    }
    return out;
}

void team_names::saw(const job_shape& shape, const base::node_id& node, const status& said) {
    if (!said.slices || !said.slices->seat || said.slices->seat->whole()) return;
    const bool lane = said.doing == doing_kind::item && said.item.item < shape.lanes;
    if (lane && said.slices->seat->index == 0 && leads_.size() < leads_max) {
        leads_.insert({said.item, node});
    }
}

void team_names::distrust(const base::node_id& node) {
    if (distrusted_.size() < distrusted_max) distrusted_.insert(node);
}

void team_names::forget_before(std::uint64_t round) {
    leads_.erase(leads_.begin(), leads_.lower_bound({{round, 0}, {}}));
}

}  // namespace tequio::training::crew_protocol
