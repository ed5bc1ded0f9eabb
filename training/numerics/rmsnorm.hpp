#pragma once

/// Root mean square normalisation with gain (Zhang and Sennrich 2019, eq. 4). `epsilon` is the
/// recipe's `norm_epsilon`, rounded once to float32.

#include <cstddef>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// x, out: (rows, width); gain: (width); inverse_rms: (rows), saved for the backward pass. Per row:
/// v = dot(x, x) / width; r = 1 / sqrt(v + epsilon); h[j] = x[j] * r; out[j] = flush(h[j] *
/// gain[j]). dot is the 32-way one. out may be x.
void rmsnorm_forward(const float* x, const float* gain, float epsilon, float* out,
                     float* inverse_rms, std::size_t rows, std::size_t width, executor& run);
void rmsnorm_forward_reference(const float* x, const float* gain, float epsilon, float* out,
                               float* inverse_rms, std::size_t rows, std::size_t width);

/// The end of one block and the start of the next in one pass: sum = flush(residual + x), then
/// `rmsnorm_forward` of sum. x, residual, sum: (rows, width); sum may be either input, out may not
/// be sum.
void add_rmsnorm_forward(const float* x, const float* residual, const float* gain, float epsilon,
                         float* sum, float* out, float* inverse_rms, std::size_t rows,
                         std::size_t width, executor& run);
void add_rmsnorm_forward_reference(const float* x, const float* residual, const float* gain,
                                   float epsilon, float* sum, float* out, float* inverse_rms,
                                   std::size_t rows, std::size_t width);

/// Gradient by x, added to `residual`: h[j] = x[j] * r; e[j] = dout[j] * gain[j];
/// q = dot(e, h) / width; g[j] = fma(-h[j], q, e[j]) * r; dx[j] = flush(residual[j] + g[j]).
/// residual: (rows, width), or null for +0; it may be dx, and dout may be dx.
void rmsnorm_backward(const float* x, const float* gain, const float* inverse_rms,
                      const float* dout, const float* residual, float* dx, std::size_t rows,
                      std::size_t width, executor& run);
void rmsnorm_backward_reference(const float* x, const float* gain, const float* inverse_rms,
                                const float* dout, const float* residual, float* dx,
                                std::size_t rows, std::size_t width);

/// Gradient by gain, a column sum by the matrix rule over rows: dgain[j] (+)= sum of dout * (x *
/// r), each product rounded. accumulate: it starts at its old value, else at +0. No flush.
void rmsnorm_gain_gradient(const float* x, const float* inverse_rms, const float* dout,
                           float* dgain, std::size_t rows, std::size_t width, bool accumulate,
                           executor& run);
void rmsnorm_gain_gradient_reference(const float* x, const float* inverse_rms, const float* dout,
                                     float* dgain, std::size_t rows, std::size_t width,
                                     bool accumulate);

}  // namespace tequio::training::numerics
