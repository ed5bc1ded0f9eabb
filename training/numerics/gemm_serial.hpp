#pragma once

/// One product on the calling thread: for batches, which split by product, and for studies, which
/// resume panels.

#include <cstddef>

#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

/// What happens to C around the panels.
struct serial_gemm_options {
    gemm_form form = gemm_form::nn;
    bool accumulate = false;
    bool flush = false;
    /// C holds an unfinished acc: it is where acc starts, and acc is stored as it is. k <= 256; the
    /// other options are off.
    bool resume = false;
    const float* bias = nullptr;
};

/// `scratch`: `serial_gemm_floats(shape)` floats, 64-byte aligned.
void gemm_serial(const serial_gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                 matrix_out c, float* scratch);

/// Room for the packed parts of A and B of any product up to this shape.
std::size_t serial_gemm_floats(gemm_shape shape);

}  // namespace tequio::training::numerics
