#pragma once

/// The rectifier max(0, x), elementwise, by compare and select:
///   relu(x) = +0 where x < 2^-48, else x.
/// So it flushes as well, gives +0 for every x <= 0, -0 included, and lets NaN pass.
/// Source: Nair and Hinton 2010; Glorot, Bordes and Bengio 2011, section 3.

#include <cstddef>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// out(i, j) = relu(x(i, j) + bias[j]). x, out: (rows, columns); out may be x. out is all that
/// backward needs: it is above 0 exactly where the slope is 1.
void bias_relu_forward(const float* x, const float* bias, float* out, std::size_t rows,
                       std::size_t columns, executor& run);
void bias_relu_forward_reference(const float* x, const float* bias, float* out, std::size_t rows,
                                 std::size_t columns);

/// dx[i] = +0 where out[i] <= 0, else flush(dout[i]). out: of the forward pass. dx may be dout.
void relu_backward(const float* out, const float* dout, float* dx, std::size_t n, executor& run);
void relu_backward_reference(const float* out, const float* dout, float* dx, std::size_t n);

}  // namespace tequio::training::numerics
