#pragma once

/// What a node keeps of its jobs, for how long, and what of it may go (DESIGN.md section 11). Pure
/// functions, shared by the daemon and by `tequio store`, which works without one.
///
/// Of full states the last two are kept while a job goes on, one every `full_state_spacing_of`
/// rounds: newcomers go on from there. Means lead to every state, from S(0) on, and the final state
/// is kept as the files of the model.

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/blob.hpp"
#include "base/time.hpp"
#include "training/chronicle.hpp"
#include "training/task.hpp"

namespace tequio::node {

/// What receipts may say of this node's work in a job, until the job is forgotten.
inline constexpr std::string_view checked_bucket = "checked/";
/// Where node.db remembers a job: these, each with its task id behind it. Forgotten in this order:
/// while the last is there, a restart finds what is left of the others.
inline constexpr std::array<const char*, 4> job_buckets{"fact/", "entry/", checked_bucket.data(),
                                                        "job/"};
/// Where it remembers that it has forgotten one: task id -> its deadline, in seconds. Until then
/// the task would be taken up anew.
inline constexpr std::string_view forgotten_bucket = "forgotten";

/// What a blob is to its job.
enum class blob_kind {
    data,          ///< of the task: tokens, weights to start from, tokenizer
    contribution,  ///< what a lane came to
    mean,          ///< of a round
    state,         ///< files of the final model
    other,         ///< texts of the chronicle
    full_state,    ///< of a round, with the optimizer's
};
inline constexpr std::size_t blob_kinds = 6;
/// "data", "contributions", "means", "states", "other", "full_states".
const char* blob_kind_name(blob_kind kind);

/// A job as a node stores it.
struct stored_job {
    base::task_id id;
    std::shared_ptr<const training::task> task;
    std::vector<training::chronicle_entry> chronicle;  ///< from round 0 without a gap
    std::map<std::string, base::blob_ref> files;       ///< of the final model
    std::vector<base::blob_ref> full_states;
    std::string state;  ///< for people: "waiting", "running", "done", "failed", "cancelled"
    bool open = true;   ///< it may still need anything of its own
    std::optional<base::unix_time> ended;  ///< none while open, or when that is not known
};

/// A file of the blob store.
struct stored_blob {
    base::blob_ref ref;
    std::uint64_t bytes = 0;  ///< of the file
    base::unix_time written;
};

/// The blobs that `job` is known to consist of. Contributions: those of the rounds that an open job
/// may still need (`crew_config::settle` + 3), whether they are there or not.
std::map<base::blob_ref, blob_kind> blobs_of(const stored_job& job);

/// Whether blobs of that kind go `contributions_after_end_seconds` after their job's end.
bool goes_after_end(blob_kind kind);

/// Until when a job that ended then is kept.
base::unix_time kept_until(const training::task& task, base::unix_time ended);

/// Contributions and full states of an ended job stay this long for members that are not done yet
/// and check them (guess: far above 30 s of patience and 60 s between tries).
inline constexpr std::int64_t contributions_after_end_seconds = 600;

/// Whether `self` may let go of an ended job before its time, for `keep.copies` nodes of `holders`
/// have it and stand before `self` in the order SHA-256(domain, task, node). Needs no talk, and
/// views that differ do no harm: the first `copies` of all holders never find that many before
/// them. `holders` may name `self`.
bool is_spare_copy(const base::task_id& task, const base::node_id& self,
                   const std::set<base::node_id>& holders, std::uint64_t copies);

/// Of one stored state.
std::uint64_t full_state_bytes_of(const training::task& task);
/// After every how many rounds one is kept (`training::full_state_spacing`).
std::uint64_t full_state_spacing_of(const training::task& task);

/// Disk that a job takes at its worst moment: data, all rounds' means and texts, contributions of
/// the rounds that are not settled, the model. Not full states: those take what room is left over,
/// and without it none is kept. Saturates at 2^62.
std::uint64_t disk_need(const training::task& task);
/// The same once it is over after so many rounds.
std::uint64_t disk_need_ended(const training::task& task, std::uint64_t rounds);

/// What the owner lends of the disk, and what the machine has.
struct disk_limits {
    std::uint64_t limit_bytes = std::uint64_t{1} << 62;      ///< `limits.disk`
    std::uint64_t submitter_bytes = std::uint64_t{1} << 62;  ///< `accept.disk_per_submitter`
    double keep_free = 0;  ///< `limits.keep_free`; 0: the file system is not weighed beforehand
};
/// How full it is, as last read. `capacity` 0: not read yet.
struct disk_use {
    std::uint64_t used = 0;       ///< bytes of blobs
    std::uint64_t capacity = 0;   ///< of the file system
    std::uint64_t available = 0;  ///< there
};
/// Needs of the jobs that are here already.
struct disk_promised {
    std::uint64_t all = 0;
    std::uint64_t of_submitter = 0;
};
/// Why a job that needs so many bytes does not fit beside what is promised, for people: what,
/// found, allowed. Empty when it fits.
std::string does_not_fit(std::uint64_t need, const disk_promised& promised,
                         const disk_limits& limits, const disk_use& use);

/// Bytes by what they are, indexed by `blob_kind`.
using bytes_by_kind = std::array<std::uint64_t, blob_kinds>;

/// One job's share of the store.
struct job_share {
    base::task_id id;
    std::string name;
    std::string state;
    std::optional<base::unix_time> ended, kept_until;
    bytes_by_kind bytes{};
    std::uint64_t total = 0;
    std::uint64_t prunable = 0;  ///< of those, what `prune` would free
    bool expired = false;        ///< `prune` would forget the whole job
};

/// What is there, and what may go.
struct store_survey {
    std::vector<job_share> jobs;      ///< by id
    std::uint64_t used = 0;           ///< bytes of all blobs
    std::uint64_t unowned = 0;        ///< bytes of blobs of no job
    std::uint64_t unowned_fresh = 0;  ///< of those, what may be on its way to one
    std::vector<stored_blob> spare;   ///< what may go; none that a job needs
    std::uint64_t prunable = 0;       ///< its bytes
};

/// What `prune` is asked to do.
struct prune_scope {
    /// Only this job, whose keep time need not be over.
    std::optional<base::task_id> only;
};

/// Weighs every blob against every job. A blob of several jobs counts for the first of them, and
/// goes when all of them let it. What no job names goes an hour after it was written, unless an
/// open job's results are of that size. Nothing of an open job ever goes.
store_survey survey_store(const std::vector<stored_job>& jobs,
                          const std::vector<stored_blob>& blobs, base::unix_time now,
                          const prune_scope& scope = {});

}  // namespace tequio::node
