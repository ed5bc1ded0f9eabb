#pragma once

/// SwiGLU's gate, elementwise: out = silu(gate) * up (Shazeer 2020, eq. 6; Hugging Face
/// modeling_llama.py, LlamaMLP).
///
/// silu(g) = g / (1 + exp(-g)). Operation by operation:
///   z = -32 if g < -32, else g;  s = 1 / (1 + exp(0 - z));  a = g * s;  out = flush(a * up).
/// Derivatives: d_up = flush(dout * a);  d_gate = flush((dout * up) * fma(a, 1 - s, s)).

#include <cstddef>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// out[i] = silu(gate[i]) * up[i]. gate and up are what backward needs: keep them. In place
/// allowed.
void swiglu_forward(const float* gate, const float* up, float* out, std::size_t n, executor& run);
void swiglu_forward_reference(const float* gate, const float* up, float* out, std::size_t n);

/// Gradients by gate and up in one pass. d_gate may be gate, and d_up may be up or dout.
void swiglu_backward(const float* gate, const float* up, const float* dout, float* d_gate,
                     float* d_up, std::size_t n, executor& run);
void swiglu_backward_reference(const float* gate, const float* up, const float* dout, float* d_gate,
                               float* d_up, std::size_t n);

}  // namespace tequio::training::numerics
