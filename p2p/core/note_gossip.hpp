#pragma once

/// Spreads signed notes. A note is offered by id and pulled, so that each node takes its bytes once
/// from one peer; ids are computed here, never believed. What the application accepted is offered
/// to every linked peer and compared with a random one from time to time, so latecomers and those
/// who missed an offer get everything.
///
/// States of a note: requested -> pending (with the application) -> kept, or forgotten (its id is
/// remembered so that it is not pulled again).

#include <deque>
#include <map>
#include <optional>
#include <set>

#include "base/rng.hpp"
#include "p2p/core/part_effects.hpp"
#include "p2p/core/token_bucket.hpp"

namespace tequio::p2p {

class note_gossip {
public:
    note_gossip(const network_config& config, base::rng rng);

    void peer_up(base::time_point now, const base::node_id& node, part_effects& out);
    void peer_down(base::time_point now, const base::node_id& node, part_effects& out);

    void offered(base::time_point now, const base::node_id& from, const wire::note_offer& m,
                 part_effects& out);
    void requested(base::time_point now, const base::node_id& from, const wire::note_request& m,
                   part_effects& out);
    void received(base::time_point now, const base::node_id& from, wire::note&& m,
                  part_effects& out);
    void compared(base::time_point now, const base::node_id& from, const wire::note_summary& m,
                  part_effects& out);

    /// Errors: `errc::too_large`, `errc::full`.
    base::result<void> publish(base::time_point now, const publish_note& command);
    void judge(base::time_point now, const judge_note& command, part_effects& out);
    void withdraw(const base::digest& id);

    void tick(base::time_point now, part_effects& out);
    base::time_point next_deadline() const;

    std::vector<note_view> notes() const;
    void check() const;

private:
    struct kept_note {
        std::uint8_t kind = 0;
        base::byte_vector bytes;
    };
    struct pending_note {
        kept_note note;
        base::node_id from;
    };
    struct request {
        base::node_id from;
        base::time_point deadline;
        std::deque<base::node_id> others;  ///< who offered it too
    };
    struct peer {
        explicit peer(const network_config& config);
        token_bucket offers, asks, unasked, served, comparisons;
        std::size_t asked = 0;  ///< requests under way
        bool has_more = false;  ///< it offered more than we asked for
    };
    using requests = std::map<base::digest, request>;

    bool known(const base::digest& id) const;
    void forget(const base::digest& id);
    void keep(const base::digest& id, kept_note note);
    bool has_room(std::size_t bytes) const;
    void offer_soon(base::time_point now, const base::digest& id);
    void flush_offers(part_effects& out);
    base::digest summary() const;
    void send_complete_offer(const base::node_id& to, part_effects& out) const;
    /// Asks the next node that offered it, or gives up until it is offered again.
    requests::iterator ask_next(base::time_point now, requests::iterator at, part_effects& out);

    network_config config_;
    base::rng rng_;
    std::map<base::node_id, peer> peers_;
    std::map<base::digest, kept_note> notes_;
    std::size_t note_bytes_ = 0;
    std::map<base::digest, pending_note> pending_;
    requests requests_;
    std::set<base::digest> forgotten_;
    std::deque<base::digest> forgotten_order_;
    std::vector<base::digest> fresh_;  ///< kept and not offered yet
    std::optional<base::time_point> flush_at_;
    base::time_point next_comparison_ = base::time_point::max();
};

}  // namespace tequio::p2p
