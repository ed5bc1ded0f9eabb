#pragma once

/// Layer normalisation with gain and offset (Ba et al. 2016). eps = 1e-5.

#include <cstddef>

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

}  // namespace tequio::training::numerics
