#pragma once

/// Large products on several threads, from packed operands.

#include <cstddef>

#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

/// One product. `workspace`: `blocked_floats` floats, 64-byte aligned. Not empty; not for the
/// reference target.
void multiply_blocked(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                      matrix_out c, float* workspace, executor& run);

/// Room for operands of any product up to this shape. Monotonic in everything.
std::size_t blocked_floats(gemm_shape shape, unsigned threads);

}  // namespace tequio::training::numerics
