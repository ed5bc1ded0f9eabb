// Teams: what passes between the worker of this node and the other members of its team.

#include "node/core/node_state.hpp"

namespace tequio::node {

void node_logic::state::on(team_said& e) {
    team_effects wanted;
    if (const auto passed = team_.said(at_.now, e, wanted); !passed) {
        say(log_level::warn, passed.error().message());
    }
    obey(std::move(wanted));
}

void node_logic::state::on(team_note& e) {
    team_effects wanted;
    team_.noted(at_.now, e, wanted);
    obey(std::move(wanted));
}

void node_logic::state::carry_out(p2p::stream_message& message) {
    team_effects wanted;
    team_.heard(at_.now, message, wanted);
    obey(std::move(wanted));
}

void node_logic::state::carry_out(p2p::stream_taken& message) {
    team_effects wanted;
    team_.taken(at_.now, message, wanted);
    obey(std::move(wanted));
}

void node_logic::state::carry_out(p2p::stream_moved& message) {
    team_.moved(at_.now, message);
}

void node_logic::state::carry_out(p2p::stream_closed& message) {
    team_effects wanted;
    team_.closed(message, wanted);
    obey(std::move(wanted));
}

void node_logic::state::obey(team_effects&& wanted) {
    for (auto& command : wanted.network) {
        if (const auto done = tell_network(std::move(command)); !done) {
            say(log_level::warn, "a team: " + done.error().message());
        }
    }
    for (auto& effect : wanted.shell) out_->push_back(std::move(effect));
}

void node_logic::state::wait_for_team_no_longer() {
    team_effects wanted;
    team_.tick(at_.now, wanted);
    obey(std::move(wanted));
}

void node_logic::state::end_team(base::result<training::work_outcome>& outcome, bool stopped) {
    if (!team_.busy()) return;
    if (!outcome && !team_.given_up().empty()) {
        outcome = fail(errc::compute_failed, team_.given_up());
    }
    team_effects wanted;
    team_.end(outcome   ? ""
              : stopped ? "this node stopped computing it"
                        : outcome.error().message(),
              wanted);
    obey(std::move(wanted));
}

}  // namespace tequio::node
