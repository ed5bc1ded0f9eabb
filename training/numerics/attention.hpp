#pragma once

/// Causal self-attention, two-pass (NUMERICS.md, Order in a lane).

#include <cstddef>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// Rows of q, k, v, out and their gradients are tokens, sequence-major: token t of sequence s is
/// row s * time + t. Head h takes columns [h * head_width, (h + 1) * head_width) of q and out;
/// with `group` query heads sharing a head of keys and values (Ainslie et al. 2023), head h / group
/// of k and v. head_width <= 256.
struct attention_shape {
    std::size_t sequences, time, heads, head_width;
    std::size_t group = 1;  ///< divides heads
};

/// q, k and v share a row stride in floats: for GPT-2's joined (tokens, 3 * width) projection
/// q = qkv, k = qkv + width, v = qkv + 2 * width, stride = 3 * width.
struct attention_inputs {
    const float *q, *k, *v;
    std::size_t stride;
};

/// Gradients of the three, written (not added to) with their own common stride.
struct attention_gradients {
    float *dq, *dk, *dv;
    std::size_t stride;
};

/// Saved for the backward pass: both (sequences, heads, time).
struct attention_saved {
    float* row_max;
    float* inverse_sum;
};

/// 1 / sqrt(head_width), both correctly rounded.
float attention_scale(std::size_t head_width);

/// out: (tokens, heads * head_width), contiguous. For each query t, with products by the matrix
/// rule: s[j] = (q[t] . k[j]) * scale for j <= t; m = (max of s by compare) + (+0), never -0; e[j]
/// = softmax_exp(s[j] - m); l = sum(e) (32-way over 0..t); i = 1 / l; out = flush((sum over j of
/// e[j] * v[j]) * i), panels of 256 by absolute j. Saves m and i. workspace:
/// `attention_workspace_bytes`.
void attention_forward(const attention_shape& shape, const attention_inputs& in, float* out,
                       const attention_saved& saved, std::span<std::byte> workspace, executor& run);
void attention_forward_reference(const attention_shape& shape, const attention_inputs& in,
                                 float* out, const attention_saved& saved);

/// p[t, j] = e * i, recomputed as forward did; D[t] = dot(dout[t], out[t]) (32-way);
/// g[t, j] = flush((p * flush(dout[t] . v[j] - D[t])) * scale), +0 for j > t;
/// dq[t] = flush(sum over j of g[t, j] * k[j]); dk[j] = flush(sum over t of g[t, j] * q[t]);
/// dv[j] = flush(sum over t of p[t, j] * dout[t]). Sums by the matrix rule, panels of 256 by
/// absolute position over the whole sequence (j > t counts as p = g = +0); the sums of query heads
/// that share keys and values follow one another, ascending, each with panels of its own. dout,
/// out: as forward's out.
void attention_backward(const attention_shape& shape, const attention_inputs& in, const float* out,
                        const float* dout, const attention_saved& saved,
                        const attention_gradients& gradients, std::span<std::byte> workspace,
                        executor& run);
void attention_backward_reference(const attention_shape& shape, const attention_inputs& in,
                                  const float* out, const float* dout, const attention_saved& saved,
                                  const attention_gradients& gradients);

/// Workspace of both, any alignment: strips of query rows, so about linear in time.
std::size_t attention_workspace_bytes(const attention_shape& shape, unsigned threads);

}  // namespace tequio::training::numerics
