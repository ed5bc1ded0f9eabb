#pragma once

/// Joins the cores into one node: peers and blobs (p2p), crews (training), receipts (ledger), and
/// the owner's policy. Pure: no clock, socket, disk or thread inside, so a whole swarm of these
/// runs in one thread on virtual time.
///
/// Rules for the shell that carries effects out:
///  1. In order. What stands behind a `keep` or `put_blob` happens after it is durable, so nothing
///  leaves this machine
///     that it could contradict after kill -9.
///  2. `store_piece` and `confirm_blob` go through one queue: a blob is confirmed after its pieces
///  are stored.
///  3. At most one `begin_compute` is unanswered; `stop_compute` makes the answer come early.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/rng.hpp"
#include "ledger/receipt_desk.hpp"
#include "node/core/node_config.hpp"
#include "node/core/retention.hpp"
#include "node/core/traffic_record.hpp"
#include "node/governor/governor.hpp"
#include "node/governor/release_ladder.hpp"
#include "p2p/network.hpp"
#include "training/crew.hpp"
#include "training/task.hpp"
#include "training/team.hpp"

namespace tequio::node {

/// Readings of both clocks at an event.
struct moment {
    base::time_point now;
    base::unix_time wall;
};

// Events: what the shell saw.

/// Answer to `look_up_blob`.
struct blob_looked_up {
    base::blob_ref ref;
    bool whole = false;
    std::vector<bool> have;  ///< a flag a piece
    /// Why the rest may not be fetched: there is no room. Empty: it may.
    std::string no_room = {};
};
/// Answer to `confirm_blob`: the blob, or that run of its pieces, is here (a whole one durable);
/// `bytes` when they were asked for.
struct blob_confirmed {
    base::blob_ref ref;
    base::byte_vector bytes;
    base::piece_run pieces = {};
};
/// Answer to `confirm_blob` or `store_piece` that could not be carried out (disk full, damage).
struct blob_lost {
    base::blob_ref ref;
    std::string reason;
};
/// Answer to `begin_compute`.
struct compute_answer {
    base::task_id task;
    training::work_item item;
    base::result<training::work_outcome> outcome;
    base::duration computed = {};  ///< without waiting for others of a team
};
/// The states of this job were let go of (`release_states`): no worker holds them any more.
struct compute_states_lost {
    base::task_id task;
};
/// The worker, as a member of a team, says something to another one.
struct team_said {
    base::task_id task;
    base::digest session;
    std::uint32_t to = 0;  ///< by index
    training::team_tag tag;
    p2p::shared_bytes body;
};
enum class team_note_kind : std::uint8_t {
    taken,  ///< the worker took the oldest message of that member
    waits,  ///< nothing can be computed before that member says or takes something
    blames  ///< that member sent what was not due, or nothing that a slice can have computed
};
struct team_note {
    base::task_id task;
    base::digest session;
    std::uint32_t member = 0;  ///< by index
    team_note_kind what = team_note_kind::taken;
};
struct compute_progress {
    base::task_id task;
    std::uint64_t steps = 0;
    std::uint64_t steps_total = 0;
};
/// Answer to `ledger_write`.
struct ledger_written {
    std::uint64_t request = 0;
    ledger::write_outcome outcome;
};
/// Answer to `export_model`: the folder's files as blobs, durable; nothing when it could not be
/// made. Before the last slice: nothing, without a failure.
struct model_exported {
    base::task_id task;
    std::map<std::string, base::blob_ref> files;
    std::string failure;
};
/// The release ladder tells the crews (`tell_crews`): how much of the machine is still held.
struct machine_released {
    release_level level = release_level::working;
};
/// What this node's connection does, as far as it is known by now.
struct connection_seen {
    std::uint64_t up = 0;            ///< bytes a second; 0: not known
    base::duration round_trip = {};  ///< median over the links; zero: not known
};
struct node_tick {};

using node_event =
    std::variant<p2p::network_event, blob_looked_up, blob_confirmed, blob_lost, compute_answer,
                 compute_states_lost, compute_progress, team_said, team_note, ledger_written,
                 model_exported, machine_released, connection_seen, node_tick>;

// Effects: what the shell must do (the rules above). p2p's own effects that touch the world pass
// through as they are.

struct look_up_blob {
    base::blob_ref ref;
};
struct confirm_blob {
    base::blob_ref ref;
    bool deliver = false;
    base::piece_run pieces = {};
};
struct put_blob {
    base::blob_ref ref;
    base::byte_vector bytes;
};
struct drop_blob {
    base::blob_ref ref;
};
/// One durable change; an absent value forgets the key.
struct keep {
    std::string bucket;
    std::string key;
    std::optional<std::string> value;
};
/// All keys of a bucket are forgotten, durably like `keep`.
struct forget_bucket {
    std::string bucket;
};
struct ledger_write {
    std::uint64_t request = 0;
    ledger::store_write what;
};
struct begin_compute {
    base::task_id task;
    training::work_item item;
};
struct stop_compute {
    base::task_id task;
};
/// What member `from` of the team says to the worker of this item: what stands behind the tag in
/// `bytes`. It may come before the worker has begun, and at most training::team_messages_max of one
/// member wait.
struct team_deliver {
    base::task_id task;
    base::digest session;
    std::uint32_t from = 0;
    training::team_tag tag;
    base::byte_vector bytes;  ///< training::team_tag_bytes, then the message
};
/// Member `by` has taken a message of the worker's.
struct team_credit {
    base::task_id task;
    base::digest session;
    std::uint32_t by = 0;
};
/// The task's blobs are whole: a worker may be started for it. `close_compute` ends that.
struct open_compute {
    base::task_id task;
    std::shared_ptr<const training::task> what;
};
struct close_compute {
    base::task_id task;
};
/// Write the worker's slice of the final state into the file of the model's weights; with the last
/// slice (or the whole) make the rest of the folder, and store its files as blobs.
struct export_model {
    base::task_id task;
    training::crew_view facts;
    training::model_slice slice;
    base::digest state;  ///< of that slice
};
enum class log_level { error, warn, info, debug };
struct log_line {
    log_level level = log_level::info;
    std::string text;
};

using node_effect =
    std::variant<p2p::link_send, p2p::dial, p2p::close_link, p2p::read_piece, p2p::store_piece,
                 look_up_blob, confirm_blob, put_blob, drop_blob, keep, forget_bucket, ledger_write,
                 begin_compute, stop_compute, team_deliver, team_credit, open_compute,
                 close_compute, export_model, log_line>;
using node_effects = std::vector<node_effect>;

/// What `keep` stored, as it is found at the next start: (bucket, key) -> value.
using node_memory = std::map<std::pair<std::string, std::string>, std::string>;

/// For how long a member of a team waits for another, from the last that moved of that one's
/// messages. Guesses; what a machine takes for its share of a micro-batch nobody knows beforehand.
struct team_patience {
    base::duration first = std::chrono::minutes(5);   ///< before any message came
    base::duration least = std::chrono::seconds(60);  ///< afterwards at least this,
    int times = 8;                                    ///< or this many of the longest waits so far
};

/// What this node offers to jobs whose model is divided.
struct slice_room {
    std::uint64_t memory_bytes = 0;
    /// What a slice, its states and a lane of it take of that; pure. Empty: this node takes part in
    /// no division.
    std::function<std::uint64_t(const training::task& task, training::model_slice slice)>
        need_bytes = {};
};

struct node_logic_config {
    p2p::network_config network;
    training::crew_timings crew;
    team_patience team;
    slice_room room;
    ledger::desk_config desk;
    base::swarm_id swarm;   ///< zero: the nameless one
    std::string exactness;  ///< identity of this program's arithmetic
    training::task_policy accept;
    std::uint64_t jobs_per_submitter = 4;
    disk_limits disk;
    std::uint64_t hours_per_job = 168;
    std::size_t jobs_max = 64;  ///< open at a time; guess; further tasks are refused
    /// As `crew_config::group_max`; alike at all nodes.
    std::uint64_t group_max = training::crew_members_max;
    bool exact = true;  ///< false when this machine failed its self-test: it takes no work
};

/// `network.monthly_traffic` in bytes, and when the next month begins.
struct traffic_used_up {
    std::uint64_t limit = 0;
    base::unix_time until;
    bool operator==(const traffic_used_up&) const = default;
    /// A sentence for people.
    std::string reason() const;
};

// Views: copies for people.

struct refusal {
    base::node_id node;
    std::string reason;
};

/// "waiting", "running", "done", "failed" or "cancelled".
const char* job_state_name(training::job_state state);

struct job_view {
    base::task_id id;
    std::shared_ptr<const training::task> task;
    training::crew_view crew;  ///< state, reason and progress; set for jobs without a crew too
    bool data_here = false;
    std::uint64_t pieces_here = 0;  ///< of the task's blobs, while they arrive
    std::uint64_t pieces = 0;
    std::uint64_t data_copies = 0;  ///< nodes known to hold everything, this one included
    bool safe_to_leave = false;
    std::vector<refusal> refusals;
    double tokens_per_second = 0;
    double eta_seconds = 0;
    traffic_sum traffic;  ///< messages and blobs of this job, over all restarts
    std::map<std::string, base::blob_ref> files;  ///< of the final model, once it is made
};

/// What the node as a whole does.
struct activity_view {
    std::string state;  ///< idle | working | paused | draining | refusing
    /// Stable: no_work, job, paused_by_owner, draining, self_test_failed, traffic_used_up.
    std::string reason_code;
    std::string reason;
    base::unix_time since;
    std::optional<base::unix_time> until;
};

class node_logic {
public:
    /// `self` must outlive this. `log_offers`: what the ledger's store still holds open.
    node_logic(node_logic_config config, const p2p::identity& self, node_memory memory,
               std::vector<ledger::open_offer> log_offers, moment at, base::rng rng);
    ~node_logic();

    /// Applies one event; appends what should happen to `out`. What peers do wrong is dealt with
    /// inside.
    void handle(moment at, node_event event, node_effects& out);
    /// `handle(at, node_tick{}, out)` is due by then; at once after construction.
    base::time_point next_deadline() const;
    /// Aborts when an invariant is broken. For tests.
    void check() const;

    // What people ask for. Errors are sentences for them; the state is then unchanged.

    /// Takes up a task of this node's own user and spreads it. Its blobs are in the blob store.
    base::result<base::task_id> submit(moment at, std::string_view note, node_effects& out);
    /// Applies and spreads a submitter's cancellation note.
    base::result<void> cancel(moment at, std::string_view note, node_effects& out);
    base::result<void> leave(moment at, const base::task_id& id, node_effects& out);
    /// Takes no more work and tells the crews so; what is in hand is kept, and it is the release
    /// ladder that takes the machine away from it (`owner` is what the governor goes by).
    void pause(moment at, std::optional<base::unix_time> until, node_effects& out);
    void resume(moment at, node_effects& out);
    void drain(moment at, node_effects& out);
    owner_wish owner() const;
    /// What the owner accepts from now on; jobs that are here already stay.
    void set_policy(const node_logic_config& policy);
    /// How full the disk is, for weighing tasks. Tell it now and then.
    void set_disk(const disk_use& use);
    /// The month's traffic is used up until then: no job's blobs are fetched or served, nothing is
    /// computed, no job is taken up; messages and gossip go on. Nothing: it is not, or no longer.
    void set_traffic_used_up(moment at, std::optional<traffic_used_up> used, node_effects& out);
    /// From now on tasks of this swarm are taken up.
    void set_swarm(const base::swarm_id& swarm);
    /// Bytes of jobs counted since they were kept last: what a node that ends still writes.
    std::vector<keep> unkept_traffic() const;
    /// True when drained: nothing is in hand and no receipt waits.
    bool drained() const;

    /// The job whose id begins with these hexadecimal digits (at least 4). Errors: none, or more
    /// than one.
    base::result<base::task_id> find(std::string_view id_prefix) const;
    std::vector<job_view> jobs() const;
    base::result<job_view> job(const base::task_id& id) const;
    /// The task's note as it was signed.
    base::result<std::string> task_note(const base::task_id& id) const;
    /// What is stored of each job. Cost: copies of all chronicles.
    std::vector<stored_job> stored_jobs() const;
    /// Errors: `errc::refused` for a job that is not over, `errc::not_found`.
    base::result<void> may_prune(const base::task_id& id) const;
    /// Forgets the jobs that `survey` found expired and lets its spare blobs go, but for what has
    /// come to be needed since.
    void prune(moment at, const store_survey& survey, node_effects& out);
    activity_view activity() const;
    const p2p::network& network() const;

    class state;  ///< the inside, in node_state.hpp: private to node/core and its tests

private:
    std::unique_ptr<state> state_;
};

}  // namespace tequio::node
