#pragma once

/// Other arithmetics than exact/1, for studies of what its rules cost (`tequio job replay
/// --research`). One setting for the whole process, off unless somebody switches it on by hand: no
/// recipe and no message can. Results are as deterministic as any, but they are no job's.

#include <cstddef>

#include "training/executor.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

struct study {
    /// K elements between two additions to C in `gemm`, a power of two from 32; sums inside
    /// attention keep theirs.
    std::size_t panel = panel_length;
    /// Attention forward in one pass over the keys (Milakov and Gimelshein 2018, algorithm 3).
    bool online_softmax = false;
};

/// While no kernel runs.
void set_study(const study& what);
const study& active_study();

/// `gemm` with panels of `active_study().panel`. Plain: a shorter panel is a product of its own, a
/// longer one is summed in a buffer by resuming. Allocates.
void study_gemm(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                matrix_out c, executor& run);

/// `attention_forward` with one pass: for tiles of 16 keys, m' = max(m, scores), c = softmax_exp(m
/// - m'), l = l * c + sum(e), O = O * c + sum of e[j] * v[j] by fma, j ascending; out = flush(O *
/// (1 / l)). Saves the last m and 1 / l, which the usual backward pass takes. Scalar and slow.
void study_attention_forward(const attention_shape& shape, const attention_inputs& in, float* out,
                             const attention_saved& saved, executor& run);

}  // namespace tequio::training::numerics
