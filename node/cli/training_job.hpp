#pragma once

/// A job of one lane on random tokens, for measurements.

#include <cstdint>

#include "base/bytes.hpp"
#include "node/cli/bench_train.hpp"
#include "training/engine.hpp"

namespace tequio::node {

/// The preset that the command line chose, with its batch and context. Errors: `ends_with(usage)`.
base::result<training::bench_preset> preset_for(const train_bench_options& o);

struct training_job {
    training::recipe recipe;
    base::byte_vector tokens;
};

/// What a preset does not say.
struct training_job_shape {
    std::uint64_t steps = 1;
    std::uint64_t micro_batch = 1;
    training::slices_config slices = {};
};

/// Errors: as `training::check_recipe`.
base::result<training_job> training_job_of(const training::bench_preset& preset,
                                           const training_job_shape& shape);

}  // namespace tequio::node
