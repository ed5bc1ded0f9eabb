#pragma once

/// What the parts of `network` ask of it: each part is a small state machine of its own and knows
/// nodes, not links.

#include <string>
#include <vector>

#include "p2p/network.hpp"
#include "p2p/wire/messages.hpp"

namespace tequio::p2p {

struct part_effects {
    struct outgoing {
        base::node_id to;
        wire::message body;
    };
    struct strike {
        base::node_id node;
        std::size_t weight = 1;
        std::string why;
    };
    std::vector<outgoing> sends;
    std::vector<strike> strikes;
    std::vector<base::node_id> wants;
    std::vector<base::node_id> unwants;
    network_effects shell;  ///< handed on as they are

    void send(const base::node_id& to, wire::message body) {
        sends.push_back({to, std::move(body)});
    }
    void blame(const base::node_id& node, std::size_t weight, std::string why) {
        strikes.push_back({node, weight, std::move(why)});
    }
};

}  // namespace tequio::p2p
