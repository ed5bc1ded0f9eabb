#pragma once

/// Who is in the crew, as this node sees it: local opinion, from what each said last and when.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/time.hpp"
#include "training/crew/groups.hpp"
#include "training/crew/messages.hpp"

namespace tequio::training::crew_protocol {

/// Message keys of nodes, each proved by its node's root key. Kept for the dead too: what they
/// signed stays true. At the cap the keys of nodes that are not up are forgotten: their
/// certificates come with every message that needs them, and anyone can make up nodes.
class key_book {
public:
    explicit key_book(const crew_keys& keys) : keys_(keys) {}
    bool has_room(std::size_t keys) const { return known_.size() + keys <= keys_max; }
    void keep_only(const std::set<base::node_id>& nodes);
    /// Errors: those of `verify_certificate`; `errc::bad_message` at the cap.
    base::result<void> learn(const base::node_id& node, base::byte_view certificate);
    const base::byte_vector* certificate(const base::node_id& node) const;
    /// Errors: `errc::bad_message` when the node is unknown or did not sign this.
    base::result<void> verify(const base::node_id& node, fact_kind kind,
                              const signed_fact& fact) const;
    /// Of everybody who signed that claim, those that the message lacks; nothing when they are not
    /// all known here.
    std::optional<std::vector<std::pair<base::node_id, base::byte_vector>>> certificates_for(
        const claim& said, const facts& m) const;

private:
    /// Every node that can be up, and one message's certificates.
    static constexpr std::size_t keys_max = 4 * crew_groups_nodes_max + 1 + 2 * facts_max;
    struct key {
        base::public_key message;
        base::byte_vector certificate;
    };
    const crew_keys& keys_;
    std::map<base::node_id, key> known_;
};

struct member {
    bool up = false;                        ///< the shell can reach it
    bool joined = false;                    ///< it has spoken as a member of this crew
    bool apart = false;                     ///< its chronicle is not this node's
    std::optional<base::time_point> heard;  ///< the last status, unless the link went down since
    status said;
    base::time_point book_sent{};  ///< last book comparison begun with it
    base::time_point asked{};      ///< last chronicle request to it
    base::time_point active{};     ///< when its `activity` last rose
    std::uint64_t activity = 0;
};

class roster {
public:
    /// `seats`: of the crew, or of a group of it. With `groups`, which outlives it, nodes of other
    /// groups never have a seat here; `links`: nodes that it may hear of then.
    roster(base::node_id self, std::uint64_t seats, const crew_timings& timings,
           const group_map* groups = nullptr, std::uint64_t links = 0)
        : self_(self),
          crew_max_(seats),
          links_max_(std::max(links, 4 * seats)),
          timings_(timings),
          groups_(groups) {}

    /// False when there is no room.
    bool up(base::time_point now, const base::node_id& node);
    void down(const base::node_id& node);
    /// Nullptr when the crew is full.
    member* heard(base::time_point now, const base::node_id& node, const status& said);
    /// As many have seats as the crew admits, this node among them. Who leaves, or is out of reach
    /// and silent, gives its up.
    bool full(base::time_point now) const;
    /// Forgets those that are neither up nor heard of.
    void beat(base::time_point now);

    const member* find(const base::node_id& node) const;
    member* find(const base::node_id& node);
    /// Heard of lately, and not leaving.
    bool present(base::time_point now, const base::node_id& node) const;
    /// Present, or of another group: then nobody here knows.
    bool reachable(base::time_point now, const base::node_id& node) const {
        return present(now, node) || foreign(node);
    }
    bool foreign(const base::node_id& node) const {
        return groups_ != nullptr && groups_->foreign(node);
    }
    /// Who has a seat here and belongs to another group by now gives it up.
    void release_foreign();
    /// Present members by id, without this node.
    std::vector<base::node_id> present(base::time_point now) const;
    /// Calls `see(node, member)` for each of them. Cost: no copy, no search.
    template <class See>
    void each_present(base::time_point now, See&& see) const {
        for (const auto* entry : shown(now)) see(entry->first, entry->second);
    }
    std::uint64_t count_present(base::time_point now) const;
    /// Another number when other members are present, or stand at other rounds, or others are of
    /// other groups.
    std::uint64_t stamp(base::time_point now) const;
    /// Present members that say their crew is full.
    std::size_t count_full(base::time_point now) const { return look(now).full; }
    /// A present member names a full state that it keeps.
    bool anyone_keeps(base::time_point now) const { return look(now).keeps; }
    /// A present member takes part in the work, on the same chronicle.
    bool has_company(base::time_point now) const;
    const std::map<base::node_id, member>& all() const { return members_; }
    /// True when a node is up that has not spoken yet.
    bool expecting() const;
    void check() const;

private:
    using known_member = std::map<base::node_id, member>::value_type;
    /// Who is present. Every event asks several times, and it is seldom others: found again when
    /// somebody came, went, or may have been silent for too long by now.
    struct presence {
        bool known = false;
        base::time_point from{}, until{};  ///< it is right as long
        std::vector<const known_member*> shown;
        std::uint64_t stamp = 0;
        std::size_t full = 0;
        bool keeps = false;
    };
    bool shows(base::time_point now, const member& m) const;
    bool seated(base::time_point now, const member& m) const;
    const presence& look(base::time_point now) const;
    const std::vector<const known_member*>& shown(base::time_point now) const {
        return look(now).shown;
    }

    base::node_id self_;
    std::uint64_t crew_max_, links_max_;
    const crew_timings& timings_;
    const group_map* groups_;
    std::map<base::node_id, member> members_;
    mutable presence presence_;
};

}  // namespace tequio::training::crew_protocol
