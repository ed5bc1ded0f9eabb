#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/layernorm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "training/numerics/elementwise.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#ifndef TEQUIO_LAYERNORM_ARRAYS
#define TEQUIO_LAYERNORM_ARRAYS
namespace tequio::training::numerics {
namespace {

/// What `residual_layernorm_forward` reads before the norm; bias null: nothing, the sum is there.
struct residual_sum {
    const float *x, *bias, *residual;
};

/// What the backward passes read and write, each at its first row.
struct backward_arrays {
    const float *x, *gain, *mean, *inverse_deviation, *dout, *residual;
    float* dx;
    std::size_t width;
};

}  // namespace
}  // namespace tequio::training::numerics
#endif

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// Rows that go through each pass together: the ends of their sums, short chains of dependent
/// operations, then overlap.
constexpr std::size_t rows_together = 4;

/// The last n < 32 elements, filled up with zeros.
struct padded_tail {
    HWY_ALIGN float x[32] = {};
    HWY_INLINE padded_tail(const float* from, std::size_t n) {
        std::memcpy(x, from, n * sizeof(float));
    }
};

/// dot(d, d) with d[j] = x[j] - mean.
HWY_INLINE float square_deviations(const float* x, std::size_t width, float mean) {
    const vector average = hn::Set(float_tag(), mean);
    const auto deviation = [average](vector a) HWY_ATTR { return hn::Sub(a, average); };
    const auto square = [](vector s, vector e) HWY_ATTR { return hn::MulAdd(e, e, s); };
    partial_sums sums;
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        const auto e = each(deviation, load_bundle<partial_sums::count>(x + i));
#pragma GCC unroll 8
        for (std::size_t v = 0; v < partial_sums::count; ++v) sums.s[v] = square(sums.s[v], e.v[v]);
    }
    if (i < width) {
        HWY_ALIGN float rest[32] = {};
        map(width - i, rest, deviation, x + i);
        const auto e = load_bundle<partial_sums::count>(rest);
        for (std::size_t v = 0; v < partial_sums::count; ++v) sums.s[v] = square(sums.s[v], e.v[v]);
    }
    return sums.fold();
}

/// One row of the sum, and the sum of its elements.
HWY_INLINE float add_row(const residual_sum& in, std::size_t at, float* sum, std::size_t width) {
    const auto join = [](vector a, vector b, vector r)
                          HWY_ATTR { return flushed(hn::Add(r, hn::Add(a, b))); };
    const float* x = in.x + at;
    const float* residual = in.residual + at;
    partial_sums sums;
    std::size_t i = 0;
    for (; i + 32 <= width; i += 32) {
        constexpr std::size_t count = partial_sums::count;
        const auto s = each(join, load_bundle<count>(x + i), load_bundle<count>(in.bias + i),
                            load_bundle<count>(residual + i));
        store_bundle(s, sum + i);
        sums.add(s);
    }
    if (i < width) {
        map(width - i, sum + i, join, x + i, in.bias + i, residual + i);
        sums.add(load_bundle<partial_sums::count>(padded_tail(sum + i, width - i).x));
    }
    return sums.fold();
}

/// At most rows_together rows from `row` on, of arrays given at their first row.
void layernorm_rows(const residual_sum& in, float* sum, const float* gain, const float* offset,
                    float* out, float* mean, float* inverse_deviation, std::size_t row,
                    std::size_t rows, std::size_t width) {
    const auto count = static_cast<float>(width);
    for (std::size_t i = row; i < row + rows; ++i) {
        float* place = sum + i * width;
        mean[i] =
            (in.bias != nullptr
                 ? add_row(in, i * width, place, width)
                 : reduce(
                       width, [](vector s, vector a) HWY_ATTR { return hn::Add(s, a); }, place)) /
            count;
    }
    for (std::size_t i = row; i < row + rows; ++i) {
        const float variance = square_deviations(sum + i * width, width, mean[i]) / count;
        inverse_deviation[i] = 1.0F / std::sqrt(variance + layernorm_epsilon);
    }
    for (std::size_t i = row; i < row + rows; ++i) {
        const vector average = hn::Set(float_tag(), mean[i]);
        const vector r = hn::Set(float_tag(), inverse_deviation[i]);
        map(
            width, out + i * width,
            [=](vector a, vector g, vector b)
                HWY_ATTR { return flushed(hn::MulAdd(product(hn::Sub(a, average), r), g, b)); },
            sum + i * width, gain, offset);
    }
}

/// The means p and q of the definition.
struct row_means {
    float p, q;
};

HWY_INLINE row_means means_of(const backward_arrays& a, std::size_t row) {
    const float_tag d;
    const vector average = hn::Set(d, a.mean[row]);
    const vector r = hn::Set(d, a.inverse_deviation[row]);
    partial_sums ps;
    partial_sums qs;
    const auto add = [&](std::size_t v, vector x, vector dy, vector g) HWY_ATTR {
        const vector e = product(dy, g);
        ps.s[v] = hn::Add(ps.s[v], e);
        qs.s[v] = hn::MulAdd(e, product(hn::Sub(x, average), r), qs.s[v]);
    };
    const float* x = a.x + row * a.width;
    const float* dout = a.dout + row * a.width;
    std::size_t i = 0;
    for (; i + 32 <= a.width; i += 32) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < partial_sums::count; ++v) {
            const std::size_t at = i + v * lanes;
            add(v, hn::LoadU(d, x + at), hn::LoadU(d, dout + at), hn::LoadU(d, a.gain + at));
        }
    }
    if (i < a.width) {
        // dout and gain are zeros there, so x - mean does not matter.
        const std::size_t n = a.width - i;
        const padded_tail x_tail(x + i, n);
        const padded_tail dout_tail(dout + i, n);
        const padded_tail gain_tail(a.gain + i, n);
        for (std::size_t v = 0; v < partial_sums::count; ++v) {
            const std::size_t at = v * lanes;
            add(v, hn::Load(d, x_tail.x + at), hn::Load(d, dout_tail.x + at),
                hn::Load(d, gain_tail.x + at));
        }
    }
    const auto count = static_cast<float>(a.width);
    return {ps.fold() / count, qs.fold() / count};
}

/// One vector of columns through a row.
struct column_terms {
    vector dx;     ///< gradient by x
    vector dgain;  ///< dout * h
};

HWY_INLINE column_terms backward_terms(const backward_arrays& a, std::size_t row,
                                       const row_means& m, vector x, vector dy, vector g,
                                       vector residual) {
    const float_tag d;
    const vector r = hn::Set(d, a.inverse_deviation[row]);
    const vector h = product(hn::Sub(x, hn::Set(d, a.mean[row])), r);
    const vector e = hn::Sub(product(dy, g), hn::Set(d, m.p));
    // fma(0 - h, q, e): a zero h of the other sign can only change the sign of a zero, which the
    // flush hides.
    const vector slope = product(hn::NegMulAdd(h, hn::Set(d, m.q), e), r);
    return {flushed(hn::Add(residual, slope)), product(dy, h)};
}

/// dx of at most rows_together rows.
void backward_rows(const backward_arrays& a, std::size_t row, std::size_t rows) {
    for (std::size_t i = row; i < row + rows; ++i) {
        const row_means m = means_of(a, i);
        const std::size_t at = i * a.width;
        const auto terms = [&](vector x, vector dy, vector g, vector residual)
                               HWY_ATTR { return backward_terms(a, i, m, x, dy, g, residual).dx; };
        if (a.residual != nullptr) {
            map(a.width, a.dx + at, terms, a.x + at, a.dout + at, a.gain, a.residual + at);
        } else {
            map(
                a.width, a.dx + at,
                [&](vector x, vector dy, vector g)
                    HWY_ATTR { return terms(x, dy, g, hn::Zero(float_tag())); },
                a.x + at, a.dout + at, a.gain);
        }
    }
}

/// The same of exactly Rows rows, and their share of the column sums: gains, offsets and dx, each
/// (width).
template <std::size_t Rows>
void backward_and_sum_rows(const backward_arrays& a, std::size_t row, float* gains, float* offsets,
                           float* dx_sums) {
    const float_tag d;
    row_means m[Rows];
    for (std::size_t i = 0; i < Rows; ++i) m[i] = means_of(a, row + i);
    const std::size_t whole = a.width / lanes * lanes;
    for (std::size_t j = 0; j < whole; j += lanes) {
        vector gain_sum = hn::LoadU(d, gains + j);
        vector offset_sum = hn::LoadU(d, offsets + j);
        vector dx_sum = hn::LoadU(d, dx_sums + j);
        const vector g = hn::LoadU(d, a.gain + j);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < Rows; ++i) {
            const std::size_t at = (row + i) * a.width + j;
            const vector dy = hn::LoadU(d, a.dout + at);
            const vector residual =
                a.residual == nullptr ? hn::Zero(d) : hn::LoadU(d, a.residual + at);
            const auto t =
                backward_terms(a, row + i, m[i], hn::LoadU(d, a.x + at), dy, g, residual);
            gain_sum = hn::Add(gain_sum, t.dgain);
            offset_sum = hn::Add(offset_sum, dy);
            dx_sum = hn::Add(dx_sum, t.dx);
            hn::StoreU(t.dx, d, a.dx + at);
        }
        hn::StoreU(gain_sum, d, gains + j);
        hn::StoreU(offset_sum, d, offsets + j);
        hn::StoreU(dx_sum, d, dx_sums + j);
    }
    for (std::size_t i = row; i < row + Rows; ++i) {
        const float r = a.inverse_deviation[i];
        for (std::size_t j = whole; j < a.width; ++j) {
            const std::size_t at = i * a.width + j;
            const float dy = a.dout[at];
            const float h = (a.x[at] - a.mean[i]) * r;
            const float slope = fused(0.0F - h, m[i - row].q, dy * a.gain[j] - m[i - row].p) * r;
            const float dx = flush((a.residual != nullptr ? a.residual[at] : 0.0F) + slope);
            gains[j] = gains[j] + dy * h;
            offsets[j] = offsets[j] + dy;
            dx_sums[j] = dx_sums[j] + dx;
            a.dx[at] = dx;
        }
    }
}

/// Rows [begin, end), all of one panel. sums: three times (width), set to the panel's sums.
void backward_panel(const backward_arrays& a, std::size_t begin, std::size_t end, float* sums) {
    std::fill(sums, sums + 3 * a.width, 0.0F);
    float* offsets = sums + a.width;
    float* dx_sums = offsets + a.width;
    std::size_t i = begin;
    for (; i + rows_together <= end; i += rows_together) {
        backward_and_sum_rows<rows_together>(a, i, sums, offsets, dx_sums);
    }
    for (; i < end; ++i) backward_and_sum_rows<1>(a, i, sums, offsets, dx_sums);
}

/// Vectors of columns taken at a time: their sums stay in registers over a panel.
constexpr std::size_t strip_vectors = 64 / lanes < 8 ? 64 / lanes : 8;

template <std::size_t Vectors>
void parameter_strip(const float* x, const float* mean, const float* inverse_deviation,
                     const float* dout, float* dgain, float* doffset, std::size_t rows,
                     std::size_t width) {
    const float_tag d;
    for (std::size_t panel = 0; panel < rows; panel += panel_length) {
        const std::size_t end = panel + panel_length < rows ? panel + panel_length : rows;
        vector gains[Vectors];
        vector offsets[Vectors];
        for (std::size_t v = 0; v < Vectors; ++v) gains[v] = offsets[v] = hn::Zero(d);
        for (std::size_t i = panel; i < end; ++i) {
            const vector average = hn::Set(d, mean[i]);
            const vector r = hn::Set(d, inverse_deviation[i]);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) {
                const vector dy = hn::LoadU(d, dout + i * width + v * lanes);
                const vector a = hn::LoadU(d, x + i * width + v * lanes);
                const vector h = product(hn::Sub(a, average), r);
                gains[v] = hn::Add(gains[v], product(dy, h));
                offsets[v] = hn::Add(offsets[v], dy);
            }
        }
        for (std::size_t v = 0; v < Vectors; ++v) {
            float* gain = dgain + v * lanes;
            float* offset = doffset + v * lanes;
            hn::StoreU(hn::Add(hn::LoadU(d, gain), gains[v]), d, gain);
            hn::StoreU(hn::Add(hn::LoadU(d, offset), offsets[v]), d, offset);
        }
    }
}

/// Columns [begin, end) of the two gradients, which start at the values in place.
void parameter_columns(const float* x, const float* mean, const float* inverse_deviation,
                       const float* dout, float* dgain, float* doffset, std::size_t rows,
                       std::size_t width, std::size_t begin, std::size_t end) {
    std::size_t j = begin;
    for (; j + strip_vectors * lanes <= end; j += strip_vectors * lanes) {
        parameter_strip<strip_vectors>(x + j, mean, inverse_deviation, dout + j, dgain + j,
                                       doffset + j, rows, width);
    }
    for (; j + lanes <= end; j += lanes) {
        parameter_strip<1>(x + j, mean, inverse_deviation, dout + j, dgain + j, doffset + j, rows,
                           width);
    }
    for (; j < end; ++j) {
        for (std::size_t panel = 0; panel < rows; panel += panel_length) {
            const std::size_t stop = panel + panel_length < rows ? panel + panel_length : rows;
            float gain = 0.0F;
            float offset = 0.0F;
            for (std::size_t i = panel; i < stop; ++i) {
                const float h = (x[i * width + j] - mean[i]) * inverse_deviation[i];
                gain = gain + dout[i * width + j] * h;
                offset = offset + dout[i * width + j];
            }
            dgain[j] = dgain[j] + gain;
            doffset[j] = doffset[j] + offset;
        }
    }
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void layernorm_rows(const residual_sum& in, float* sum, const float* gain, const float* offset,
                    float* out, float* mean, float* inverse_deviation, std::size_t row,
                    std::size_t rows, std::size_t width) {
    TEQUIO_RETURN_VECTOR(
        layernorm_rows(in, sum, gain, offset, out, mean, inverse_deviation, row, rows, width));
    const std::size_t at = row * width;
    if (in.bias != nullptr) {
        add_bias_residual_reference(in.x + at, in.bias, in.residual + at, sum + at, rows, width);
    }
    layernorm_forward_reference(sum + at, gain, offset, out + at, mean + row,
                                inverse_deviation + row, rows, width);
}

void backward_rows(const backward_arrays& a, std::size_t row, std::size_t rows) {
    TEQUIO_RETURN_VECTOR(backward_rows(a, row, rows));
    const std::size_t at = row * a.width;
    layernorm_backward_reference(a.x + at, a.gain, a.mean + row, a.inverse_deviation + row,
                                 a.dout + at, a.residual == nullptr ? nullptr : a.residual + at,
                                 a.dx + at, rows, a.width);
}

// The reference target does not come here.
void backward_panel(const backward_arrays& a, std::size_t begin, std::size_t end, float* sums) {
    TEQUIO_RETURN_VECTOR(backward_panel(a, begin, end, sums));
}

/// Calls body(first row, rows) for a few rows at a time, spread over threads.
template <class Body>
void for_row_blocks(std::size_t rows, std::size_t width, executor& run, Body body) {
    constexpr std::size_t together = 4;
    for_pieces(rows, round_up(row_grain(width), together), run,
               [&](std::size_t begin, std::size_t end) {
                   for (std::size_t i = begin; i < end; i += together) {
                       body(i, std::min(together, end - i));
                   }
               });
}

void parameter_columns(const float* x, const float* mean, const float* inverse_deviation,
                       const float* dout, float* dgain, float* doffset, std::size_t rows,
                       std::size_t width, std::size_t begin, std::size_t end) {
    TEQUIO_RETURN_VECTOR(parameter_columns(x, mean, inverse_deviation, dout, dgain, doffset, rows,
                                           width, begin, end));
}

}  // namespace

void layernorm_forward(const float* x, const float* gain, const float* offset, float* out,
                       float* mean, float* inverse_deviation, std::size_t rows, std::size_t width,
                       executor& run) {
    run.note({"layernorm forward", 8 * rows * width, 8 * rows * width});
    for_row_blocks(rows, width, run, [&](std::size_t row, std::size_t count) {
        // Without a bias nothing is written through this pointer.
        layernorm_rows({}, const_cast<float*>(x), gain, offset, out, mean, inverse_deviation, row,
                       count, width);
    });
}

void residual_layernorm_forward(const float* x, const float* bias, const float* residual,
                                float* sum, const float* gain, const float* offset, float* out,
                                float* mean, float* inverse_deviation, std::size_t rows,
                                std::size_t width, executor& run) {
    run.note({"residual and layernorm forward", 10 * rows * width, 16 * rows * width});
    for_row_blocks(rows, width, run, [&](std::size_t row, std::size_t count) {
        layernorm_rows({x, bias, residual}, sum, gain, offset, out, mean, inverse_deviation, row,
                       count, width);
    });
}

void layernorm_backward(const float* x, const float* gain, const float* mean,
                        const float* inverse_deviation, const float* dout, const float* residual,
                        float* dx, std::size_t rows, std::size_t width, executor& run) {
    run.note({"layernorm backward", 14 * rows * width, 16 * rows * width});
    const backward_arrays a{x, gain, mean, inverse_deviation, dout, residual, dx, width};
    for_row_blocks(rows, width, run,
                   [&](std::size_t row, std::size_t count) { backward_rows(a, row, count); });
}

void layernorm_parameter_gradients(const float* x, const float* mean,
                                   const float* inverse_deviation, const float* dout, float* dgain,
                                   float* doffset, std::size_t rows, std::size_t width,
                                   bool accumulate, executor& run) {
    run.note({"layernorm gain and offset", 5 * rows * width, 8 * rows * width});
    if (active_target() == simd_target::reference) {
        return layernorm_parameter_gradients_reference(x, mean, inverse_deviation, dout, dgain,
                                                       doffset, rows, width, accumulate);
    }
    for_pieces(width, column_grain, run, [&](std::size_t begin, std::size_t end) {
        if (!accumulate) {
            std::fill(dgain + begin, dgain + end, 0.0F);
            std::fill(doffset + begin, doffset + end, 0.0F);
        }
        parameter_columns(x, mean, inverse_deviation, dout, dgain, doffset, rows, width, begin,
                          end);
    });
}

void layernorm_backward_and_sums(const float* x, const float* gain, const float* mean,
                                 const float* inverse_deviation, const float* dout,
                                 const float* residual, float* dx, const layernorm_sums& sums,
                                 std::size_t rows, std::size_t width,
                                 std::span<std::byte> workspace, executor& run) {
    const std::size_t panels = panels_of(rows);
    if (active_target() == simd_target::reference || panels < run.threads()) {
        // Too few panels to share out. In this order: dx may be dout.
        layernorm_parameter_gradients(x, mean, inverse_deviation, dout, sums.dgain, sums.doffset,
                                      rows, width, sums.accumulate, run);
        layernorm_backward(x, gain, mean, inverse_deviation, dout, residual, dx, rows, width, run);
        if (sums.dx_sums == nullptr) return;
        return column_sums({dx, width}, rows, width, sums.accumulate, sums.dx_sums, run);
    }
    run.note({"layernorm backward and sums", 20 * rows * width, 16 * rows * width});
    const std::size_t step = round_up(3 * width, 16);
    float* parts = aligned_part(workspace, panels * step, 0);
    const backward_arrays a{x, gain, mean, inverse_deviation, dout, residual, dx, width};
    for_pieces(panels, 1, run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) {
            backward_panel(a, p * panel_length, std::min(rows, (p + 1) * panel_length),
                           parts + p * step);
        }
    });
    add_panels(parts, panels, step, sums.accumulate, sums.dgain, width);
    add_panels(parts + width, panels, step, sums.accumulate, sums.doffset, width);
    if (sums.dx_sums == nullptr) return;
    add_panels(parts + 2 * width, panels, step, sums.accumulate, sums.dx_sums, width);
}

std::size_t layernorm_workspace_bytes(std::size_t rows, std::size_t width) {
    return panels_of(rows) * round_up(3 * width, 16) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
#endif
