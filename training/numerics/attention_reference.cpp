#include <cmath>
#include <vector>

#include "training/numerics/attention.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training::numerics {

float attention_scale(std::size_t head_width) {
    return 1.0F / std::sqrt(static_cast<float>(head_width));
}

namespace {

/// One query head of one sequence: where its rows start, and those of its keys and values.
struct head_place {
    std::size_t query, key, out, saved;
    std::size_t dquery, dkey;  ///< in the gradients
    bool first, last;          ///< of the heads that share these keys and values
};

template <class Body>
void for_each_head(const attention_shape& shape, std::size_t stride, std::size_t gradient_stride,
                   Body body) {
    for (std::size_t s = 0; s < shape.sequences; ++s) {
        for (std::size_t h = 0; h < shape.heads; ++h) {
            const std::size_t column = h * shape.head_width;
            const std::size_t key_column = h / shape.group * shape.head_width;
            const std::size_t token = s * shape.time;
            body(head_place{.query = token * stride + column,
                            .key = token * stride + key_column,
                            .out = token * shape.heads * shape.head_width + column,
                            .saved = (s * shape.heads + h) * shape.time,
                            .dquery = token * gradient_stride + column,
                            .dkey = token * gradient_stride + key_column,
                            .first = h % shape.group == 0,
                            .last = (h + 1) % shape.group == 0});
        }
    }
}

/// (time, time): a * b^T over the head's width.
std::vector<float> all_pairs(const attention_shape& shape, matrix_in a, matrix_in b) {
    std::vector<float> out(shape.time * shape.time);
    gemm_reference({.form = gemm_form::nt}, {shape.time, shape.time, shape.head_width}, a, b,
                   {out.data(), shape.time});
    return out;
}

}  // namespace

void attention_forward_reference(const attention_shape& shape, const attention_inputs& in,
                                 float* out, const attention_saved& saved) {
    const std::size_t time = shape.time;
    const std::size_t width = shape.heads * shape.head_width;
    const float scale = attention_scale(shape.head_width);
    for_each_head(shape, in.stride, 0, [&](const head_place& at) {
        std::vector<float> e =
            all_pairs(shape, {in.q + at.query, in.stride}, {in.k + at.key, in.stride});
        std::vector<float> inverse(time);
        for (std::size_t t = 0; t < time; ++t) {
            float* row = e.data() + t * time;
            for (std::size_t j = 0; j <= t; ++j) row[j] = row[j] * scale;
            float m = row[0];
            for (std::size_t j = 1; j <= t; ++j) m = row[j] > m ? row[j] : m;
            m = m + 0.0F;
            for (std::size_t j = 0; j < time; ++j) {
                row[j] = j <= t ? softmax_exp_reference(row[j] - m) : 0.0F;
            }
            inverse[t] = 1.0F / sum_reference({row, t + 1});
            saved.row_max[at.saved + t] = m;
            saved.inverse_sum[at.saved + t] = inverse[t];
        }
        gemm_reference({}, {time, shape.head_width, time}, {e.data(), time},
                       {in.v + at.key, in.stride}, {out + at.out, width});
        for (std::size_t t = 0; t < time; ++t) {
            for (std::size_t j = 0; j < shape.head_width; ++j) {
                float& cell = out[at.out + t * width + j];
                cell = flush(cell * inverse[t]);
            }
        }
    });
}

void attention_backward_reference(const attention_shape& shape, const attention_inputs& in,
                                  const float* out, const float* dout, const attention_saved& saved,
                                  const attention_gradients& gradients) {
    const std::size_t time = shape.time;
    const std::size_t width = shape.heads * shape.head_width;
    const float scale = attention_scale(shape.head_width);
    for_each_head(shape, in.stride, gradients.stride, [&](const head_place& at) {
        const matrix_in q{in.q + at.query, in.stride};
        const matrix_in k{in.k + at.key, in.stride};
        const matrix_in v{in.v + at.key, in.stride};
        const matrix_in dy{dout + at.out, width};
        std::vector<float> p = all_pairs(shape, q, k);
        std::vector<float> g = all_pairs(shape, dy, v);
        for (std::size_t t = 0; t < time; ++t) {
            const float d = dot_reference({dout + at.out + t * width, shape.head_width},
                                          {out + at.out + t * width, shape.head_width});
            for (std::size_t j = 0; j < time; ++j) {
                float& p_cell = p[t * time + j];
                float& g_cell = g[t * time + j];
                if (j > t) {
                    p_cell = 0.0F;
                    g_cell = 0.0F;
                    continue;
                }
                const float e = softmax_exp_reference(p_cell * scale - saved.row_max[at.saved + t]);
                p_cell = e * saved.inverse_sum[at.saved + t];
                g_cell = flush((p_cell * flush(g_cell - d)) * scale);
            }
        }
        const gemm_shape square{time, shape.head_width, time};
        gemm_reference({.flush = true}, square, {g.data(), time}, k,
                       {gradients.dq + at.dquery, gradients.stride});
        // Flushed when the last head that shares them has been added.
        const gemm_options to_keys{
            .form = gemm_form::tn, .accumulate = !at.first, .flush = at.last};
        gemm_reference(to_keys, square, {g.data(), time}, q,
                       {gradients.dk + at.dkey, gradients.stride});
        gemm_reference(to_keys, square, {p.data(), time}, dy,
                       {gradients.dv + at.dkey, gradients.stride});
    });
}

}  // namespace tequio::training::numerics
