#pragma once

/// Elementwise kernels. All write flush(...): |x| < 2^-48 becomes +0. Arrays are contiguous;
/// outputs may be the same array as an input, never a shifted one. n counts elements.

#include <cstddef>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// out[i] = flush(x[i] + y[i]): residual connections and sums of gradients.
void add(const float* x, const float* y, float* out, std::size_t n, executor& run);
void add_reference(const float* x, const float* y, float* out, std::size_t n);

/// out(i, j) = flush(x(i, j) + bias[j]). x, out: (rows, columns).
void add_bias(const float* x, const float* bias, float* out, std::size_t rows, std::size_t columns,
              executor& run);
void add_bias_reference(const float* x, const float* bias, float* out, std::size_t rows,
                        std::size_t columns);

/// out(i, j) = flush(residual(i, j) + (x(i, j) + bias[j])): end of an attention or MLP block.
void add_bias_residual(const float* x, const float* bias, const float* residual, float* out,
                       std::size_t rows, std::size_t columns, executor& run);
void add_bias_residual_reference(const float* x, const float* bias, const float* residual,
                                 float* out, std::size_t rows, std::size_t columns);

/// out[i] = flush(x[i] * factor).
void scale(const float* x, float factor, float* out, std::size_t n, executor& run);
void scale_reference(const float* x, float factor, float* out, std::size_t n);

/// out[i] = flush(x[i]): for weights and data that come from outside.
void flush_copy(const float* x, float* out, std::size_t n, executor& run);

}  // namespace tequio::training::numerics
