#pragma once

/// Commit, then open. A claim commits its node to the trace behind its result; two nodes that claim
/// the same lane show each other their traces, the worker first, so that a checker cannot copy.
/// What comes of it is one record a pair, which the ledger makes a receipt of.
///
/// Who had a slice of what another claims learns of its check from the claims alone.
///
/// Worker and checker: a claim `of` another's is its check; of two claims on nothing, the one of
/// the smaller node id is the work.

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "training/crew/roster.hpp"
#include "training/crew/round_book.hpp"

namespace tequio::training::crew_protocol {

/// What is recorded of a lane as its worker claims it, unchecked and without its trace.
check_recorded record_of(const claim& worker);

class check_desk {
public:
    check_desk(const job_shape& shape, base::node_id self, const crew_timings& timings)
        : shape_(shape), self_(self), timings_(timings) {}

    /// The trace behind this node's own claim.
    void own_trace(item_key key, const base::digest& trace);
    /// Claims on this lane changed: begins what can begin. Results that differ are recorded at
    /// once.
    void pair_up(base::time_point now, const round_book& book, std::uint32_t lane,
                 std::vector<crew_effect>& out);
    /// What to say to whom.
    struct saying {
        base::node_id to;
        item_key key;
        bool show = false;  ///< this node's opening; otherwise ask for theirs, with the own claim
    };
    /// A member asks for this node's opening. True when it has claimed the same result, so may see.
    bool may_show(const round_book& book, item_key key, const base::node_id& to) const;
    /// An opening whose signature was verified. True when this node's is due in answer.
    bool heard(const round_book* book, const opening& o, std::vector<crew_effect>& out);
    /// Repeats what was not answered; gives up at the time-out.
    std::vector<saying> beat(base::time_point now, std::vector<crew_effect>& out);
    /// Pairs open with nodes that are here to answer.
    bool waiting(base::time_point now, const roster& members) const;
    /// This node's claim on the lane was checked, or refuted, by another.
    bool has_checker(item_key key) const;
    std::optional<base::digest> trace(item_key key) const;
    void forget_before(std::uint64_t round);
    void check() const;

private:
    struct pair {
        bool worker = false;  ///< this node is
        bool done = false;
        base::time_point since;
        std::optional<base::time_point> said;
        check_recorded record;
    };
    void finish(pair& p, check_verdict verdict, std::vector<crew_effect>& out);
    void look_on(const round_book& book, std::uint32_t lane, std::vector<crew_effect>& out);

    job_shape shape_;
    base::node_id self_;
    const crew_timings& timings_;
    std::map<item_key, base::digest> traces_;
    std::map<std::pair<item_key, base::node_id>, pair> pairs_;
    /// Pairs of claims, worker and checker, in which this node has part as another's member.
    std::set<std::pair<item_key, std::pair<base::node_id, base::node_id>>> looked_on_;
};

}  // namespace tequio::training::crew_protocol
