#pragma once

/// The crew protocol: how the nodes working on one job share it out, with no coordinator in charge.
/// A pure state machine, one a job and node; training/crew/README.md holds message table, states
/// and invariants. Rules, each for a reason:
///
/// 1. State, not steps. Every message may be lost, repeated, late; nodes send what the other lacks.
/// 2. Leadership is a hint. A result is a pure function of the recipe: two stewards only waste
/// work.
/// 3. Facts are signed, hints are not. A node signs one fact a kind and item, ever, and stores it
///    before it sends it: **the shell carries effects out in order, and nothing behind a `store_*`
///    or `put_blob` happens before that is durable.**
/// 4. Everything has a cap; at the cap the new thing is refused.
///
/// Threads: one crew belongs to one thread. Nothing here blocks.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/blob.hpp"
#include "base/rng.hpp"
#include "base/signing.hpp"
#include "base/time.hpp"
#include "training/chronicle.hpp"
#include "training/contribution.hpp"

namespace tequio::training {

/// What the worker process can be asked. States are named by their digest: the worker holds those
/// that it last arrived at (at least `crew_config::settle` + 1 before the newest), so that `check`
/// and `apply` of recent rounds find theirs; it answers `work_failed` when it has not.
enum class work_kind {
    prepare,           ///< make S(0); outcome: state_after
    lane,              ///< run_lane; outcome: blob or divergence, loss, trace
    check,             ///< the same, of a lane that another node has claimed
    validation,        ///< loss of S(round); outcome: loss, or divergence when it is not finite
    check_validation,  ///< the same again
    sum,               ///< inputs: contributions in lane order; outcome: blob (the mean), sum, loss
    apply,             ///< inputs: {mean}: S(round) -> S(round + 1); outcome: state_after
    /// inputs: contributions in lane order, of which the pieces that `units` need are here;
    /// outcome: blob (the part, training/merge.hpp)
    sum_shard,
    join,  ///< inputs: parts in the order of their units; outcome: as of `sum`
    /// inputs: contributions of the lanes of `sums[0]`, in lane order, of which the pieces that its
    /// units need are here; outcome: blob (the sums, training/merge.hpp)
    sum_lanes,
    /// inputs: such sums, as `sums` names them, each lane in one of them, of which the pieces that
    /// `units` need are here; outcome: blob (the part)
    add_sums,
    /// S(round), the newest that the worker holds, written to a blob (training/full_state.hpp);
    /// outcome: blob
    keep_state,
    /// inputs: {such a blob of S(round)}: the worker then holds what is in it; outcome:
    /// state_after, zero when the blob is no state of this recipe and round
    load_state,
};

/// Whether such work starts from a state that the worker has to hold.
constexpr bool needs_state(work_kind kind) {
    return kind != work_kind::prepare && kind != work_kind::sum && kind != work_kind::sum_shard &&
           kind != work_kind::join && kind != work_kind::sum_lanes && kind != work_kind::add_sums &&
           kind != work_kind::load_state;
}

/// Which slice of the model: number `index` of `count`, as `choose_slices` divides it. {0, 1} is
/// all of it.
struct model_slice {
    std::uint32_t index = 0;
    std::uint32_t count = 1;
    bool whole() const { return count == 1; }
    auto operator<=>(const model_slice&) const = default;
};

/// One piece of work. The blobs in `inputs` are in the local store when it begins.
struct work_item {
    work_kind kind = work_kind::prepare;
    base::round_index round;
    base::lane_index lane;
    /// Of S(round), or of the tensors of it that `slice` has, digested as a state of those alone;
    /// zero for prepare and sums, which need none.
    base::digest state;
    std::vector<base::blob_ref> inputs;
    contribution_run units = {};  ///< `sum_shard`, `add_sums`: of the mean; else none
    /// Of the state that it starts from or makes; a worker holds one slice at a time.
    model_slice slice = {};
    /// Lanes and validations of a slice: which node has which, by index; `slice.index` is this
    /// node. The first leads: the whole result is put together there, and nowhere else.
    std::vector<base::node_id> team = {};
    /// Names this attempt: what members of a team send one another bears it.
    base::digest session = {};
    std::vector<partial_sums> sums = {};  ///< `sum_lanes`, `add_sums`
    bool operator==(const work_item&) const = default;
};

/// What came of it. The shell has put `blob` into the local blob store before it reports.
struct work_outcome {
    base::digest state_after, trace, sum;
    base::blob_ref blob;
    std::optional<diverged> divergence;
    double loss = 0;
    contribution_counts counts;  ///< of `blob`: for people
    /// `prepare` and `apply` of a slice: digests of its tensors, in order of name; `state_after` is
    /// then that of those tensors alone.
    std::vector<base::digest> tensors = {};
    bool operator==(const work_outcome&) const = default;
};

// Events: what the shell saw.

/// Bytes that the crew of node `from` sent for this job.
struct crew_message {
    base::node_id from;
    base::byte_vector bytes;
};
/// A node that may work on this job can be reached. `certificate`: its root key's statement on its
/// message key, as `crew_keys::verify_certificate` reads it.
struct member_up {
    base::node_id node;
    base::byte_vector certificate;
};
struct member_down {
    base::node_id node;
};
struct work_done {
    work_item item;
    work_outcome outcome;
    /// That this node itself computed for it, without waiting for others; zero: not known.
    base::duration computed = {};
};
/// The worker could not, or this machine would not. Tried again after a while.
struct work_failed {
    work_item item;
    std::string reason;
};
/// The worker holds no state any more: the memory was wanted. Whatever is in hand is stopped; from
/// the next item on everything is made again as after a restart, from S(0) by the stored means.
struct states_lost {};
/// For people only: steps finished of the item in hand.
struct work_progress {
    std::uint64_t steps = 0;
    std::uint64_t steps_total = 0;
};
/// What this node's connection has been seen to do; hints for whoever composes teams.
struct links_measured {
    std::uint64_t up = 0;  ///< bytes a second; 0: not known
    /// Its part of a message's way to another node, one way: a quarter of the median round trip.
    base::duration delay = {};
};
/// A fetched blob, or the pieces of it that were asked for, are complete in the local store; at
/// once when they were there already. `bytes` only when the fetch asked to have them.
struct blob_ready {
    base::blob_ref ref;
    base::byte_vector bytes;
    base::piece_run pieces = {};
};
struct blob_failed {
    base::blob_ref ref;
    std::string reason;
    base::piece_run pieces = {};
};
enum class crew_command {
    pause,   ///< stop the work in hand now, take none; go on answering
    resume,  ///< undo pause, suspend and drain
    drain,   ///< finish the work in hand, take no more
    leave,   ///< for good: say so to the others, then only answer
    cancel,  ///< the submitter's cancellation arrived (the shell verified it)
    /// The machine is wanted by its owner: take no work, and say so to the others, so that the lane
    /// in hand goes to one of them in time; but keep that lane parked. After `resume` it goes on
    /// where it stood, unless others have settled it meanwhile (then `stop_work` comes at once).
    suspend,
    go_on,  ///< undo pause and suspend; what drains goes on draining
};
/// Time has passed; due by `next_deadline`.
struct crew_tick {};

using crew_event =
    std::variant<crew_message, member_up, member_down, work_done, work_failed, states_lost,
                 work_progress, links_measured, blob_ready, blob_failed, crew_command, crew_tick>;

// Effects: what the shell must do, in order (rule 3).

/// To one member, over whatever link there is; lossy.
struct send_crew {
    base::node_id to;
    base::byte_vector bytes;  ///< at most crew_message_max_bytes
};
/// At most one item is in hand: never before the last one was reported or stopped.
struct begin_work {
    work_item item;
};
/// Give up the item in hand. A report of it that is on its way is harmless.
struct stop_work {};
/// Answer with `blob_ready` or `blob_failed`, now or after any time. Asking twice is harmless; the
/// later list of holders replaces the earlier. Several runs of pieces of one blob are several
/// fetches, each with its answer.
struct fetch_blob {
    base::blob_ref ref;
    std::vector<base::node_id> holders;  ///< best guess; other than this node
    bool deliver = false;                ///< put the bytes into `blob_ready` (small blobs only)
    base::piece_run pieces = {};
};
/// Not needed by this job any more: end its fetches, and let the store forget it.
struct drop_blob {
    base::blob_ref ref;
};
/// Keep a small blob (the text of a chronicle entry) and serve it to others.
struct put_blob {
    base::blob_ref ref;
    base::byte_vector bytes;
};
/// Durable memory: the last value stored under a key comes back in `crew_memory`.
struct store_fact {
    std::string key;  ///< at most 80 bytes, printable
    base::byte_vector bytes;
};
struct forget_fact {
    std::string key;
};
/// Entry number `entry.round` of the chronicle; never another one for that round.
struct store_entry {
    chronicle_entry entry;
};
/// Every check of the round that was due was made, or there was no second node to make it.
struct round_settled {
    base::round_index round;
    std::uint64_t lanes_checked = 0;
    std::uint64_t lanes_unchecked = 0;
};
enum class check_verdict {
    matched,     ///< both computed the same, and each showed the other its trace
    refuted,     ///< the results differ, or the traces do
    unanswered,  ///< the results are alike, but the other side did not show its trace in time
    unchecked,   ///< nobody drew its check, or no second node was there; `checker` is zero
};
/// A lane's check as one of its two sides saw it: what the ledger makes receipts of. Once a
/// (round, lane) and process; again after a restart. Of teams each member has it; `worker` and
/// `checker` are the first ones, whose claims it is about. The others see results, not traces.
struct check_recorded {
    base::round_index round;
    base::lane_index lane;
    base::node_id worker;
    base::node_id checker;
    check_verdict verdict = check_verdict::unchecked;
    base::digest state;
    base::digest result;          ///< the worker's: contribution root, or digest of a divergence
    base::digest checker_result;  ///< zero when unchecked
    base::digest trace;           ///< the worker's; zero when it was not shown
    base::digest commitment;      ///< the worker's
    base::digest checker_commitment;
    std::vector<base::node_id> workers = {};   ///< by slice, each with its consent; one: alone
    std::vector<base::node_id> checkers = {};  ///< likewise; none when unchecked
};
/// A settled round said something about a node's work: one for each node that it is about, in the
/// same batch as the facts of that settling, so that a shell which makes them durable together
/// counts no round twice.
struct standing_changed {
    base::node_id node;
    std::uint64_t matched = 0;  ///< of its results so many more were found right
    bool contradicted = false;  ///< one of its results is not what stands: it begins again
    bool refuted = false;       ///< this node computed one itself and came to another
};
enum class job_state { waiting, running, done, failed, cancelled };
struct job_finished {
    job_state state = job_state::done;
    std::string reason;
};
/// Something for people changed; ask `view`.
struct crew_progress {};

using crew_effect = std::variant<send_crew, begin_work, stop_work, fetch_blob, drop_blob, put_blob,
                                 store_fact, forget_fact, store_entry, round_settled,
                                 check_recorded, standing_changed, job_finished, crew_progress>;

inline constexpr std::size_t crew_message_max_bytes = 64 * 1024;
/// Nodes that share their statuses: a crew, or one of the groups of a larger one.
inline constexpr std::uint64_t crew_members_max = 64;
/// Nodes of a crew in groups.
inline constexpr std::uint64_t crew_groups_nodes_max = 1024;
inline constexpr std::uint64_t crew_settle_max = 64;
/// Largest text of a chronicle entry: 65,536 lanes of 77 bytes, and the rest.
inline constexpr std::uint64_t crew_entry_max_bytes = 65536 * 77 + 4096;

/// Signing and checking, as pure functions.
struct crew_keys {
    /// Signs with this node's message key.
    std::function<base::signature(base::byte_view)> sign;
    /// This node's own certificate, at most 1 KiB.
    base::byte_vector certificate;
    /// The message key of `node` when its root key certified it so.
    std::function<base::result<base::public_key>(const base::node_id& node,
                                                 base::byte_view certificate)>
        verify_certificate;
    /// True when `key` signed `message`. Nothing: `base::signature_verifies`. A simulation, where
    /// all nodes verify the same facts in one process, may remember the answer.
    std::function<bool(const base::public_key& key, base::byte_view message,
                       const base::signature& signature)>
        verify = {};
};

/// Every default that is not explained is a guess.
struct crew_timings {
    base::duration beat = std::chrono::milliseconds(500);   ///< period of hints
    base::duration silent_after = std::chrono::seconds(5);  ///< its lanes go to others
    base::duration forget_after = std::chrono::minutes(5);  ///< a member unheard of
    base::duration steward_lost = std::chrono::seconds(2);  ///< without a word from the steward
    base::duration steward_rank = std::chrono::milliseconds(500);  ///< more, per place in the rank
    base::duration owner_patience = std::chrono::seconds(30);  ///< then others close the round too
    base::duration fetch_retry = std::chrono::seconds(1);      ///< rises by itself at each failure
    base::duration opening_timeout = std::chrono::seconds(10);
    base::duration work_retry_min = std::chrono::seconds(1);  ///< doubles at each failure
    base::duration work_retry_max = std::chrono::seconds(60);
};

/// What the owner of a shard needs and makes (`shard_extent`).
struct crew_shard {
    contribution_run lane_units;  ///< pieces of every contribution
    std::uint64_t part_bytes = 0;
};

/// What published sums come to (`partial_extent_of`).
struct crew_sums {
    std::uint64_t bytes = 0;
    contribution_run pieces;  ///< of them, for a shard
};

/// What this node thinks of a node's work from other jobs.
struct crew_standing {
    base::node_id node;
    std::uint64_t matched = 0;  ///< of its results so many were found right
    /// One was found wrong, not long ago: each of its lanes is looked at, whatever it matches.
    bool refuted = false;
};

/// The most slices that a crew divides a model into.
inline constexpr std::uint32_t crew_slices_max = 32;

/// What a lane takes of the members of a team. Pure.
struct crew_lane_load {
    /// Floating-point operations; nothing: of all slices alike.
    std::function<std::uint64_t(model_slice)> work = {};
    /// Bytes that it sends while the lane goes on; nothing: none.
    std::function<std::uint64_t(model_slice)> sends = {};
    std::uint64_t contribution = 0;   ///< bytes, of which the first gets what it lacks at the end
    std::uint64_t steps = 0;          ///< how often it passes through all slices and back
    std::uint64_t micro_batches = 0;  ///< of a step; 0: passing takes no time
};

/// How a job can be divided among nodes that cannot hold all of it (DESIGN.md section 7). All
/// functions are pure.
struct crew_slicing {
    std::uint32_t max = 1;           ///< slices; 1: never divided. Lowered to crew_slices_max
    std::uint64_t memory_bytes = 0;  ///< what this node offers for a slice's state and work
    /// What that takes of this node.
    std::function<std::uint64_t(model_slice)> need_bytes = {};
    crew_lane_load lane = {};
    /// The digest of a state from those of its tensors, slice by slice as `work_outcome::tensors`
    /// has them. Errors: lists that do not fit the model.
    std::function<base::result<base::digest>(const std::vector<std::vector<base::digest>>&)>
        compose = {};
    /// This node's, in operations a second, until it has computed a lane here; 0: not known.
    std::uint64_t speed = 0;
};

/// What a crew is told once: the job, this node, and how patient it is.
struct crew_config {
    base::task_id task;
    base::node_id self;
    std::uint64_t lanes = 0;               ///< 1..65536
    std::uint64_t rounds = 0;              ///< 1..2^20
    std::uint64_t lane_tokens = 0;         ///< for the view
    std::uint64_t contribution_bytes = 0;  ///< size of every contribution
    std::uint64_t mean_bytes = 0;          ///< size of every mean
    bool validation = false;               ///< the recipe has validation tokens
    double check = 0.05;       ///< share of lanes computed twice, 0.05..1; training/task.hpp
    std::uint64_t settle = 3;  ///< lowered to crew_settle_max
    std::uint64_t crew_min = 1;
    /// Lowered to crew_groups_nodes_max; to `group_max` where a model can be divided among nodes.
    std::uint64_t crew_max = crew_members_max;
    /// More nodes than that form groups (training/crew/groups.md). Lowered to crew_members_max.
    std::uint64_t group_max = crew_members_max;
    /// To begin with 2^depth groups, for who knows that there are so many nodes and is linked with
    /// some of them only. Lowered to what crew_max allows.
    std::uint32_t depth = 0;
    crew_keys keys;
    crew_timings timings;
    /// Units of the mean: a round is summed in at most so many shards. With 1, by one node.
    std::uint64_t mean_units = 1;
    /// Sizes of a shard: a run of those units. Needed when there are several.
    std::function<crew_shard(contribution_run units)> shard = {};
    /// Sizes of sums of lanes over units, of which `shard` is a run. Needed when there are several
    /// units and crew_max is above group_max.
    std::function<crew_sums(const partial_sums& which, contribution_run shard)> sums = {};
    std::vector<crew_standing> standings = {};  ///< each node once
    /// Its functions are needed when `max` is above 1.
    crew_slicing slices = {};
    std::uint64_t full_state_bytes = 0;  ///< of a stored state; training/full_state.hpp
    /// One is kept after every so many rounds; 0: none ever, and none is fetched.
    std::uint64_t full_state_spacing = 0;
};

/// Full states that a node keeps: the last two, so that one that is being fetched by others does
/// not go with the next.
inline constexpr std::size_t crew_states_kept = 2;
/// The key of the fact that names them.
inline constexpr const char* crew_states_key = "full_states";

/// What of a job's history a node has on its disk.
struct crew_states {
    /// The means of earlier rounds were never here: a full state took their place.
    std::uint64_t means_from = 0;
    std::vector<std::pair<std::uint64_t, base::blob_ref>> kept;  ///< by round; crew_states_kept
    bool operator==(const crew_states&) const = default;
};
/// As the fact called `crew_states_key` has it.
base::byte_vector encode_states(const crew_states& states);
/// Errors: `errc::bad_message`.
base::result<crew_states> decode_states(base::byte_view bytes);

/// What this node had stored when it stopped, however it stopped.
struct crew_memory {
    std::vector<store_fact> facts;         ///< by key
    std::vector<chronicle_entry> entries;  ///< 0, 1, 2, ... without a gap
};

/// A member as this node sees it.
struct crew_member_view {
    base::node_id node;
    bool present = false;    ///< heard of within `silent_after`
    bool available = false;  ///< takes work
    std::string doing;       ///< "lane 3", "check round 2 lane 1", "idle", "paused", ...
    std::uint64_t rounds = 0;
    std::uint64_t lanes_done = 0;           ///< claims of this node that this one has seen
    std::optional<model_slice> slice = {};  ///< of which it holds, or makes, the state
    std::uint64_t slice_rounds = 0;         ///< rounds applied to it
    std::uint32_t team = 0;                 ///< its team's number; 0: none, then a standby
    bool lead = false;                      ///< of that team
    std::uint64_t means_from = 0;           ///< as `crew_states` has it
};

/// The job as this node sees it.
struct crew_view {
    job_state state = job_state::waiting;
    std::string reason_code;  ///< stable: "crew_min", "settling", "diverged", "catching_up", ...
    std::string reason;       ///< a sentence
    std::uint64_t round = 0;  ///< rounds in the chronicle
    std::uint64_t rounds = 0;
    std::uint64_t settled_round = 0;  ///< rounds settled
    double checked_share = 0;         ///< of the lanes of settled rounds
    bool tainted = false;
    std::optional<std::uint64_t> tainted_from;        ///< first round with a refuted part
    std::optional<double> loss;                       ///< of the last round
    std::optional<double> validation_loss;            ///< the latest known
    std::uint64_t tokens = 0;                         ///< trained on so far
    contribution_tally lanes_coded;                   ///< lanes computed here since the start
    contribution_tally means_coded;                   ///< means, likewise
    std::vector<crew_member_view> members;            ///< this node included, by id
    base::node_id steward;                            ///< zero when none is known
    std::uint32_t slices = 0;                         ///< into how many the model is; 0: not known
    std::uint32_t teams = 0;                          ///< whole ones
    std::uint32_t groups = 1, group = 0, abroad = 0;  ///< its own; members of the others
    std::vector<base::blob_ref> full_states;          ///< kept here
    base::digest state_digest;               ///< after the last entry; zero before S(0) is known
    std::vector<chronicle_entry> chronicle;  ///< filled by `view(true)` only
};

/// One node's part in one job.
class crew {
public:
    /// Ensures that the numbers of `config` are within the bounds named there. What does not fit in
    /// `memory` (a damaged fact) is left out, and said in `view().reason`.
    crew(crew_config config, crew_memory memory, base::rng rng);
    ~crew();
    crew(crew&&) noexcept;
    crew& operator=(crew&&) noexcept;

    /// Applies one event at `now` (which never falls) and appends what should happen to `out`.
    /// Errors: `errc::bad_message` when a peer's bytes break the protocol; nothing of that message
    /// is kept. Cost: a few signature checks; no more than a few milliseconds.
    base::result<void> handle(base::time_point now, const crew_event& event,
                              std::vector<crew_effect>& out);

    /// Call `handle(now, crew_tick{}, out)` by then; at once after construction.
    base::time_point next_deadline() const;

    /// Aborts when an invariant is broken. For tests; cost: all that is known.
    void check() const;

    /// A copy for people. Cost: the members; with the chronicle, all of it.
    crew_view view(bool with_chronicle = false) const;

private:
    class core;
    std::unique_ptr<core> core_;
};

}  // namespace tequio::training
