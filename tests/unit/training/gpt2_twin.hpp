#pragma once

/// GPT-2 a second time: float64, scalar, one token after another, written for reading. The naive
/// twin of training/model/gpt2: judges its forward pass directly and its gradients by finite
/// differences. Uses libm and plain sums on purpose.

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "training/state.hpp"

namespace tequio::training {

/// Values by tensor name, row-major.
using twin_parameters = std::map<std::string, std::vector<double>>;

twin_parameters twin_of(const state_layout& layout, std::span<const float> flat);

/// Loss in nats of each target. tokens, targets: (sequences, time).
std::vector<double> twin_losses(const model_config& model, const twin_parameters& parameters,
                                std::span<const std::uint32_t> tokens,
                                std::span<const std::uint32_t> targets, std::uint64_t time);

}  // namespace tequio::training
