#pragma once

/// Which links to keep and whom to dial.
///
/// Two links between the same nodes: if each side dialled, the one dialled by the smaller node id
/// stays, and both sides come to that alone. If one side dialled both, that side keeps its older
/// one (it knows that it lives), while the other side uses the newer one (the older may be dead
/// without its knowing) and drops neither until a third comes.

#include <map>
#include <optional>
#include <set>

#include "base/rng.hpp"
#include "p2p/core/address_book.hpp"
#include "p2p/network.hpp"

namespace tequio::p2p {

class links {
public:
    links(const network_config& config, const base::node_id& self, base::rng rng);

    /// The node whose link ends so that this one has room: the longest linked of those that nobody
    /// wants, when all links are taken and a wanted node comes. Nothing: none has to, or none may.
    std::optional<base::node_id> gives_way(const link_up& e) const;
    /// There is no room for this link.
    bool refuses(const link_up& e) const { return !linked(e.node) && !has_room(e); }
    /// A link came up. True when it is the first one to its node.
    bool up(base::time_point now, const link_up& e, bool shut_out, network_effects& out);
    struct loss {
        base::node_id node;
        bool last = false;  ///< no link to it is left
    };
    /// A link is gone; nothing for links we closed ourselves.
    std::optional<loss> down(base::time_point now, link_id link);
    void dial_failed(base::time_point now, const p2p::dial_failed& e);
    /// Closes every link to a node; true when there was one.
    bool close_node(base::time_point now, const base::node_id& node, const link_ending& ending,
                    network_effects& out);

    /// A node said anew where it is: failures at its old addresses count no more.
    void moved(const base::node_id& node, base::time_point now);

    /// Errors: `errc::full`.
    base::result<void> add_seed(const address& where, base::time_point now);
    /// Counted; how many nodes may be wanted is the caller's to bound.
    void want(const base::node_id& node, base::time_point now);
    std::size_t wanted_count() const { return wanted_.size(); }
    void unwant(const base::node_id& node);
    bool wanted(const base::node_id& node) const { return wanted_.contains(node); }

    /// Dials whatever is due. `barred` nodes are left alone.
    void maintain(base::time_point now, const address_book& book,
                  const std::set<base::node_id>& barred, network_effects& out);
    base::time_point next_deadline() const { return deadline_; }

    std::optional<link_id> link_of(const base::node_id& node) const;
    std::optional<base::node_id> node_of(link_id link) const;
    std::vector<base::node_id> nodes() const;
    std::vector<peer_view> views() const;
    void check() const;

private:
    struct live_link {
        base::node_id node;
        p2p::address address;
        bool outbound = false;
        bool exempt = false;  ///< not counted among strangers' inbound links
        base::time_point since;
    };
    /// When to try next.
    struct retry {
        std::uint32_t failures = 0;
        base::time_point next;
        std::size_t turn = 0;  ///< which address to use
    };
    struct seed {
        retry again;
        std::optional<base::node_id> node;  ///< who answered there last
    };

    bool linked(const base::node_id& node) const { return by_node_.contains(node); }
    bool settle_duplicates(const link_up& e, network_effects& out);
    bool has_room(const link_up& e) const;
    void remove(link_id link);
    void close(link_id link, const link_ending& ending, network_effects& out);
    void postpone(retry& r, base::time_point now, base::duration longest);
    void after_loss(const live_link& lost, base::time_point now);
    bool dialing(const base::node_id& node) const;
    bool try_dial(const address& where, std::optional<base::node_id> expected,
                  network_effects& out);
    bool dial_node(base::time_point now, const base::node_id& node, const address_book& book,
                   network_effects& out);
    void dial_strangers(base::time_point now, const address_book& book,
                        const std::set<base::node_id>& barred, network_effects& out);
    void find_deadline(base::time_point now, const address_book& book);

    network_config config_;
    base::node_id self_;
    base::rng rng_;
    std::map<link_id, live_link> links_;
    std::map<base::node_id, std::vector<link_id>> by_node_;  ///< the last one is in use
    std::map<address, seed> seeds_;
    std::map<base::node_id, std::size_t> wanted_;
    std::map<base::node_id, retry> tries_;
    std::map<address, std::optional<base::node_id>> dials_;
    base::time_point deadline_ = base::time_point::max();
};

}  // namespace tequio::p2p
