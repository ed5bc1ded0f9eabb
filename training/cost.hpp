#pragma once

/// What a recipe costs, computed from it alone: for `job plan`, receipts and owners' limits.
/// Memory is the engine's to say (`engine::memory_bytes_for`).

#include <cstdint>

#include "training/recipe.hpp"

namespace tequio::training {

/// All counts of a valid recipe.
struct job_cost {
    std::uint64_t parameters = 0;
    std::uint64_t lane_tokens = 0;
    std::uint64_t lane_flops = 0;         ///< see `lane_flops` in recipe.hpp
    std::uint64_t validation_tokens = 0;  ///< (or examples) scored in one validation
    std::uint64_t validation_flops = 0;   ///< forward only: a third of training's count
    double total_flops = 0;  ///< all lanes of all rounds, and every validation; no checks
    std::uint64_t data_bytes = 0;
    std::uint64_t init_bytes = 0;          ///< weights to start from; 0 when they are drawn
    std::uint64_t state_bytes = 0;         ///< parameters and the optimizer's, padded
    std::uint64_t contribution_bytes = 0;  ///< of one lane, in `codec`
    std::uint64_t mean_bytes = 0;          ///< in `codec_down`
    std::uint64_t sum_bytes = 0;           ///< memory of the sums, where they are made
};

/// Counts of `r`, which passed `check_recipe`. Cost: a pass over the layout.
job_cost cost_of(const recipe& r);

/// Bytes through one node's network in one round of a crew of `nodes`, lanes and shards spread
/// evenly (lanes rounded up), each shard of the sum made by one node (training/crew/README.md),
/// checks not counted.
struct round_traffic {
    /// Of its lanes what the others' shards need, and its part of the mean to each of them: below
    /// (lanes run + 1) contributions.
    std::uint64_t up = 0;
    std::uint64_t down = 0;  ///< of the others' lanes what its shard needs, and their parts
    /// Of `up` what no lane hides: the last lane, and the part. DESIGN.md section 6.
    std::uint64_t waited_for = 0;
};

/// `nodes` >= 1; alone, nothing travels.
round_traffic round_traffic_of(const recipe& r, std::uint64_t nodes);

/// Share of its time in which a node computes that computes and then waits.
double utilisation_of(double computing_seconds, double waiting_seconds);
/// The fewest lanes in all with which `nodes` nodes compute `share` (0..1, both excluded) of their
/// time, a lane taking `lane_seconds` (> 0) and the wait at a round's end `waiting_seconds`; 0 when
/// no job may have so many.
std::uint64_t lanes_for_utilisation(double lane_seconds, double waiting_seconds, double share,
                                    std::uint64_t nodes);

}  // namespace tequio::training
