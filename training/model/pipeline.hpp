#pragma once

/// The order in which the stages of a divided lane work on the micro-batches of a step: one
/// forward, one backward. Source: Narayanan et al. 2021 (Megatron-LM), section 2.2.1,
/// "PipeDream-Flush"; there figure 4. Every stage goes twice as far ahead of the last as there
/// ("eager-1F1B"; source: Zhuang et al. 2023, section 4). In the published order a stage goes ahead
/// of the next by one: the two take the forward pass, its message, the backward pass and the
/// message back in turn, for every two micro-batches, so whatever a message takes is waited for.
/// With two ahead these are three micro-batches, and messages hide that take up to half of a
/// micro-batch's time. Eight stages, 32 micro-batches, messages of 30 % of that: a step takes 1.52
/// of the time without messages in the published order, 1.11 in this one (counted through, equal
/// stages). It costs the activations of as many micro-batches again. Sums over micro-batches keep
/// their order, for every stage goes backward through micro-batch 0, 1, 2, ...

#include <cstdint>
#include <vector>

namespace tequio::training {

/// Forward or backward through a stage with one micro-batch.
struct pipeline_step {
    bool forward = true;
    std::uint64_t micro_batch = 0;
    bool operator==(const pipeline_step&) const = default;
};

/// Stage `stage` of `stages`, counted from 0, in a step of `micro_batches`: min(M, 2 (S - 1 - s))
/// forward passes, then one forward and one backward in turn, then the backward passes that are
/// left. 2 M steps.
std::vector<pipeline_step> one_forward_one_backward(std::uint64_t stage, std::uint64_t stages,
                                                    std::uint64_t micro_batches);

/// Micro-batches whose activations that stage keeps at a time: min(M, 2 (S - 1 - s) + 1).
std::uint64_t pipeline_in_flight(std::uint64_t stage, std::uint64_t stages,
                                 std::uint64_t micro_batches);

}  // namespace tequio::training
