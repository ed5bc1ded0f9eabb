#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/attention.hpp"
#include "training/numerics/gemm_serial.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// The first n lanes, all of them from n = lanes on (Highway's own looks at the low 8 bits of n
/// only).
HWY_INLINE hn::Mask<float_tag> first_lanes(std::size_t n) {
    return hn::FirstN(float_tag(), n < lanes ? n : lanes);
}

/// Zeros from n (rounded up to the 32 elements that the last sum covered) to `filled`.
void clear_rest(float* row, std::size_t n, std::size_t filled) {
    for (std::size_t i = round_up(n, 32); i < filled; ++i) row[i] = 0.0F;
}

/// row[0..n): scores in, e out, +0 up to `filled`. Rows have room for round_up(n, 32).
void softmax_row(float* row, std::size_t n, std::size_t filled, float scale, float* row_max,
                 float* inverse_sum) {
    const float_tag d;
    const vector factor = hn::Set(d, scale);
    vector m = hn::Set(d, row[0] * scale);
    for (std::size_t i = 0; i < n; i += lanes) {
        const vector s = hn::Mul(hn::LoadU(d, row + i), factor);
        hn::StoreU(s, d, row + i);
        m = hn::IfThenElse(hn::And(first_lanes(n - i), hn::Gt(s, m)), s, m);
    }
    HWY_ALIGN float buffer[lanes];
    hn::Store(m, d, buffer);
    float best = buffer[0];
    for (std::size_t j = 1; j < lanes; ++j) best = buffer[j] > best ? buffer[j] : best;
    best = best + 0.0F;
    const vector top = hn::Set(d, best);
    partial_sums sums;
    for (std::size_t i = 0; i < n; i += 32) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < partial_sums::count; ++v) {
            const std::size_t at = i + v * lanes;
            const vector s = hn::LoadU(d, row + at);
            const vector e =
                hn::IfThenElseZero(first_lanes(at < n ? n - at : 0), softmax_exp(hn::Sub(s, top)));
            hn::StoreU(e, d, row + at);
            sums.s[v] = hn::Add(sums.s[v], e);
        }
    }
    clear_rest(row, n, filled);
    *row_max = best;
    *inverse_sum = 1.0F / sums.fold();
}

/// p[0..n): scores in, probabilities out; g[0..n): dout . v in, gradient by the raw score out; both
/// +0 up to `filled`.
void softmax_backward_row(float* p, float* g, std::size_t n, std::size_t filled, float scale,
                          float row_max, float inverse_sum, float row_dot) {
    const float_tag d;
    const vector factor = hn::Set(d, scale);
    const vector top = hn::Set(d, row_max);
    const vector inverse = hn::Set(d, inverse_sum);
    const vector centre = hn::Set(d, row_dot);
    for (std::size_t i = 0; i < round_up(n, 32); i += lanes) {
        const auto inside = first_lanes(i < n ? n - i : 0);
        const vector s = hn::Mul(hn::LoadU(d, p + i), factor);
        const vector q = hn::Mul(softmax_exp(hn::Sub(s, top)), inverse);
        const vector slope = hn::Mul(hn::Mul(q, hn::Sub(hn::LoadU(d, g + i), centre)), factor);
        hn::StoreU(hn::IfThenElseZero(inside, q), d, p + i);
        hn::StoreU(hn::IfThenElseZero(inside, flushed(slope)), d, g + i);
    }
    clear_rest(p, n, filled);
    clear_rest(g, n, filled);
}

/// out = flush(x * factor).
void scale_row(const float* x, float factor, float* out, std::size_t n) {
    const vector f = hn::Set(float_tag(), factor);
    map(
        n, out, [f](vector a) HWY_ATTR { return flushed(hn::Mul(a, f)); }, x);
}

/// total = total + acc, then acc = +0.
void close_panel(float* acc, float* total, std::size_t n) {
    map(
        n, total, [](vector a, vector b) HWY_ATTR { return hn::Add(a, b); }, total, acc);
    for (std::size_t i = 0; i < n; ++i) acc[i] = 0.0F;
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

// The reference target never comes here: attention_forward and _backward turn to the references.
void softmax_row(float* row, std::size_t n, std::size_t filled, float scale, float* row_max,
                 float* inverse_sum) {
    TEQUIO_RETURN_VECTOR(softmax_row(row, n, filled, scale, row_max, inverse_sum));
}
void softmax_backward_row(float* p, float* g, std::size_t n, std::size_t filled, float scale,
                          float row_max, float inverse_sum, float row_dot) {
    TEQUIO_RETURN_VECTOR(
        softmax_backward_row(p, g, n, filled, scale, row_max, inverse_sum, row_dot));
}
void scale_row(const float* x, float factor, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(scale_row(x, factor, out, n));
}
void close_panel(float* acc, float* total, std::size_t n) {
    TEQUIO_RETURN_VECTOR(close_panel(acc, total, n));
}

/// Query rows computed at a time; divides a panel. With 64, the causal half is 5/8 of the whole at
/// 256 positions, and packing a strip costs little.
constexpr std::size_t strip = 64;
static_assert(panel_length % strip == 0);

/// Offsets, in floats, into a thread's part of the workspace.
struct layout {
    explicit layout(const attention_shape& shape)
        : row(round_up(shape.time, 32) + 16),
          head(shape.time * shape.head_width),
          scores(0),
          gradients(strip * row),
          packed_keys(gradients + strip * row),
          packed_values(packed_keys + round_up(packed_floats(shape.time, shape.head_width), 16)),
          packed_rows(packed_values + round_up(packed_floats(shape.time, shape.head_width), 16)),
          result(packed_rows + round_up(packed_floats(shape.head_width, shape.time), 16)),
          accumulators(result + round_up(strip * shape.head_width, 16)),
          scratch(accumulators + 4 * round_up(head, 16)),
          size(scratch + serial_gemm_floats(
                             {shape.time, std::max(shape.time, shape.head_width), panel_length})) {}
    std::size_t row, head;
    std::size_t scores, gradients, packed_keys, packed_values, packed_rows, result, accumulators,
        scratch, size;
};

/// One head of one sequence.
struct head_work {
    const attention_shape& shape;
    const layout& at;
    float* part;  ///< this thread's workspace
    std::size_t width, stride;
    float scale;

    matrix_out scores() const { return {part + at.scores, at.row}; }
    matrix_out slopes() const { return {part + at.gradients, at.row}; }
    float* scratch() const { return part + at.scratch; }
};

matrix_in read(matrix_out m) {
    return {m.data, m.stride};
}

void forward_head(const head_work& work, const float* q, const float* k, const float* v, float* out,
                  float* row_max, float* inverse_sum) {
    const std::size_t time = work.shape.time;
    const std::size_t head_width = work.shape.head_width;
    const packed_matrix keys = pack_matrix(gemm_form::nt, time, head_width, {k, work.stride},
                                           work.part + work.at.packed_keys);
    const packed_matrix values = pack_matrix(gemm_form::nn, head_width, time, {v, work.stride},
                                             work.part + work.at.packed_rows);
    const matrix_out e = work.scores();
    const matrix_out result{work.part + work.at.result, head_width};
    for (std::size_t begin = 0; begin < time; begin += strip) {
        const std::size_t end = std::min(time, begin + strip);
        const std::size_t rows = end - begin;
        gemm_packed({}, {rows, end, head_width}, {q + begin * work.stride, work.stride}, keys, e,
                    work.scratch());
        for (std::size_t r = 0; r < rows; ++r) {
            softmax_row(e.data + r * e.stride, begin + r + 1, end, work.scale, row_max + begin + r,
                        inverse_sum + begin + r);
        }
        gemm_packed({}, {rows, head_width, end}, read(e), values, result, work.scratch());
        for (std::size_t r = 0; r < rows; ++r) {
            scale_row(result.data + r * head_width, inverse_sum[begin + r],
                      out + (begin + r) * work.width, head_width);
        }
    }
}

/// What backward of one head reads and writes, each at its first row.
struct head_gradients {
    const float *q, *k, *v, *out, *dout, *row_max, *inverse_sum;
    float *dq, *dk, *dv;
    std::size_t stride;
};

void backward_head(const head_work& work, const head_gradients& h) {
    const std::size_t time = work.shape.time;
    const std::size_t head_width = work.shape.head_width;
    const packed_matrix keys = pack_matrix(gemm_form::nt, time, head_width, {h.k, work.stride},
                                           work.part + work.at.packed_keys);
    const packed_matrix values = pack_matrix(gemm_form::nt, time, head_width, {h.v, work.stride},
                                             work.part + work.at.packed_values);
    const packed_matrix key_rows = pack_matrix(gemm_form::nn, head_width, time, {h.k, work.stride},
                                               work.part + work.at.packed_rows);
    const matrix_out p = work.scores();
    const matrix_out g = work.slopes();
    const std::size_t head = round_up(work.at.head, 16);
    float* acc = work.part + work.at.accumulators;
    float* total = acc + 2 * head;
    std::fill(acc, acc + 4 * head, 0.0F);
    for (std::size_t begin = 0; begin < time; begin += strip) {
        const std::size_t end = std::min(time, begin + strip);
        const std::size_t rows = end - begin;
        const matrix_in q{h.q + begin * work.stride, work.stride};
        const matrix_in dy{h.dout + begin * work.width, work.width};
        gemm_packed({}, {rows, end, head_width}, q, keys, p, work.scratch());
        gemm_packed({}, {rows, end, head_width}, dy, values, g, work.scratch());
        for (std::size_t r = 0; r < rows; ++r) {
            const std::size_t t = begin + r;
            const float row_dot =
                dot({h.dout + t * work.width, head_width}, {h.out + t * work.width, head_width});
            softmax_backward_row(p.data + r * p.stride, g.data + r * g.stride, t + 1, end,
                                 work.scale, h.row_max[t], h.inverse_sum[t], row_dot);
        }
        gemm_packed({.flush = true}, {rows, head_width, end}, read(g), key_rows,
                    {h.dq + begin * h.stride, h.stride}, work.scratch());
        // Sums over queries go on where the strip before left them, until their panel is full.
        const serial_gemm_options go_on{.form = gemm_form::tn, .resume = true};
        gemm_serial(go_on, {end, head_width, rows}, read(g), q, {acc, head_width}, work.scratch());
        gemm_serial(go_on, {end, head_width, rows}, read(p), dy, {acc + head, head_width},
                    work.scratch());
        if (end % panel_length == 0 || end == time) close_panel(acc, total, 2 * head);
    }
    for (std::size_t t = 0; t < time; ++t) {
        scale_row(total + t * head_width, 1.0F, h.dk + t * h.stride, head_width);
        scale_row(total + head + t * head_width, 1.0F, h.dv + t * h.stride, head_width);
    }
}

/// Operations of one product over all pairs of a query and a key that it sees.
std::size_t pair_flops(const attention_shape& shape) {
    return shape.sequences * shape.heads * shape.time * (shape.time + 1) * shape.head_width;
}

/// Calls body(work, first token, first column, first saved value) for each head, spread over
/// threads.
template <class Body>
void for_each_head(const attention_shape& shape, std::size_t stride, std::span<std::byte> workspace,
                   executor& run, Body body) {
    const layout at(shape);
    const std::size_t floats = round_up(at.size, 16);
    const float scale = attention_scale(shape.head_width);
    run.run(shape.sequences * shape.heads, [&](std::size_t task, unsigned thread) {
        const head_work work{.shape = shape,
                             .at = at,
                             .part = aligned_part(workspace, floats, thread),
                             .width = shape.heads * shape.head_width,
                             .stride = stride,
                             .scale = scale};
        body(work, task / shape.heads * shape.time, task % shape.heads * shape.head_width,
             task * shape.time);
    });
}

}  // namespace

void attention_forward(const attention_shape& shape, const attention_inputs& in, float* out,
                       const attention_saved& saved, std::span<std::byte> workspace,
                       executor& run) {
    if (active_target() == simd_target::reference) {
        return attention_forward_reference(shape, in, out, saved);
    }
    run.note({"attention forward", 2 * pair_flops(shape), 0});
    for_each_head(
        shape, in.stride, workspace, run,
        [&](const head_work& work, std::size_t token, std::size_t column, std::size_t place) {
            const std::size_t at = token * in.stride + column;
            forward_head(work, in.q + at, in.k + at, in.v + at, out + token * work.width + column,
                         saved.row_max + place, saved.inverse_sum + place);
        });
}

void attention_backward(const attention_shape& shape, const attention_inputs& in, const float* out,
                        const float* dout, const attention_saved& saved,
                        const attention_gradients& gradients, std::span<std::byte> workspace,
                        executor& run) {
    if (active_target() == simd_target::reference) {
        return attention_backward_reference(shape, in, out, dout, saved, gradients);
    }
    run.note({"attention backward", 5 * pair_flops(shape), 0});
    for_each_head(
        shape, in.stride, workspace, run,
        [&](const head_work& work, std::size_t token, std::size_t column, std::size_t place) {
            const std::size_t at = token * in.stride + column;
            const std::size_t at_out = token * work.width + column;
            const std::size_t to = token * gradients.stride + column;
            backward_head(work, {.q = in.q + at,
                                 .k = in.k + at,
                                 .v = in.v + at,
                                 .out = out + at_out,
                                 .dout = dout + at_out,
                                 .row_max = saved.row_max + place,
                                 .inverse_sum = saved.inverse_sum + place,
                                 .dq = gradients.dq + to,
                                 .dk = gradients.dk + to,
                                 .dv = gradients.dv + to,
                                 .stride = gradients.stride});
        });
}

std::size_t attention_workspace_bytes(const attention_shape& shape, unsigned threads) {
    return threads * round_up(layout(shape).size, 16) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
#endif
