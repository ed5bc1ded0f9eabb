#pragma once

/// One product on the calling thread, for the kernels that split work themselves (gemm.cpp splits
/// large products, attention.cpp splits by head).

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

/// A whole B packed in advance, for many products with it. Form nn or nt; made for one target.
struct packed_matrix {
    const float* data;
    std::size_t n, k;
};

/// Floats of a packed (k, n) B.
constexpr std::size_t packed_floats(std::size_t n, std::size_t k) {
    return (n + 63) / 64 * 64 * k;
}

/// Packs B into `out`: `packed_floats(n, k)` floats, 64-byte aligned, which the result refers to.
packed_matrix pack_matrix(gemm_form form, std::size_t n, std::size_t k, matrix_in b, float* out);

/// `gemm_serial` with a packed B, of which the first shape.n columns and shape.k rows are used.
/// scratch as for gemm_serial. options.form tells about A only: nn or tn.
void gemm_packed(const serial_gemm_options& options, gemm_shape shape, matrix_in a,
                 const packed_matrix& b, matrix_out c, float* scratch);

/// Room for the packed parts of A and B of any product up to this shape.
std::size_t serial_gemm_floats(gemm_shape shape);

}  // namespace tequio::training::numerics
