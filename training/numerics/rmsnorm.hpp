#pragma once

/// Root mean square normalisation with gain (Zhang and Sennrich 2019, eq. 4). `epsilon` is the
/// recipe's `norm_epsilon`, rounded once to float32.

#include <cstddef>
#include <span>

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
void residual_rmsnorm_forward(const float* x, const float* residual, float* sum, const float* gain,
                              float epsilon, float* out, float* inverse_rms, std::size_t rows,
                              std::size_t width, executor& run);
void residual_rmsnorm_forward_reference(const float* x, const float* residual, float* sum,
                                        const float* gain, float epsilon, float* out,
                                        float* inverse_rms, std::size_t rows, std::size_t width);

/// What the backward pass reads: x, dout: (rows, width); gain: (width); inverse_rms: (rows).
/// residual: (rows, width), the gradient to add to, or null for +0.
struct rmsnorm_inputs {
    const float *x, *gain, *inverse_rms, *dout, *residual;
    std::size_t rows, width;
};

/// Gradients by x and gain in one pass. h[j] = x[j] * r; e[j] = dout[j] * gain[j]; q = dot(e, h) /
/// width; g[j] = fma(-h[j], q, e[j]) * r; dx[j] = flush(residual[j] + g[j]); dgain[j] (+)= sum over
/// rows of dout[j] * h[j], each product rounded, by the matrix rule with a column of ones, no
/// flush. accumulate: dgain starts at its old value, else at +0. dx may be residual, or dout.
/// Threads take panels of 256 rows. workspace: `rmsnorm_workspace_bytes`.
void rmsnorm_backward(const rmsnorm_inputs& in, float* dx, float* dgain, bool accumulate,
                      std::span<std::byte> workspace, executor& run);
void rmsnorm_backward_reference(const rmsnorm_inputs& in, float* dx, float* dgain, bool accumulate);

/// Any alignment. Monotonic in both.
std::size_t rmsnorm_workspace_bytes(std::size_t rows, std::size_t width);

}  // namespace tequio::training::numerics
