#pragma once

/// Rotary position embedding in the half-split form (Su et al. 2021, eq. 34; Hugging Face
/// modeling_llama.py, apply_rotary_pos_emb): element i of the first half of a head turns with
/// element i of the second half, by position * theta^(-2 i / head_width) radians.

#include <cstddef>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// Cosines and sines, each (positions, head_width / 2), row-major.
struct rope_table {
    const float *cosine, *sine;
};

/// Fills the table in float64, each value rounded once to float32: f[i] = exp64(-(2 i / head_width)
/// * log64(theta)); (sine, cosine) = sin_cos64(position * f[i]); a value below 2^-48 becomes +0.
/// head_width is even, theta from 1, positions at most 2^20.
void fill_rope_table(std::size_t positions, std::size_t head_width, double theta, float* cosine,
                     float* sine);

/// What `rope` turns in place: `tokens` rows of `heads` heads side by side, row p at data + p *
/// stride, being position p % time of its sequence.
struct rope_rows {
    float* data;
    std::size_t stride, tokens, time, heads, head_width;
};

/// forward is the layer itself; backward turns a gradient by the negative angle.
enum class rope_turn { forward, backward };

/// With a and b the two halves of a head, c = cosine, s = sine (forward) or -sine (backward):
/// first half = flush(fma(-b, s, a * c)); second half = flush(fma(a, s, b * c)). The table has at
/// least `time` positions.
void rope(const rope_rows& x, const rope_table& table, rope_turn turn, executor& run);
void rope_reference(const rope_rows& x, const rope_table& table, rope_turn turn);

}  // namespace tequio::training::numerics
