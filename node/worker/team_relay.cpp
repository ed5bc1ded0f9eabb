#include "node/worker/team_relay.hpp"

namespace tequio::node {

bool relay(std::span<compute_worker* const> team, std::uint32_t member, const worker_event& event) {
    if (const auto* said = std::get_if<worker_team_said>(&event)) {
        team[said->to]->hand_in(member, *said->letter);
    } else if (const auto* taken = std::get_if<worker_team_taken>(&event)) {
        team[taken->from]->credit(member);
    } else {
        return std::holds_alternative<worker_team_waits>(event) ||
               std::holds_alternative<worker_team_blames>(event);
    }
    return true;
}

}  // namespace tequio::node
