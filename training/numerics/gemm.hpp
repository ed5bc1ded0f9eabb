#pragma once

/// Matrix products (NUMERICS.md, Matrix product).
///
/// The rule: C starts at +0, or at its old value when accumulating. For each panel of 256
/// consecutive k, from the start of K: acc = +0; acc = fma(a, b, acc) for k ascending; then C = C +
/// acc. Afterwards, where asked: C = C + bias; C = flush(C). All matrices are float32 and row-major
/// with a row stride of their own. Thread count, target, alignment and tiling never change a bit.
///
/// Accumulating over several calls gives the bits of one call over the joined K axis exactly when
/// every call but the last has k a multiple of 256.

#include <cstddef>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// Length of a panel along K.
inline constexpr std::size_t panel_length = 256;

/// How A and B are stored. C is always (m, n).
enum class gemm_form {
    nn,  ///< A (m, k), B (k, n): C = A B
    nt,  ///< A (m, k), B (n, k): C = A B^T
    tn,  ///< A (k, m), B (k, n): C = A^T B
};

/// A matrix read: element (i, j) is data[i * stride + j].
struct matrix_in {
    const float* data;
    std::size_t stride;
};

/// A matrix written. It may not overlap an input.
struct matrix_out {
    float* data;
    std::size_t stride;
};

/// Sizes of one product; any may be 0. With k = 0, C is +0 (or its old value), then bias and flush.
struct gemm_shape {
    std::size_t m, n, k;
};

struct gemm_options {
    gemm_form form = gemm_form::nn;
    bool accumulate = false;      ///< C starts at its old value
    bool flush = false;           ///< |C| < 2^-48 becomes +0 at the end: C is an operand later
    const float* bias = nullptr;  ///< (n): added to every row after the last panel, before flush
};

/// One product. `workspace`: at least `gemm_workspace_bytes(shape, run.threads())` bytes, any
/// alignment, contents irrelevant before and undefined after. Operands must be free of -0 and
/// subnormals for speed only; bits are defined for all finite values.
void gemm(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b, matrix_out c,
          std::span<std::byte> workspace, executor& run);

/// Workspace of `gemm` and `gemm_batched` for this shape (of one product) and number of threads.
/// Monotonic in m, n, k, so the largest shape serves smaller ones; never above about 7 MiB a
/// thread.
std::size_t gemm_workspace_bytes(gemm_shape shape, unsigned threads);

/// Distances, in floats, between the same matrix of consecutive products.
struct gemm_batch {
    std::size_t count;
    std::size_t a_step, b_step, c_step;
};

/// `count` products of one shape; product i uses a.data + i * a_step and so on. The C matrices may
/// not overlap. Products are spread over the threads.
void gemm_batched(const gemm_options& options, gemm_shape shape, gemm_batch batch, matrix_in a,
                  matrix_in b, matrix_out c, std::span<std::byte> workspace, executor& run);

/// The definition of `gemm`.
void gemm_reference(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                    matrix_out c);

}  // namespace tequio::training::numerics
