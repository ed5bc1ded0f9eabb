#pragma once

/// Who is named with a lane that a team computed: what the first member collects before it claims,
/// and what others hold against a claim that names somebody else, or nobody. Pure.

#include <map>
#include <optional>
#include <set>

#include "base/time.hpp"
#include "training/crew/messages.hpp"

namespace tequio::training::crew_protocol {

/// What a member's team is called to.
struct team_work {
    team_call call;
    base::digest session;
    base::time_point heard;  ///< last
    bool begun = false;      ///< this node has, and says so
};

class team_names {
public:
    /// A call to the own team begins: nobody has heeded it yet.
    void begin() { parts_.clear(); }
    /// A member's signature, which was verified.
    void said(const base::node_id& node, const base::signature& part) { parts_[node] = part; }
    bool has(const base::node_id& node) const { return parts_.contains(node); }
    /// Not everybody who is called to a lane has said yet that it takes part.
    bool owed(const job_shape& shape, const std::optional<team_call>& call) const;
    /// Who is to be named with what came of that call; nobody when it is not of a lane.
    claim_team team(const job_shape& shape, const std::optional<team_call>& call) const;

    /// Who says that it works on a lane, having the first slice of several, has others with it.
    void saw(const job_shape& shape, const base::node_id& node, const status& said);
    /// It names nobody and was not alone.
    bool hides_team(const claim& said) const {
        return said.team.members.empty() && leads_.contains({said.key, said.node});
    }
    /// It hid its team: no more company than whoever is excluded, as long as this process lives.
    void distrust(const base::node_id& node);
    bool distrusts(const base::node_id& node) const { return distrusted_.contains(node); }
    /// From now on whoever holds all of the model computes alone.
    void undivided() { leads_.clear(); }
    void forget_before(std::uint64_t round);
    /// Its key is stored from now on, beside own claims that name it; true the first time.
    bool keep_key(const base::node_id& node) { return keys_kept_.insert(node).second; }

private:
    /// More are not remembered (guess: some rounds of the largest crew).
    static constexpr std::size_t leads_max = 4096;
    static constexpr std::size_t distrusted_max = 4 * crew_members_max;
    std::map<base::node_id, base::signature> parts_;
    std::set<std::pair<item_key, base::node_id>> leads_;
    std::set<base::node_id> distrusted_;
    std::set<base::node_id> keys_kept_;
};

}  // namespace tequio::training::crew_protocol
