#pragma once

/// Layer normalisation with gain and offset (Ba et al. 2016). eps = 1e-5.

#include <cstddef>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

inline constexpr float layernorm_epsilon = 1e-5F;

/// x, out: (rows, width); gain, offset: (width); mean, inverse_deviation: (rows), saved for the
/// backward pass. Per row: mean = sum(x) / width; d[j] = x[j] - mean; v = dot(d, d) / width;
/// r = 1 / sqrt(v + eps); h[j] = d[j] * r; out[j] = flush(fma(h[j], gain[j], offset[j])). sum and
/// dot are the 32-way ones. out may be x.
void layernorm_forward(const float* x, const float* gain, const float* offset, float* out,
                       float* mean, float* inverse_deviation, std::size_t rows, std::size_t width,
                       executor& run);
void layernorm_forward_reference(const float* x, const float* gain, const float* offset, float* out,
                                 float* mean, float* inverse_deviation, std::size_t rows,
                                 std::size_t width);

/// `add_bias_residual` (elementwise.hpp) and `layernorm_forward` of what it gives, in one pass:
/// sum(i, j) = flush(residual(i, j) + (x(i, j) + bias[j])); then mean, inverse_deviation and out as
/// above, of `sum`. x, residual, sum, out: (rows, width); bias: (width). sum may be x or residual.
void residual_layernorm_forward(const float* x, const float* bias, const float* residual,
                                float* sum, const float* gain, const float* offset, float* out,
                                float* mean, float* inverse_deviation, std::size_t rows,
                                std::size_t width, executor& run);
void residual_layernorm_forward_reference(const float* x, const float* bias, const float* residual,
                                          float* sum, const float* gain, const float* offset,
                                          float* out, float* mean, float* inverse_deviation,
                                          std::size_t rows, std::size_t width);

/// Gradient by x, added to `residual`: h[j] = (x[j] - mean) * r; e[j] = dout[j] * gain[j];
/// p = sum(e) / width; q = dot(e, h) / width; g[j] = fma(0 - h[j], q, e[j] - p) * r;
/// dx[j] = flush(residual[j] + g[j]). residual: (rows, width), or null for +0; it may be dx, and
/// dout may be dx.
void layernorm_backward(const float* x, const float* gain, const float* mean,
                        const float* inverse_deviation, const float* dout, const float* residual,
                        float* dx, std::size_t rows, std::size_t width, executor& run);
void layernorm_backward_reference(const float* x, const float* gain, const float* mean,
                                  const float* inverse_deviation, const float* dout,
                                  const float* residual, float* dx, std::size_t rows,
                                  std::size_t width);

/// Gradients by gain and offset, column sums by the matrix rule over rows:
/// dgain[j] (+)= sum of dout * ((x - mean) * r), each product rounded; doffset[j] (+)= sum of dout.
/// accumulate: they start at their old values, else at +0.
void layernorm_parameter_gradients(const float* x, const float* mean,
                                   const float* inverse_deviation, const float* dout, float* dgain,
                                   float* doffset, std::size_t rows, std::size_t width,
                                   bool accumulate, executor& run);
void layernorm_parameter_gradients_reference(const float* x, const float* mean,
                                             const float* inverse_deviation, const float* dout,
                                             float* dgain, float* doffset, std::size_t rows,
                                             std::size_t width, bool accumulate);

/// Column sums that come with a backward pass, each (width).
struct layernorm_sums {
    float *dgain, *doffset;  ///< as `layernorm_parameter_gradients`
    float* dx_sums;          ///< `column_sums` (reduce.hpp) of dx, or null
    bool accumulate;         ///< they start at their old values, else at +0
};

/// `layernorm_backward`, `layernorm_parameter_gradients` and `column_sums` of dx in one pass.
/// Threads take panels of 256 rows. workspace: `layernorm_workspace_bytes`.
void layernorm_backward_and_sums(const float* x, const float* gain, const float* mean,
                                 const float* inverse_deviation, const float* dout,
                                 const float* residual, float* dx, const layernorm_sums& sums,
                                 std::size_t rows, std::size_t width,
                                 std::span<std::byte> workspace, executor& run);
void layernorm_backward_and_sums_reference(const float* x, const float* gain, const float* mean,
                                           const float* inverse_deviation, const float* dout,
                                           const float* residual, float* dx,
                                           const layernorm_sums& sums, std::size_t rows,
                                           std::size_t width);

/// Any alignment. Monotonic in both.
std::size_t layernorm_workspace_bytes(std::size_t rows, std::size_t width);

}  // namespace tequio::training::numerics
