#pragma once

/// Computes a whole job on this machine, round by round, in a worker process of its own: what
/// `job replay` does, and the yardstick that a swarm's result is held against.
///
/// What is finished is kept in a folder, so that an interrupted replay goes on where it was. Every
/// file but `lock` ends with the 32-byte SHA-256 of what stands before it, because a replay must
/// never report a mismatch that was a disk's:
///
///     recipe      canonical text; a folder belongs to one recipe
///     entry-R     chronicle text of every finished round R
///     state-R     the state at the start of round R, little-endian floats: parameters,
///                 then the optimizer's arrays
///     lane-R-L    contribution of a finished lane of the round in hand
///     lock        held while a replay uses the folder

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "node/worker/compute_worker.hpp"
#include "training/chronicle.hpp"
#include "training/contribution.hpp"
#include "training/recipe.hpp"

namespace tequio::node {

/// Where a replay is; made for every report of the worker, at most five a second.
struct replay_progress {
    base::round_index round;
    std::uint64_t lanes_done = 0;  ///< of this round
    std::uint64_t steps_done = 0;  ///< inner steps of the lane in hand
    std::uint64_t tokens = 0;      ///< trained here, by this process, in all
};

/// What encoding did to the values of the results that were computed.
struct coded_results {
    training::contribution_tally lanes, means;
};

struct replay_options {
    compute_worker_options worker;
    std::filesystem::path folder;  ///< for what is finished; made if absent
    /// Asked five times a second; false ends the replay with `training::errc::stopped`.
    std::function<bool(const replay_progress&)> keep_going;
    std::function<void(const worker_ready&)> on_ready;  ///< may be empty
    /// Workers killed from outside without a finished item between them, before giving up (guess).
    int deaths_max = 5;
};

/// One job being computed. Not thread-safe.
class job_replay {
public:
    /// Starts a worker, opens the job, and takes up what the folder holds. `blobs`: those of the
    /// recipe, in the order of `training::recipe_blobs`. Errors: `base::errc::io_failure`, also
    /// when another replay uses the folder; `training::errc::out_of_memory` or `bad_data` when the
    /// worker refuses.
    static base::result<std::unique_ptr<job_replay>> open(const training::recipe& r,
                                                          std::vector<unique_fd> blobs,
                                                          replay_options options);
    ~job_replay();
    job_replay(const job_replay&) = delete;
    job_replay& operator=(const job_replay&) = delete;

    /// Round of the state held: rounds before it are finished.
    base::round_index round() const;
    /// Entries of the rounds finished here or in an earlier run on the same folder; those of
    /// rounds passed by `apply` are not among them.
    const std::vector<training::chronicle_entry>& entries() const;
    base::digest state_digest() const;
    training::state_view state() const;
    /// Of the rounds computed by this process.
    const coded_results& coded() const;
    const training::recipe& recipe() const;

    /// Computes validation, all lanes, the sum and the outer step of the held round; in round R
    /// (the recipe's last) the closing entry. A worker that dies is started again; five deaths
    /// without a finished item between them are an error. Errors: `errc::not_finite` when a lane
    /// diverges, naming round, lane, step and tensor; `errc::stopped`; those of the worker, in
    /// words.
    base::result<training::chronicle_entry> next_round();
    /// Goes to the next round by a known mean instead of training. Errors: as above.
    base::result<base::digest> apply(worker_input_file mean);
    /// Writes the held state into the folder, so that the next `open` starts there.
    base::result<void> save();
    /// Removes this replay's files, and the folder if nothing else is in it.
    void discard();

    /// Process id of the worker: for tests that kill it.
    int worker_process() const;

private:
    struct parts;
    explicit job_replay(std::unique_ptr<parts> p);
    std::unique_ptr<parts> parts_;
};

}  // namespace tequio::node
