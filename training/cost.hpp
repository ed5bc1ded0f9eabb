#pragma once

/// What a recipe costs, computed from it alone: for `job plan`, receipts and owners' limits.
/// Memory is the engine's to say (`engine::memory_bytes_for`).

#include <cstdint>

#include "training/recipe.hpp"
#include "training/task.hpp"

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

/// Bytes through one node's network in one round of a crew of `nodes`, lanes spread evenly (rounded
/// up), every contribution fetched once by the owner of the sum, every mean once by each member,
/// checks not counted.
struct round_traffic {
    std::uint64_t member_up = 0;    ///< its lanes' contributions
    std::uint64_t member_down = 0;  ///< the mean
    std::uint64_t owner_up = 0;     ///< the mean, to each member that fetches it from the owner
    std::uint64_t owner_down = 0;   ///< the other nodes' contributions
};

/// `nodes` >= 1; alone, nothing travels.
round_traffic round_traffic_of(const recipe& r, std::uint64_t nodes);

/// Disk that a member needs at the job's worst moment: data, weights to start from, all rounds'
/// means, two rounds of contributions, the states that `keep` asks for and the last two (DESIGN.md
/// section 11). Saturates at 2^63.
std::uint64_t disk_bytes_needed(const recipe& r, const keep_config& keep);

}  // namespace tequio::training
