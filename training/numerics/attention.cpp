#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/attention.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/attention_tiles_inl.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/study.hpp"
#include "training/numerics/vector_math_inl.hpp"

#ifndef TEQUIO_ATTENTION_HEADS
#define TEQUIO_ATTENTION_HEADS
namespace tequio::training::numerics {
namespace {

/// Query rows computed at a time backward: how far sums over queries go between two visits of
/// memory. Divides a panel.
constexpr std::size_t backward_strip = 64;
static_assert(panel_length % backward_strip == 0);

/// Forward, the scores of a strip stay in the first cache; this many floats.
constexpr std::size_t forward_scores = 8192;

/// Offsets, in floats, into a thread's part of the workspace; each a multiple of a vector. `row` is
/// a row of scores, `padded` a row of a head.
struct layout {
    explicit layout(const attention_shape& shape)
        : single(shape.time <= panel_length && shape.group == 1),
          row(round_up(shape.time, 32) + 16),
          padded(round_up(shape.head_width, 16)),
          gradients(backward_strip * row),
          turned_keys(gradients + backward_strip * row),
          turned_values(turned_keys + round_up(shape.time, 32) * padded),
          keys(turned_values + round_up(shape.time, 32) * padded),
          values(keys),
          queries(keys + shape.time * padded),
          douts(queries + backward_strip * padded),
          key_sums(douts + backward_strip * padded),
          value_sums(key_sums + shape.time * padded),
          key_totals(value_sums + shape.time * padded),
          value_totals(key_totals + shape.time * padded),
          size(value_totals + shape.time * padded) {}
    bool single;  ///< sums over queries have one panel
    std::size_t row, padded;
    std::size_t gradients, turned_keys, turned_values, keys, values, queries, douts, key_sums,
        value_sums, key_totals, value_totals, size;
};

/// One head of one sequence, each array at its first element.
struct forward_head_arrays {
    const float *q, *k, *v;
    std::size_t stride;  ///< of q, k and v
    float* out;
    std::size_t width;  ///< stride of out
    float *row_max, *inverse_sum;
};

struct backward_head_arrays {
    forward_head_arrays forward;
    const float* dout;
    float *dq, *dk, *dv;
    std::size_t gradient_stride;
};

}  // namespace
}  // namespace tequio::training::numerics
#endif

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// The first n lanes, n < 256 (Highway looks at the low 8 bits only).
HWY_INLINE hn::Mask<float_tag> first_lanes(std::size_t n) {
    return hn::FirstN(float_tag(), n < lanes ? n : lanes);
}

/// The largest of row[0..n), never -0.
HWY_INLINE float largest(const float* row, std::size_t n) {
    const float_tag d;
    const auto larger = [](vector a, vector m)
                            HWY_ATTR { return hn::IfThenElse(hn::Gt(a, m), a, m); };
    vector m = hn::Set(d, row[0]);
    vector other = m;
    std::size_t i = 0;
    for (; i + 2 * lanes <= n; i += 2 * lanes) {
        m = larger(hn::LoadU(d, row + i), m);
        other = larger(hn::LoadU(d, row + i + lanes), other);
    }
    for (; i < n; i += lanes) {
        const vector s = hn::LoadU(d, row + i);
        other = hn::IfThenElse(hn::And(first_lanes(n - i), hn::Gt(s, other)), s, other);
    }
    return fold_largest(d, larger(other, m)) + 0.0F;
}

/// Zeros behind a row of n, as far as the products read it. What `softmax_row` covered, the next
/// multiple of 32, is zero already.
HWY_INLINE void clear_rest(float* row, std::size_t n) {
    for (std::size_t i = round_up(n, 32); i < n + tile_rows; i += lanes) {
        hn::StoreU(hn::Zero(float_tag()), float_tag(), row + i);
    }
}

/// row[0..n): scaled scores in, e out; returns 1 / sum(e).
HWY_INLINE float softmax_row(float* row, std::size_t n, float row_max) {
    const float_tag d;
    const vector top = hn::Set(d, row_max);
    const auto below_top = [top](vector s) HWY_ATTR { return hn::Sub(s, top); };
    partial_sums sums;
    std::size_t i = 0;
    const auto take = [&](auto vectors) HWY_ATTR {
        const auto e = softmax_exp(each(below_top, load_bundle<vectors.value>(row + i)));
        store_bundle(e, row + i);
        sums.add(e);
        i += vectors.value * lanes;
    };
    constexpr std::size_t wide = std::max(side_by_side, partial_sums::count);
    while (i + wide * lanes <= n) take(count<wide>());
    while (i + 32 <= n) take(count<partial_sums::count>());
    if (i < n) {
        auto e = softmax_exp(each(below_top, load_bundle<partial_sums::count>(row + i)));
        for (std::size_t v = 0; v < partial_sums::count; ++v) {
            const std::size_t at = i + v * lanes;
            e.v[v] = hn::IfThenElseZero(first_lanes(at < n ? n - at : 0), e.v[v]);
        }
        store_bundle(e, row + i);
        sums.add(e);
    }
    clear_rest(row, n);
    return 1.0F / sums.fold();
}

/// What a row of probabilities and slopes needs beside its scores.
struct row_scalars {
    float row_max, inverse_sum, dot, scale;
};

/// p[0..n): scaled scores in, probabilities out; g[0..n): dout . v in, gradient by the raw score
/// out.
HWY_INLINE void softmax_backward_row(float* p, float* g, std::size_t n, const row_scalars& s) {
    const float_tag d;
    const vector top = hn::Set(d, s.row_max);
    const vector inverse = hn::Set(d, s.inverse_sum);
    const vector centre = hn::Set(d, s.dot);
    const vector factor = hn::Set(d, s.scale);
    const auto probability = [=](const auto& x) HWY_ATTR {
        const auto e = softmax_exp(each([=](vector a) HWY_ATTR { return hn::Sub(a, top); }, x));
        return each([=](vector a) HWY_ATTR { return hn::Mul(a, inverse); }, e);
    };
    const auto slope = [=](vector q, vector dy) HWY_ATTR {
        return flushed(product(product(q, flushed(hn::Sub(dy, centre))), factor));
    };
    std::size_t i = 0;
    constexpr std::size_t step = side_by_side * lanes;
    for (; i + step <= n; i += step) {
        const auto q = probability(load_bundle<side_by_side>(p + i));
        store_bundle(each(slope, q, load_bundle<side_by_side>(g + i)), g + i);
        store_bundle(q, p + i);
    }
    for (; i < n + tile_rows; i += lanes) {
        const auto inside = first_lanes(i < n ? n - i : 0);
        const vector q = probability(load_bundle<1>(p + i)).v[0];
        hn::StoreU(hn::IfThenElseZero(inside, slope(q, hn::LoadU(d, g + i))), d, g + i);
        hn::StoreU(hn::IfThenElseZero(inside, q), d, p + i);
    }
}

void forward_head(const attention_shape& shape, const layout& at, float* part,
                  const forward_head_arrays& h) {
    const std::size_t width = shape.head_width;
    const float scale = attention_scale(width);
    const std::size_t tiles = std::max<std::size_t>(1, forward_scores / shape.time / tile_rows);
    const std::size_t strip = std::min(tiles * tile_rows, backward_strip / tile_rows * tile_rows);
    const matrix_out scores{part, at.row};
    for (std::size_t begin = 0; begin < shape.time; begin += strip) {
        const std::size_t end = std::min(shape.time, begin + strip);
        lower_products(begin, end, width, {h.q + begin * h.stride, h.stride}, part + at.turned_keys,
                       scale, scores);
        for (std::size_t t = begin; t < end; ++t) {
            h.row_max[t] = largest(scores.data + (t - begin) * at.row, t + 1);
        }
        for (std::size_t t = begin; t < end; ++t) {
            h.inverse_sum[t] = softmax_row(scores.data + (t - begin) * at.row, t + 1, h.row_max[t]);
        }
        mix_rows(begin, end, width, at.padded, {scores.data, at.row}, part + at.values,
                 h.inverse_sum + begin, {h.out + begin * h.width, h.width});
    }
}

/// Keys and values of a head, laid out for `forward_head` of every query head that shares them.
void prepare_forward(const attention_shape& shape, const layout& at, float* part,
                     const forward_head_arrays& h) {
    turn_rows({h.k, h.stride}, shape.time, shape.head_width, part + at.turned_keys);
    copy_rows({h.v, h.stride}, shape.time, shape.head_width, at.padded, part + at.values);
}

/// total = total + acc; opens: total starts at +0.
void close_panel(const float* acc, float* total, std::size_t n, bool opens) {
    const float_tag d;
    for (std::size_t i = 0; i < n; i += lanes) {
        const vector old = opens ? hn::Zero(d) : hn::LoadU(d, total + i);
        hn::StoreU(hn::Add(old, hn::LoadU(d, acc + i)), d, total + i);
    }
}

/// opens: the first query head of those that share the keys and values.
void backward_head(const attention_shape& shape, const layout& at, float* part, bool opens,
                   const backward_head_arrays& b) {
    const auto& h = b.forward;
    const std::size_t width = shape.head_width;
    const float scale = attention_scale(width);
    const matrix_out p{part, at.row};
    const matrix_out g{part + at.gradients, at.row};
    float* queries = part + at.queries;
    float* douts = part + at.douts;
    for (std::size_t begin = 0; begin < shape.time; begin += backward_strip) {
        const std::size_t end = std::min(shape.time, begin + backward_strip);
        copy_rows({h.q + begin * h.stride, h.stride}, end - begin, width, at.padded, queries);
        copy_rows({b.dout + begin * h.width, h.width}, end - begin, width, at.padded, douts);
        lower_products(begin, end, width, {queries, at.padded}, part + at.turned_keys, scale, p);
        lower_products(begin, end, width, {douts, at.padded}, part + at.turned_values, 1.0F, g);
        for (std::size_t t = begin; t < end; ++t) {
            const std::size_t row = (t - begin) * at.row;
            const float row_dot = reduce(
                width, [](vector s, vector x, vector y) HWY_ATTR { return hn::MulAdd(x, y, s); },
                b.dout + t * h.width, h.out + t * h.width);
            softmax_backward_row(p.data + row, g.data + row, t + 1,
                                 {h.row_max[t], h.inverse_sum[t], row_dot, scale});
        }
        mix_rows(begin, end, width, at.padded, {g.data, at.row}, part + at.keys, nullptr,
                 {b.dq + begin * b.gradient_stride, b.gradient_stride});
        // Sums over queries go on where the strip before left them, until their panel is full.
        if (begin % panel_length == 0) {
            std::fill(part + at.key_sums, part + at.key_totals, 0.0F);
        }
        add_outer(begin, end, at.padded, {g.data, at.row}, queries, part + at.key_sums);
        add_outer(begin, end, at.padded, {p.data, at.row}, douts, part + at.value_sums);
        if (!at.single && (end % panel_length == 0 || end == shape.time)) {
            close_panel(part + at.key_sums, part + at.key_totals, 2 * shape.time * at.padded,
                        opens && begin < panel_length);
        }
    }
}

void prepare_backward(const attention_shape& shape, const layout& at, float* part,
                      const backward_head_arrays& b) {
    const auto& h = b.forward;
    turn_rows({h.k, h.stride}, shape.time, shape.head_width, part + at.turned_keys);
    turn_rows({h.v, h.stride}, shape.time, shape.head_width, part + at.turned_values);
    copy_rows({h.k, h.stride}, shape.time, shape.head_width, at.padded, part + at.keys);
}

/// Writes the sums over all query heads that share the keys and values.
void finish_backward(const attention_shape& shape, const layout& at, const float* part,
                     const backward_head_arrays& b) {
    const auto write = [&](const float* total, float* out) HWY_ATTR {
        for (std::size_t t = 0; t < shape.time; ++t) {
            map(
                shape.head_width, out + t * b.gradient_stride,
                [](vector x) HWY_ATTR { return flushed(x); }, total + t * at.padded);
        }
    };
    // A single panel's sum needs no total: flushing hides that +0 was not added to it.
    write(part + (at.single ? at.key_sums : at.key_totals), b.dk);
    write(part + (at.single ? at.value_sums : at.value_totals), b.dv);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

// The reference target never comes here: attention_forward and _backward turn to the references.
void prepare_forward(const attention_shape& shape, const layout& at, float* part,
                     const forward_head_arrays& h) {
    TEQUIO_RETURN_VECTOR(prepare_forward(shape, at, part, h));
}
void forward_head(const attention_shape& shape, const layout& at, float* part,
                  const forward_head_arrays& h) {
    TEQUIO_RETURN_VECTOR(forward_head(shape, at, part, h));
}
void prepare_backward(const attention_shape& shape, const layout& at, float* part,
                      const backward_head_arrays& b) {
    TEQUIO_RETURN_VECTOR(prepare_backward(shape, at, part, b));
}
void backward_head(const attention_shape& shape, const layout& at, float* part, bool opens,
                   const backward_head_arrays& b) {
    TEQUIO_RETURN_VECTOR(backward_head(shape, at, part, opens, b));
}
void finish_backward(const attention_shape& shape, const layout& at, const float* part,
                     const backward_head_arrays& b) {
    TEQUIO_RETURN_VECTOR(finish_backward(shape, at, part, b));
}

/// Operations of one product over all pairs of a query and a key that it sees.
std::size_t pair_flops(const attention_shape& shape) {
    return shape.sequences * shape.heads * shape.time * (shape.time + 1) * shape.head_width;
}

/// Where a query head and the key and value head that it uses start.
struct head_place {
    std::size_t token;       ///< first of the sequence
    std::size_t own_column;  ///< of the query head in q and out
    std::size_t column;      ///< of the key and value head
    std::size_t saved;       ///< in row_max and inverse_sum
};

/// Calls body(part of the workspace, layout, place of the first query head, query heads) for each
/// key and value head, spread over threads.
template <class Body>
void for_each_head(const attention_shape& shape, std::span<std::byte> workspace, executor& run,
                   Body body) {
    base::ensure(shape.group > 0 && shape.heads % shape.group == 0,
                 "query heads share keys and values evenly");
    const layout at(shape);
    const std::size_t floats = round_up(at.size, 16);
    const std::size_t shared = shape.heads / shape.group;
    run.run(shape.sequences * shared, [&](std::size_t task, unsigned thread) {
        const std::size_t head = task % shared * shape.group;
        body(at, aligned_part(workspace, floats, thread),
             head_place{task / shared * shape.time, head * shape.head_width,
                        task % shared * shape.head_width,
                        (task / shared * shape.heads + head) * shape.time});
    });
}

/// The arrays of the `index`-th query head of those that share keys and values.
forward_head_arrays arrays_of(const attention_shape& shape, const attention_inputs& in,
                              const attention_saved& saved, float* out, const head_place& place,
                              std::size_t index) {
    const std::size_t width = shape.heads * shape.head_width;
    const std::size_t own = place.own_column + index * shape.head_width;
    const std::size_t row = place.token * in.stride;
    return {.q = in.q + row + own,
            .k = in.k + row + place.column,
            .v = in.v + row + place.column,
            .stride = in.stride,
            .out = out + place.token * width + own,
            .width = width,
            .row_max = saved.row_max + place.saved + index * shape.time,
            .inverse_sum = saved.inverse_sum + place.saved + index * shape.time};
}

}  // namespace

void attention_forward(const attention_shape& shape, const attention_inputs& in, float* out,
                       const attention_saved& saved, std::span<std::byte> workspace,
                       executor& run) {
    if (active_study().online_softmax) return study_attention_forward(shape, in, out, saved, run);
    if (active_target() == simd_target::reference) {
        return attention_forward_reference(shape, in, out, saved);
    }
    run.note({"attention forward", 2 * pair_flops(shape), 0});
    for_each_head(shape, workspace, run,
                  [&](const layout& at, float* part, const head_place& place) {
                      prepare_forward(shape, at, part, arrays_of(shape, in, saved, out, place, 0));
                      for (std::size_t i = 0; i < shape.group; ++i) {
                          forward_head(shape, at, part, arrays_of(shape, in, saved, out, place, i));
                      }
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
    const auto head = [&](const head_place& place, std::size_t index) {
        // Backward reads `out`, and writes nothing through the pointer that forward writes through.
        const auto forward = arrays_of(shape, in, saved, const_cast<float*>(out), place, index);
        const std::size_t row = place.token * gradients.stride;
        const std::size_t own = place.own_column + index * shape.head_width;
        return backward_head_arrays{.forward = forward,
                                    .dout = dout + (forward.out - out),
                                    .dq = gradients.dq + row + own,
                                    .dk = gradients.dk + row + place.column,
                                    .dv = gradients.dv + row + place.column,
                                    .gradient_stride = gradients.stride};
    };
    for_each_head(shape, workspace, run,
                  [&](const layout& at, float* part, const head_place& place) {
                      prepare_backward(shape, at, part, head(place, 0));
                      for (std::size_t i = 0; i < shape.group; ++i) {
                          backward_head(shape, at, part, i == 0, head(place, i));
                      }
                      finish_backward(shape, at, part, head(place, 0));
                  });
}

std::size_t attention_workspace_bytes(const attention_shape& shape, unsigned threads) {
    return threads * round_up(layout(shape).size, 16) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
#endif
