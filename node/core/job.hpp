#pragma once

/// One job at this node: its task, its data, its crew, and what the ledger may be asked about it.
/// Private to node/core.

#include <deque>
#include <map>
#include <set>

#include "node/core/node_logic.hpp"

namespace tequio::node {

/// Where a job stands before, during and after its crew.
enum class job_phase { fetching, crewed, ended };

/// The final state on its way from S(0) over the stored means, slice by slice, so that no machine
/// has to hold more of it at a time than one that trains.
struct model_rebuild {
    training::model_slice slice;         ///< in hand
    bool prepared = false;               ///< S(0) of it
    std::uint64_t applied = 0;           ///< rounds, since then
    base::digest state;                  ///< of the slice, by now
    std::vector<base::digest> tensors;   ///< likewise
    bool writing = false;                ///< the shell does, the slice being where it should
    std::optional<base::blob_ref> mean;  ///< waited for
    std::vector<std::vector<base::digest>> done;  ///< tensors of the slices before
};

/// A blob, or a run of its pieces.
using run_of_blob = std::pair<base::blob_ref, base::piece_run>;

/// That a crew waits for one.
struct blob_want {
    std::vector<base::node_id> holders;  ///< of that run: they need not have another
    bool deliver = false;                ///< hand the bytes over
    /// In a crew that may be in groups: since when there is no link to any holder.
    std::optional<base::time_point> out_of_reach;
};

struct held_job {
    base::task_id id;
    std::shared_ptr<const training::task> task;
    std::string note;  ///< as signed
    base::digest note_id;

    job_phase phase = job_phase::fetching;
    std::optional<training::crew> crew;
    training::job_state ended_as = training::job_state::waiting;  ///< counts in phase `ended`
    std::string ended_code;
    std::string ended_reason;
    std::optional<base::unix_time> ended_at;  ///< as first seen; durable
    base::unix_time accepted_at;
    bool left = false;
    bool own = false;  ///< handed in at this node: it keeps its copy for the whole time
    std::optional<base::time_point> expired_since;  ///< its keep time has been over since then
    bool contributions_dropped = false;             ///< in this life, after its end

    /// Of the task's blobs those that the blob store has not confirmed yet; none once the job is
    /// over.
    std::set<base::blob_ref> missing;
    base::time_point data_retry = base::time_point::max();  ///< when to look for them again
    std::string no_room;                      ///< why the last blob looked for may not be fetched
    std::string no_room_code;                 ///< likewise, stable: no_room, traffic_used_up
    std::map<run_of_blob, blob_want> wanted;  ///< what the crew waits for
    /// Blobs that another job of the same recipe has dropped while this one was open: gone with it.
    std::set<base::blob_ref> dropped_by_twin;
    std::optional<training::work_item> waiting_work;  ///< asked for by the crew, not begun

    // The final model: made once the crew is done. After a restart the worker holds no state, and
    // of a divided model never all of it: then it is rebuilt.
    bool exporting = false;
    base::time_point export_retry =
        base::time_point::max();  ///< after a failure: when to try again
    std::optional<model_rebuild> rebuild;
    std::map<std::string, base::blob_ref> files;
    std::vector<refusal> refusals;

    /// What receipts may say that others draft about this node's work: by round and the key of the
    /// statement, `digest_of` all of it. Durable, for a check is recorded once.
    std::map<std::pair<std::uint64_t, base::digest>, base::digest> checked_here;

    traffic_sum traffic;       ///< since the task came
    traffic_sum traffic_kept;  ///< as remembered last

    // Speed, for people.
    std::uint64_t rounds_seen = 0;
    base::time_point round_at;
    double seconds_a_round = 0;
};

/// The crew's configuration for `task` at node `self`.
training::crew_config crew_config_of(const training::task& task, const base::task_id& id,
                                     const p2p::identity& self, const node_logic_config& o);

/// What receipts say about a checked lane, one for each node that computed it or a slice of it.
/// Where a team did, the first of the other side is who checked each of its members; it is the
/// checker of the lane, and of the check as work of its own (kind `check`) the worker. Who checked
/// its own slice has it unchecked. `recorded` is this node's own view of it.
std::vector<ledger::receipt_facts> receipts_of(const held_job& j,
                                               const training::check_recorded& recorded);

/// SHA-256 over everything that a receipt says of the work.
base::digest digest_of(const ledger::receipt_facts& facts);

/// What the signed round record of an unanswered receipt says: the commitments of both sides, as
/// text.
base::byte_vector round_record_of(const held_job& j, const training::check_recorded& recorded);

/// True while it is neither ended, done nor failed.
bool is_open(const held_job& j);

/// The job for the functions of retention.hpp. Cost: a copy of its chronicle.
stored_job stored_of(const held_job& j, const p2p::network& network);

/// Nodes that hold these slices, among as many as `crew` divides the model into, could go on by
/// themselves: where the model is divided, or can be, that takes a holder of every slice until the
/// job is done.
bool goes_on_with(const training::recipe& r, const training::crew_view& crew,
                  const std::set<std::uint32_t>& slices);

job_view view_of(const held_job& j, const p2p::network& network);

/// Notes the end of a round for the speed shown to people.
void observe_speed(held_job& j, base::time_point now);

}  // namespace tequio::node
