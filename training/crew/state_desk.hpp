#pragma once

/// Full states (states.md): those that this node keeps for newcomers, and the one that it goes on
/// from itself, in place of the means before it.

#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "training/crew/blob_desk.hpp"
#include "training/crew/catch_up.hpp"
#include "training/crew/lottery.hpp"
#include "training/crew/messages.hpp"
#include "training/crew/roster.hpp"

namespace tequio::training::crew_protocol {

/// On the way to a full state.
struct state_jump {
    named_state to;
    std::set<base::node_id> from;  ///< who named it; empty: it is on this node's disk
    bool ready = false;            ///< the state is here, and the entries before it
    std::uint64_t entries = 0;     ///< of those, that are here without a gap
    base::time_point chosen;       ///< the first time
    base::time_point moved;        ///< when there came one
    base::time_point look_at;      ///< for them

    bool own() const { return from.empty(); }
};

class state_desk {
public:
    /// No states are kept or fetched where the job has none or its model can be divided.
    state_desk(const crew_config& config, const job_shape& shape);

    /// What a look takes into account.
    struct surroundings {
        base::time_point now;
        std::uint64_t applied = 0, settled = 0;
        const roster& members;
        const standing_book& standing;
        catch_up& chain;
        blob_desk& blobs;
    };

    /// What the disk held, as far as the chronicle reaches: the node may have died on the way.
    void load(const crew_states& stored, const catch_up& chain);
    std::uint64_t means_from() const { return means_from_; }
    std::vector<base::blob_ref> blobs() const;
    /// The newest of a settled round: who goes on from there passes every state that a check may
    /// still need. With a later one nobody could check the rounds before it once all came back.
    std::optional<named_state> newest(std::uint64_t settled) const;

    /// The newest state is to be kept: nothing is built on it yet, so the worker has all of it.
    bool due(std::uint64_t applied, const catch_up& chain) const;
    /// Lets go of the oldest, so that with the one in the making there are as many as are kept.
    void make_room(blob_desk& blobs, std::vector<crew_effect>& out);
    /// The state of that round was written, to this blob.
    void kept(std::uint64_t round, const base::blob_ref& blob, const catch_up& chain,
              blob_desk& desk, std::vector<crew_effect>& out);
    /// It could not be. The next may have room again.
    void not_kept(std::uint64_t round) { tried_ = round; }

    const std::optional<state_jump>& jump() const { return jump_; }
    /// Chooses a state to go on from, where one is worth while, and sees to it that it and the
    /// entries before it come. Returns why the chosen one is of no use; empty when it may be.
    std::string look(const surroundings& s, std::vector<crew_effect>& out);
    /// The worker holds what is in the blob, and it is what the chronicle says. `passed`: of
    /// entries before it whose means were never here. Names it before those entries are stored:
    /// whatever of them is when this node dies, it knows which means it does not have.
    void arrived(bool passed, catch_up& chain, blob_desk& blobs, std::vector<crew_effect>& out);
    /// The chosen one is not asked for again.
    void refuse(catch_up& chain, blob_desk& blobs, std::vector<crew_effect>& out);
    void end_jump(catch_up& chain);
    void check(const catch_up& chain) const;

private:
    std::uint64_t means_missing(std::uint64_t round, const surroundings& s) const;
    std::optional<state_jump> best(const surroundings& s) const;
    void choose(const surroundings& s, std::vector<crew_effect>& out);
    std::string look_along_the_way(const surroundings& s);
    void add(const named_state& state, blob_desk& blobs, std::vector<crew_effect>& out);
    void drop(std::size_t left, blob_desk& blobs, std::vector<crew_effect>& out);
    void store(std::vector<crew_effect>& out) const;

    std::uint64_t bytes_, spacing_;
    std::uint64_t rounds_, mean_bytes_;
    base::duration beat_;
    std::vector<named_state> kept_;  ///< by round
    std::uint64_t means_from_ = 0;   ///< means of earlier rounds were never here
    std::uint64_t tried_ = 0;        ///< S of that round could not be written
    std::optional<state_jump> jump_;
    std::deque<base::blob_ref> refused_;
};

}  // namespace tequio::training::crew_protocol
