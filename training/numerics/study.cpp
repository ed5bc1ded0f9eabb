#include "training/numerics/study.hpp"

#include <algorithm>
#include <vector>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm_serial.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"

namespace tequio::training::numerics {
namespace {

study active;

constexpr std::size_t key_tile = 16;
/// Rows of C a task computes.
constexpr std::size_t task_rows = 96;

/// Rows of A and rows of B from k = p on.
matrix_in a_from(gemm_form form, matrix_in a, std::size_t row, std::size_t p) {
    if (form == gemm_form::tn) return {a.data + p * a.stride + row, a.stride};
    return {a.data + row * a.stride + p, a.stride};
}

matrix_in b_from(gemm_form form, matrix_in b, std::size_t p) {
    return {b.data + (form == gemm_form::nt ? p : p * b.stride), b.stride};
}

/// `total` (rows, n), contiguous, += A B over k in [p, end), one panel.
void add_panel(gemm_form form, gemm_shape shape, matrix_in a, matrix_in b, std::size_t row,
               std::size_t p, std::size_t end, std::vector<float>& total, float* scratch) {
    std::vector<float> acc(shape.m * shape.n, 0.0F);
    for (; p < end; p += panel_length) {
        const std::size_t k = std::min(panel_length, end - p);
        gemm_serial({.form = form, .resume = true}, {shape.m, shape.n, k}, a_from(form, a, row, p),
                    b_from(form, b, p), {acc.data(), shape.n}, scratch);
    }
    for (std::size_t i = 0; i < total.size(); ++i) total[i] = total[i] + acc[i];
}

struct online_row {
    float m = 0, l = 0;
    std::vector<float> o;
};

/// Takes in keys [first, last) of which `s` holds the scaled scores.
void take_tile(online_row& row, const std::vector<float>& s, bool starts, const float* v,
               std::size_t stride) {
    float m = starts ? s[0] : row.m;
    for (const float x : s) m = x > m ? x : m;
    m = m + 0.0F;
    const float c = starts ? 0.0F : softmax_exp_reference(row.m - m);
    std::vector<float> e(s.size());
    for (std::size_t j = 0; j < s.size(); ++j) e[j] = softmax_exp_reference(s[j] - m);
    row.l = row.l * c + sum_reference(e);
    for (std::size_t i = 0; i < row.o.size(); ++i) {
        float sum = 0.0F;
        for (std::size_t j = 0; j < e.size(); ++j) sum = fused(e[j], v[j * stride + i], sum);
        row.o[i] = row.o[i] * c + sum;
    }
    row.m = m;
}

}  // namespace

void set_study(const study& what) {
    base::ensure(what.panel >= 32 && (what.panel & (what.panel - 1)) == 0, "a panel is as allowed");
    active = what;
}

const study& active_study() {
    return active;
}

void study_gemm(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                matrix_out c, executor& run) {
    const std::size_t tasks = (shape.m + task_rows - 1) / task_rows;
    run.run(tasks, [&](std::size_t task, unsigned) {
        const std::size_t row = task * task_rows;
        const gemm_shape part{std::min(task_rows, shape.m - row), shape.n, shape.k};
        const std::size_t floats = round_up(serial_gemm_floats(part), 16);
        std::vector<float> room(floats + part_alignment / sizeof(float));
        float* scratch = aligned_part(std::as_writable_bytes(std::span(room)), floats, 0);
        std::vector<float> total(part.m * part.n, 0.0F);
        if (options.accumulate) {
            for (std::size_t i = 0; i < part.m; ++i) {
                std::copy_n(c.data + (row + i) * c.stride, part.n, total.data() + i * part.n);
            }
        }
        for (std::size_t p = 0; p < shape.k; p += active.panel) {
            add_panel(options.form, part, a, b, row, p, std::min(shape.k, p + active.panel), total,
                      scratch);
        }
        for (std::size_t i = 0; i < part.m; ++i) {
            for (std::size_t j = 0; j < part.n; ++j) {
                float x = total[i * part.n + j];
                if (options.bias != nullptr) x = x + options.bias[j];
                c.data[(row + i) * c.stride + j] = options.flush ? flush(x) : x;
            }
        }
    });
}

void study_attention_forward(const attention_shape& shape, const attention_inputs& in, float* out,
                             const attention_saved& saved, executor& run) {
    const float scale = attention_scale(shape.head_width);
    const std::size_t width = shape.heads * shape.head_width;
    run.run(shape.sequences * shape.heads, [&](std::size_t task, unsigned) {
        const std::size_t token = task / shape.heads * shape.time;
        const std::size_t head = task % shape.heads;
        const std::size_t column = head * shape.head_width;
        const std::size_t key_column = head / shape.group * shape.head_width;
        for (std::size_t t = 0; t < shape.time; ++t) {
            const float* q = in.q + (token + t) * in.stride + column;
            online_row row{0, 0, std::vector<float>(shape.head_width, 0.0F)};
            for (std::size_t first = 0; first <= t; first += key_tile) {
                std::vector<float> s(std::min(key_tile, t + 1 - first));
                const std::size_t start = (token + first) * in.stride + key_column;
                for (std::size_t j = 0; j < s.size(); ++j) {
                    const float* k = in.k + start + j * in.stride;
                    for (std::size_t i = 0; i < shape.head_width; ++i)
                        s[j] = fused(q[i], k[i], s[j]);
                    s[j] = s[j] * scale;
                }
                take_tile(row, s, first == 0, in.v + start, in.stride);
            }
            const float inverse = 1.0F / row.l;
            float* place = out + (token + t) * width + column;
            for (std::size_t i = 0; i < shape.head_width; ++i) place[i] = flush(row.o[i] * inverse);
            saved.row_max[task * shape.time + t] = row.m;
            saved.inverse_sum[task * shape.time + t] = inverse;
        }
    });
}

}  // namespace tequio::training::numerics
