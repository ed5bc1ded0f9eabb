#pragma once

/// Products of few rows, on the calling thread, by the vector target in use. Packing B would cost
/// more than the product; instead B is read once, where it lies.

#include <cstddef>

#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

/// True if `multiply_thin` serves this shape better than packing: few rows (16, and some more where
/// B is (k, n)), at least a vector of columns, not empty. Never for the reference target.
bool is_thin(gemm_form form, gemm_shape shape);

/// Columns [begin, end) of a thin product; C there, and bias, as in `gemm`. Other columns of B may
/// be read. Uses 64 KiB of the stack.
void multiply_thin(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                   matrix_out c, std::size_t begin, std::size_t end);

}  // namespace tequio::training::numerics
