#pragma once

/// GELU in the tanh form ("gelu_new" of GPT-2), elementwise.
///
/// gelu(x) = 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3), computed by the identity
/// 0.5 (1 + tanh(u)) = 1 / (1 + exp(-2u)). Operation by operation, with c = 2 sqrt(2/pi) rounded to
/// float32 and a = 0.044715f:
///   x2 = x * x;  w = fma(x2, a, 1);  z = (x * c) * w;  z = -32 if z < -32;
///   s = 1 / (1 + exp(0 - z));  gelu = flush(x * s).
/// Derivative: w3 = fma(x2, 3a, 1);  dz = c * w3;  g = fma(x * (s * (1 - s)), dz, s).
/// Source: Hendrycks and Gimpel 2016, section 2; Hugging Face "gelu_new".

#include <cstddef>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// out[i] = gelu(x[i]). x is what backward needs: keep it. In place allowed.
void gelu_forward(const float* x, float* out, std::size_t n, executor& run);
void gelu_forward_reference(const float* x, float* out, std::size_t n);

/// out(i, j) = gelu(flush(x(i, j) + bias[j])). x, out: (rows, columns); x is what backward needs.
void bias_gelu_forward(const float* x, const float* bias, float* out, std::size_t rows,
                       std::size_t columns, executor& run);
void bias_gelu_forward_reference(const float* x, const float* bias, float* out, std::size_t rows,
                                 std::size_t columns);

/// dx[i] = flush(dout[i] * gelu'(x[i])). dx may be dout.
void gelu_backward(const float* x, const float* dout, float* dx, std::size_t n, executor& run);
void gelu_backward_reference(const float* x, const float* dout, float* dx, std::size_t n);

/// `gelu_backward` at flush(x(i, j) + bias[j]), and `column_sums` (reduce.hpp) of its dx into
/// dbias, in one pass. x, dout, dx: (rows, columns), dx may be dout; bias, dbias: (columns);
/// accumulate: dbias starts at its old values, else at +0. Threads take panels of 256 rows.
/// workspace: `bias_gelu_workspace_bytes`.
struct bias_gelu_gradients {
    const float* dout;
    float *dx, *dbias;
    bool accumulate;
};
void bias_gelu_backward(const float* x, const float* bias, const bias_gelu_gradients& gradients,
                        std::size_t rows, std::size_t columns, std::span<std::byte> workspace,
                        executor& run);
void bias_gelu_backward_reference(const float* x, const float* bias,
                                  const bias_gelu_gradients& gradients, std::size_t rows,
                                  std::size_t columns);

/// Any alignment. Monotonic in both.
std::size_t bias_gelu_workspace_bytes(std::size_t rows, std::size_t columns);

}  // namespace tequio::training::numerics
