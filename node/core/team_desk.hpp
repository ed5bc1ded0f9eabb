#pragma once

/// This node's part in a lane that a team computes: who the others are, what is carried between
/// their workers and ours, and for how long one of them is waited for. Pure: network commands and
/// effects out. Private to node/core.
///
/// Rules: (1) messages of another attempt than the one in hand go nowhere; (2) a member is waited
/// for as long as its messages move, and then for some times the longest wait that this attempt
/// has known: nobody knows beforehand how slow a machine is; (3) whoever gives up tells the others,
/// so that nobody waits for a lane that nobody computes.

#include <optional>
#include <string>
#include <vector>

#include "node/core/node_logic.hpp"

namespace tequio::node {

/// What a desk wants: first of the network, in order, then of the shell.
struct team_effects {
    std::vector<p2p::network_event> network;
    node_effects shell;
};

class team_desk {
public:
    team_desk(const team_patience& patience, const base::node_id& self)
        : patience_(patience), self_(self) {}

    /// An item with a team is begun. Errors: `errc::compute_failed` for a team that cannot be.
    base::result<void> begin(base::time_point now, const base::task_id& task,
                             const training::recipe& work, const training::work_item& item,
                             team_effects& out);
    /// It ended. `reason`: why it came to nothing, for the others; empty when it came to its end.
    void end(const std::string& reason, team_effects& out);
    bool busy() const { return session_.has_value(); }
    /// Why the item in hand was stopped from here; empty while it goes on.
    const std::string& given_up() const { return given_up_; }

    // What the worker of this node says.
    base::result<void> said(base::time_point now, const team_said& e, team_effects& out);
    void noted(base::time_point now, const team_note& e, team_effects& out);
    // What comes from the others.
    void heard(base::time_point now, p2p::stream_message& m, team_effects& out);
    void taken(base::time_point now, const p2p::stream_taken& m, team_effects& out);
    void moved(base::time_point now, const p2p::stream_moved& m);
    void closed(const p2p::stream_closed& m, team_effects& out);

    void tick(base::time_point now, team_effects& out);
    base::time_point next_deadline() const;

private:
    struct session {
        base::task_id task;
        base::digest name;
        std::vector<base::node_id> team;
        std::uint32_t self = 0;
        base::duration longest{};  ///< wait for a message that came
        bool any = false;          ///< a message came
        /// Whom the worker waits for, and since when nothing of theirs has moved.
        std::optional<std::uint32_t> waiting_for;
        base::time_point since;
    };
    /// The member that speaks in this session's name; nothing for anybody else.
    std::optional<std::uint32_t> member(const base::node_id& node, const base::digest& name) const;
    bool current(const base::task_id& task, const base::digest& name) const;
    void arrived(base::time_point now, std::uint32_t from);
    base::duration patience() const;
    std::string name_of(std::uint32_t member) const;
    void give_up(std::string why, team_effects& out);

    team_patience patience_;
    base::node_id self_;
    std::optional<session> session_;
    std::string given_up_;
};

}  // namespace tequio::node
