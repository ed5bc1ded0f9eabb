#pragma once

/// The order in which the stages of a divided lane work on the micro-batches of a step: one
/// forward, one backward. Source: Narayanan et al. 2021 (Megatron-LM), section 2.2.1,
/// "PipeDream-Flush"; there figure 4. All stages but the last go one micro-batch further ahead than
/// there: else gradients come back just when a stage needs them, and every message's way is waited
/// for, once a micro-batch (one of two: activations, or gradients). With messages that take 5 % of
/// a micro-batch's time two stages wait 0.121 of it instead of 0.149, with 30 % 0.167 instead of
/// 0.298. Source: Zhuang et al. 2023, section 4 ("eager-1F1B"), which goes twice as far ahead;
/// that needs more memory, and gains nothing before messages take a third of that time. Sums over
/// micro-batches keep their order, for every stage goes backward through micro-batch 0, 1, 2, ...

#include <cstdint>
#include <vector>

namespace tequio::training {

/// Forward or backward through a stage with one micro-batch.
struct pipeline_step {
    bool forward = true;
    std::uint64_t micro_batch = 0;
    bool operator==(const pipeline_step&) const = default;
};

/// Stage `stage` of `stages`, counted from 0, in a step of `micro_batches`: min(M, S - s) forward
/// passes, none at the last stage, then one forward and one backward in turn, then the backward
/// passes that are left. 2 M steps.
std::vector<pipeline_step> one_forward_one_backward(std::uint64_t stage, std::uint64_t stages,
                                                    std::uint64_t micro_batches);

/// Micro-batches whose activations that stage keeps at a time: min(M, S - s + 1); 1 at the last.
std::uint64_t pipeline_in_flight(std::uint64_t stage, std::uint64_t stages,
                                 std::uint64_t micro_batches);

}  // namespace tequio::training
