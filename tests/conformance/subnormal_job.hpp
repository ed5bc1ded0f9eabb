#pragma once

/// Pairs of jobs that differ only in that one of them is built to produce subnormal numbers, for
/// each family: what a stranger could send to donors to slow them down.
///
/// Shape, batch and number of steps are equal, so both lanes have the same operations. The hostile
/// one chooses what a task may choose: the weights to start from, an mlp's values and their scales,
/// learning rate, epsilon, betas and decay.

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "training/dataset.hpp"
#include "training/recipe.hpp"

namespace tequio::tests {

/// One job in memory; `weights` is the blob that its recipe names as `init`.
struct lane_job {
    training::recipe work;
    base::byte_vector data, weights;
    /// Views `data`.
    training::dataset_view view() const;
};

/// How a hostile job is built.
struct subnormal_attack {
    std::string_view name;
    std::string_view family;  ///< gpt2 | llama | mlp
    bool operator==(const subnormal_attack&) const = default;
};

/// All that are known, for all families.
std::vector<subnormal_attack> subnormal_attacks();
/// The job of the attack's family that trains on ordinary numbers, from weights that are given too.
lane_job ordinary_job(std::string_view family);
/// The same job with the numbers of the attack.
lane_job hostile_job(const subnormal_attack& attack);

}  // namespace tequio::tests
