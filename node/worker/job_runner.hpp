#pragma once

/// One open job in the worker: recipe, its blobs, state memory, engine; computes items.

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "node/worker/compute_pool.hpp"
#include "node/worker/protocol.hpp"
#include "node/worker/state_memory.hpp"
#include "training/engine.hpp"
#include "training/merge.hpp"

namespace tequio::node {

/// An input of an item: its announced name, and the bytes.
struct item_input {
    base::blob_ref blob;
    memory_map bytes;
};

/// How a runner asks its surroundings.
struct item_callbacks {
    /// Input `index`; bytes are not verified yet.
    std::function<base::result<item_input>(std::uint32_t index)> input;
    /// Called between micro-batches and inputs with the inner steps finished; false stops.
    std::function<bool(std::uint64_t steps)> keep_going;
    /// The others of the item's team; null when it has none.
    training::team_link* team = nullptr;
};

/// What an item came to; `blob` is empty for kinds that have none.
struct item_result {
    compute_outcome outcome;
    base::byte_vector blob;
};

/// What a job may take, and how its lanes run.
struct runner_options {
    std::uint64_t memory_max_bytes = 0;  ///< a job that needs more is refused; 0: no limit
    std::uint64_t slices = 1;            ///< see `training::engine_options`
    /// The states are of slice `slice` of `slice_count` alone, and lanes need a team.
    std::uint64_t slice_count = 1;
    std::uint64_t slice = 0;
    /// See `training::engine_options`. Slices that do not fit into the memory otherwise are
    /// computed so without being told.
    bool recompute = false;
};

/// The options with `recompute`, if that is what it takes of a slice to fit into so much memory
/// (0: no limit).
runner_options fitted(const training::recipe& r, unsigned threads, std::uint32_t kept,
                      runner_options options, std::uint64_t memory_max_bytes);

/// Memory that a job takes while it is open: the engine, the states of `kept` rounds, a sum in hand
/// and its mean. Of a job in slices, the sum is a shard's: as large a part as one of the slices.
std::uint64_t job_memory_bytes(const training::recipe& r, unsigned threads,
                               std::uint32_t kept = state_memory::kept_min,
                               const runner_options& options = {});

/// Not thread-safe; `pool` outlives it and is used by the caller's thread.
class job_runner {
public:
    /// Parses the recipe, maps and verifies its blobs (one SHA-256 pass), maps the state memory
    /// and compares the held state with its digest; a state that differs is cleared. `blobs`: in
    /// the order of `training::recipe_blobs`.
    /// Errors: those of `training::parse_recipe`, `dataset_view::open`, `engine::create`;
    /// `training::errc::bad_data` when a blob is not the recipe's.
    static base::result<std::unique_ptr<job_runner>> open(std::string_view recipe_text,
                                                          std::span<const unique_fd> blobs,
                                                          unique_fd state, compute_pool& pool,
                                                          const runner_options& options = {});

    std::uint64_t memory_bytes() const { return memory_bytes_; }
    std::optional<held_state> held() const { return state_.held(); }
    std::uint64_t tokens_per_step() const;
    /// Asks the system to take everything the job holds out of memory. Contents stay; may be called
    /// while an item stands still at the gate.
    void page_out() const;

    /// Computes one item. Errors: `training::errc::bad_state` when the held state is not of the
    /// item's round; `errc::stopped`; `errc::environment_changed`; those of the computation.
    /// After any error the held state is what it was. An item of an abandoned pool ends as
    /// `errc::stopped`, whatever it came to.
    base::result<item_result> run(const compute_item& item, const item_callbacks& callbacks);

private:
    job_runner(training::recipe r, std::vector<memory_map> blobs, state_memory state,
               compute_pool& pool, const runner_options& options);
    bool whole() const { return options_.slice_count == 1; }
    base::result<item_result> compute(const compute_item& item, const item_callbacks& callbacks);
    base::result<void> join_team(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> prepare();
    base::result<item_result> load(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> run_lane(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> validate(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> sum(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> sum_lanes(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> add_sums(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> join(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> mean_made(training::sum_output made) const;
    base::result<item_result> apply(const compute_item& item, const item_callbacks& callbacks);
    base::result<item_result> commit_next(base::round_index round);
    std::uint64_t mean_units() const;
    /// Errors: `errc::incomplete_sum` when the mean has no such run of units.
    base::result<void> expect_units(training::contribution_run wanted) const;
    base::result<void> expect_round(const compute_item& item);
    base::result<void> check_environment() const;

    training::recipe recipe_;
    std::vector<memory_map> blobs_;  ///< in the order of `training::recipe_blobs`
    state_memory state_;
    compute_pool& pool_;
    runner_options options_;
    std::unique_ptr<training::engine> engine_;
    std::uint64_t memory_bytes_ = 0;
};

}  // namespace tequio::node
