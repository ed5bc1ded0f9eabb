#pragma once

/// What a node does an item of work for.

#include "training/crew.hpp"
#include "training/crew/messages.hpp"

namespace tequio::training::crew_protocol {

/// Why an item is in hand.
enum class purpose {
    prepare,      ///< S(0)
    item,         ///< handed out by the steward
    own_lane,     ///< a contribution that the own exchange misses
    own_sum,      ///< closing a round, or making a lost mean again
    audit_lane,   ///< a contribution that the audit misses
    audit_sum,    ///< checking another's merge
    shard_lane,   ///< a contribution that an own shard misses
    shard_sum,    ///< an own shard of the open round
    lane_sums,    ///< in groups: of some lanes, over an own run of units
    add_sums,     ///< in groups: a part out of such sums
    join,         ///< the open round's sum, from its parts
    apply_entry,  ///< the next entry's mean, or one applied before a restart
    apply_own,    ///< the own sum's mean, to learn state_after
    apply_ahead,  ///< the open round's mean to a slice, to tell the others what it comes to
    keep_state,   ///< S(applied) for newcomers
    load_state,   ///< a full state in place of the means before it
    called,       ///< part of what this node's team works on
    again,        ///< a lane whose contribution nobody can give to whoever asked the steward
};

struct in_hand {
    work_item work;
    purpose why = purpose::prepare;
    item_key key;
    std::uint64_t steps = 0, steps_total = 0;
};

}  // namespace tequio::training::crew_protocol
