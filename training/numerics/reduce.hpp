#pragma once

/// Sums with a fixed order (NUMERICS.md, Reductions).

#include <cstddef>
#include <span>

#include "training/executor.hpp"
#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

/// 32-way sum: s[j] = +0, then s[j] = s[j] + x[32 i + j] for i ascending, the tail as if followed
/// by +0; then s[j] = s[j] + s[j + 16] for j < 16, the same with 8, 4, 2; then (s[0] + s[1]) +
/// (+0).
float sum(std::span<const float> x);
float sum_reference(std::span<const float> x);

/// The same with s[j] = fma(x, y, s[j]). Sizes must be equal.
float dot(std::span<const float> x, std::span<const float> y);
float dot_reference(std::span<const float> x, std::span<const float> y);

/// The same as `sum` in float64 over float32 values (for the mean loss of a step).
double wide_sum(std::span<const float> x);

/// Sum of squares of one tensor in float64: chunks of 65,536 elements; inside a chunk the 32-way
/// rule with s[j] = s[j] + x * x (the product is exact in float64); chunk sums are added ascending
/// from +0. The square norm of a parameter set is these values added from +0 in order of tensor
/// name; its norm is the correctly rounded float64 square root of that.
double square_sum(std::span<const float> x, executor& run);
double square_sum_reference(std::span<const float> x);

/// out[j] (+)= sum over rows of x(i, j), by the matrix rule with a column of ones: per panel of 256
/// rows acc = +0; acc = acc + x(i, j), i ascending; then out = out + acc. x: (rows, columns).
/// accumulate: out starts at its old value, else at +0. No flush.
void column_sums(matrix_in x, std::size_t rows, std::size_t columns, bool accumulate, float* out,
                 executor& run);
void column_sums_reference(matrix_in x, std::size_t rows, std::size_t columns, bool accumulate,
                           float* out);

}  // namespace tequio::training::numerics
