#pragma once

/// What the members of a divided lane all read: tokens and targets of a step, its micro-batches
/// side by side, for a pipeline has several of them in hand.

#include <cstdint>
#include <span>
#include <vector>

#include "training/model/trainer.hpp"

namespace tequio::training {

/// Room for a step's sequences.
class step_tokens {
public:
    explicit step_tokens(const trainer_config& config);

    /// Reads `count` sequences from `first` on, at most a micro-batch, to place `at` of the step
    /// (in sequences). The view is valid until that place is read again.
    batch_view read(std::uint64_t first, std::uint64_t count, std::uint64_t at,
                    const batch_source& source);
    /// As it was read, the last one perhaps short.
    batch_view micro_batch(std::uint64_t index) const;
    /// (batch, context)
    std::span<const std::uint32_t> tokens() const { return tokens_; }

private:
    batch_view view(std::uint64_t at, std::uint64_t count) const;

    std::uint64_t batch_, micro_batch_, context_;
    std::vector<std::uint32_t> tokens_, targets_;
};

}  // namespace tequio::training
