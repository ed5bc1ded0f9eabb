#pragma once

#include "training/numerics/target.hpp"

namespace tequio::tests {

/// Puts the numerics' target back at the end of a scope.
struct target_guard {
    training::numerics::simd_target kept = training::numerics::active_target();
    ~target_guard() { training::numerics::set_target(kept); }
};

}  // namespace tequio::tests
