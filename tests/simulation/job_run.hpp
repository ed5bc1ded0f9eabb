#pragma once

/// Runs a job of the real crew core among modelled machines, and counts.

#include <array>
#include <deque>
#include <optional>
#include <vector>

#include "tests/simulation/crew_world.hpp"
#include "tests/simulation/job_scenario.hpp"

namespace tequio::simulation {

/// What a node's time goes into. Whatever is computed counts as that even while something is
/// downloaded; of a lane it is known at its end.
enum class node_use {
    training,      ///< the first result of a lane
    checking,      ///< a lane or validation that another has computed
    again,         ///< a lane of the open round whose contribution went with its nodes
    copies,        ///< a lane begun as nobody's, of which another's result came first
    stopped,       ///< a lane or check broken off
    left,          ///< a lane or check that went with its node, or with a member of its team
    merging,       ///< sums, means, validations
    catching_up,   ///< a newcomer's, until its first item: states, means, waiting for them
    ending,        ///< nothing to compute since the open round's last lane was computed
    transferring,  ///< nothing to compute before, a download runs
    waiting,       ///< nothing to compute before, nothing comes
};
inline constexpr std::size_t node_uses = 11;

struct job_report {
    bool finished = false;       ///< every round closed within the limit
    std::uint64_t rounds = 0;    ///< closed
    double seconds = 0;          ///< of virtual time, until the last of them was closed
    double settled_seconds = 0;  ///< until a node said that the job is done; 0: none did
    std::uint64_t tokens = 0;    ///< merged
    double goodput = 0;          ///< merged tokens a second
    double summed_speed = 0;     ///< tokens a second of the nodes present, by themselves
    double utilisation = 0;      ///< the first over the second
    job_bound bound;             ///< of the nodes that began
    double bound_goodput = 0;    ///< tokens a second
    double ratio_to_bound = 0;
    std::uint64_t lanes_merged = 0, lanes_run = 0, checks_run = 0, lanes_stopped = 0;
    /// Of teams: mean stage time over the slowest stage's, of the lanes run, by their time; share
    /// of their members' time in which they computed.
    double balance = 0, team_busy = 0;
    std::uint64_t attempts_lost = 0;            ///< to members that left
    double activation_bytes = 0;                ///< sent to others of a team, a node and round
    std::array<double, node_uses> use{};        ///< shares of the nodes' time, by `node_use`
    double bytes_sent = 0;                      ///< a node and round, messages included
    double bytes_formula = 0;                   ///< (lanes run + 1) contributions, likewise
    double message_bytes = 0;                   ///< of `bytes_sent`
    double uplink_busy = 0, downlink_busy = 0;  ///< shares of what the links could carry
    std::uint64_t left = 0, joined = 0;         ///< nodes, after the beginning
    std::optional<double>
        first_work_seconds;            ///< of newcomers, from arrival to a first item; median
    double newcomer_bytes = 0;         ///< that one of those fetched until then; mean
    std::uint64_t states_fetched = 0;  ///< by whoever came too late for the means to be less
    std::uint64_t events = 0, messages = 0;
    base::duration beat{};
    training::job_cost cost;
    base::digest trace;  ///< of everything that happened
};

/// Errors: those of `recipe_of`. Cost: some microseconds a message.
base::result<job_report> run_job(const job_scenario& s);

}  // namespace tequio::simulation
