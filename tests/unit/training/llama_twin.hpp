#pragma once

/// Llama a second time: float64, scalar, one token after another, written for reading. The naive
/// twin of training/model/llama; see gpt2_twin.hpp.

#include <cstdint>
#include <span>
#include <vector>

#include "tests/unit/training/gpt2_twin.hpp"

namespace tequio::training {

/// Loss in nats of each target. tokens, targets: (sequences, time).
std::vector<double> llama_twin_losses(const model_config& model, const twin_parameters& parameters,
                                      std::span<const std::uint32_t> tokens,
                                      std::span<const std::uint32_t> targets, std::uint64_t time);

}  // namespace tequio::training
