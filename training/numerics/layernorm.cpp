#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/layernorm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

void layernorm_row(const float* x, const float* gain, const float* offset, float* out, float* mean,
                   float* inverse_deviation, std::size_t width) {
    const float_tag d;
    const auto count = static_cast<float>(width);
    *mean = reduce(
                width, [](vector s, vector a) HWY_ATTR { return hn::Add(s, a); }, x) /
            count;
    const vector average = hn::Set(d, *mean);
    // The deviations go through `out`, so that the tail of the dot product sees zeros.
    float* centred = out;
    map(
        width, centred, [average](vector a) HWY_ATTR { return hn::Sub(a, average); }, x);
    const float variance =
        reduce(
            width, [](vector s, vector a) HWY_ATTR { return hn::MulAdd(a, a, s); }, centred) /
        count;
    *inverse_deviation = 1.0F / std::sqrt(variance + layernorm_epsilon);
    const vector r = hn::Set(d, *inverse_deviation);
    map(
        width, out,
        [r](vector a, vector g, vector b)
            HWY_ATTR { return flushed(hn::MulAdd(hn::Mul(a, r), g, b)); },
        centred, gain, offset);
}

void layernorm_backward_row(const float* x, const float* gain, float mean, float inverse_deviation,
                            const float* dout, const float* residual, float* dx,
                            std::size_t width) {
    const float_tag d;
    const vector average = hn::Set(d, mean);
    const vector r = hn::Set(d, inverse_deviation);
    const auto count = static_cast<float>(width);
    const float p =
        reduce(
            width,
            [](vector s, vector dy, vector g) HWY_ATTR { return hn::Add(s, hn::Mul(dy, g)); }, dout,
            gain) /
        count;
    // In the padded tail dout and gain are zeros, so x - mean does not matter there.
    const float q = reduce(
                        width,
                        [average, r](vector s, vector dy, vector g, vector a) HWY_ATTR {
                            const vector h = hn::Mul(hn::Sub(a, average), r);
                            return hn::MulAdd(hn::Mul(dy, g), h, s);
                        },
                        dout, gain, x) /
                    count;
    const vector vp = hn::Set(d, p);
    const vector vq = hn::Set(d, q);
    const auto gradient = [=](vector dy, vector g, vector a) HWY_ATTR {
        const vector h = hn::Mul(hn::Sub(a, average), r);
        const vector e = hn::Sub(hn::Mul(dy, g), vp);
        return hn::Mul(hn::MulAdd(hn::Sub(hn::Zero(d), h), vq, e), r);
    };
    if (residual == nullptr) {
        map(
            width, dx,
            [=](vector dy, vector g, vector a)
                HWY_ATTR { return flushed(hn::Add(hn::Zero(d), gradient(dy, g, a))); },
            dout, gain, x);
    } else {
        map(
            width, dx,
            [=](vector dy, vector g, vector a, vector res)
                HWY_ATTR { return flushed(hn::Add(res, gradient(dy, g, a))); },
            dout, gain, x, residual);
    }
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
                const vector h = hn::Mul(hn::Sub(a, average), r);
                gains[v] = hn::Add(gains[v], hn::Mul(dy, h));
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

void layernorm_row(const float* x, const float* gain, const float* offset, float* out, float* mean,
                   float* inverse_deviation, std::size_t width) {
    TEQUIO_RETURN_VECTOR(layernorm_row(x, gain, offset, out, mean, inverse_deviation, width));
    layernorm_forward_reference(x, gain, offset, out, mean, inverse_deviation, 1, width);
}

void layernorm_backward_row(const float* x, const float* gain, float mean, float inverse_deviation,
                            const float* dout, const float* residual, float* dx,
                            std::size_t width) {
    TEQUIO_RETURN_VECTOR(
        layernorm_backward_row(x, gain, mean, inverse_deviation, dout, residual, dx, width));
    layernorm_backward_reference(x, gain, &mean, &inverse_deviation, dout, residual, dx, 1, width);
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
    for_pieces(rows, row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            layernorm_row(x + i * width, gain, offset, out + i * width, mean + i,
                          inverse_deviation + i, width);
        }
    });
}

void layernorm_backward(const float* x, const float* gain, const float* mean,
                        const float* inverse_deviation, const float* dout, const float* residual,
                        float* dx, std::size_t rows, std::size_t width, executor& run) {
    run.note({"layernorm backward", 14 * rows * width, 16 * rows * width});
    for_pieces(rows, row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            layernorm_backward_row(
                x + i * width, gain, mean[i], inverse_deviation[i], dout + i * width,
                residual == nullptr ? nullptr : residual + i * width, dx + i * width, width);
        }
    });
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

}  // namespace tequio::training::numerics
#endif
