#pragma once

/// The job of engine_fixture.hpp with a llama: two query heads to each head of keys and values, a
/// hidden width that is no multiple of a panel.

#include "tests/unit/training/engine_fixture.hpp"

namespace tequio::training {

struct small_llama : small_job {
    small_llama() { r.model = {"llama", 2, 4, 32, 64, 256, 2, 88}; }
};

}  // namespace tequio::training
