#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/rmsnorm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "training/numerics/gemm.hpp"
#include "training/numerics/rmsnorm.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

void rmsnorm_row(const float* x, const float* gain, float epsilon, float* out, float* inverse_rms,
                 std::size_t width) {
    const float squares = reduce(
        width, [](vector s, vector a) HWY_ATTR { return hn::MulAdd(a, a, s); }, x);
    *inverse_rms = 1.0F / std::sqrt(squares / static_cast<float>(width) + epsilon);
    const vector r = hn::Set(float_tag(), *inverse_rms);
    map(
        width, out, [r](vector a, vector g) HWY_ATTR { return flushed(hn::Mul(hn::Mul(a, r), g)); },
        x, gain);
}

void add_rmsnorm_row(const float* x, const float* residual, const float* gain, float epsilon,
                     float* sum, float* out, float* inverse_rms, std::size_t width) {
    map(
        width, sum, [](vector a, vector b) HWY_ATTR { return flushed(hn::Add(b, a)); }, x,
        residual);
    rmsnorm_row(sum, gain, epsilon, out, inverse_rms, width);
}

void rmsnorm_backward_row(const float* x, const float* gain, float inverse_rms, const float* dout,
                          const float* residual, float* dx, std::size_t width) {
    const float_tag d;
    const vector r = hn::Set(d, inverse_rms);
    const float total = reduce(
        width,
        [r](vector s, vector dy, vector g, vector a)
            HWY_ATTR { return hn::MulAdd(hn::Mul(dy, g), hn::Mul(a, r), s); },
        dout, gain, x);
    const vector q = hn::Set(d, total / static_cast<float>(width));
    const auto gradient = [=](vector dy, vector g, vector a) HWY_ATTR {
        return hn::Mul(hn::NegMulAdd(hn::Mul(a, r), q, hn::Mul(dy, g)), r);
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
constexpr std::size_t strip_vectors = 8;

template <std::size_t Vectors>
void gain_strip(const float* x, const float* inverse_rms, const float* dout, float* dgain,
                std::size_t rows, std::size_t width) {
    const float_tag d;
    for (std::size_t panel = 0; panel < rows; panel += panel_length) {
        const std::size_t end = panel + panel_length < rows ? panel + panel_length : rows;
        vector acc[Vectors];
        for (std::size_t v = 0; v < Vectors; ++v) acc[v] = hn::Zero(d);
        for (std::size_t i = panel; i < end; ++i) {
            const vector r = hn::Set(d, inverse_rms[i]);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) {
                const vector dy = hn::LoadU(d, dout + i * width + v * lanes);
                const vector a = hn::LoadU(d, x + i * width + v * lanes);
                acc[v] = hn::Add(acc[v], hn::Mul(dy, hn::Mul(a, r)));
            }
        }
        for (std::size_t v = 0; v < Vectors; ++v) {
            float* place = dgain + v * lanes;
            hn::StoreU(hn::Add(hn::LoadU(d, place), acc[v]), d, place);
        }
    }
}

/// Columns [begin, end) of the gradient, which starts at the values in place.
void gain_columns(const float* x, const float* inverse_rms, const float* dout, float* dgain,
                  std::size_t rows, std::size_t width, std::size_t begin, std::size_t end) {
    std::size_t j = begin;
    for (; j + strip_vectors * lanes <= end; j += strip_vectors * lanes) {
        gain_strip<strip_vectors>(x + j, inverse_rms, dout + j, dgain + j, rows, width);
    }
    for (; j + lanes <= end; j += lanes) {
        gain_strip<1>(x + j, inverse_rms, dout + j, dgain + j, rows, width);
    }
    for (; j < end; ++j) {
        for (std::size_t panel = 0; panel < rows; panel += panel_length) {
            const std::size_t stop = panel + panel_length < rows ? panel + panel_length : rows;
            float acc = 0.0F;
            for (std::size_t i = panel; i < stop; ++i) {
                acc = acc + dout[i * width + j] * (x[i * width + j] * inverse_rms[i]);
            }
            dgain[j] = dgain[j] + acc;
        }
    }
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void rmsnorm_row(const float* x, const float* gain, float epsilon, float* out, float* inverse_rms,
                 std::size_t width) {
    TEQUIO_RETURN_VECTOR(rmsnorm_row(x, gain, epsilon, out, inverse_rms, width));
    rmsnorm_forward_reference(x, gain, epsilon, out, inverse_rms, 1, width);
}

void add_rmsnorm_row(const float* x, const float* residual, const float* gain, float epsilon,
                     float* sum, float* out, float* inverse_rms, std::size_t width) {
    TEQUIO_RETURN_VECTOR(add_rmsnorm_row(x, residual, gain, epsilon, sum, out, inverse_rms, width));
    add_rmsnorm_forward_reference(x, residual, gain, epsilon, sum, out, inverse_rms, 1, width);
}

void rmsnorm_backward_row(const float* x, const float* gain, float inverse_rms, const float* dout,
                          const float* residual, float* dx, std::size_t width) {
    TEQUIO_RETURN_VECTOR(rmsnorm_backward_row(x, gain, inverse_rms, dout, residual, dx, width));
    rmsnorm_backward_reference(x, gain, &inverse_rms, dout, residual, dx, 1, width);
}

void gain_columns(const float* x, const float* inverse_rms, const float* dout, float* dgain,
                  std::size_t rows, std::size_t width, std::size_t begin, std::size_t end) {
    TEQUIO_RETURN_VECTOR(gain_columns(x, inverse_rms, dout, dgain, rows, width, begin, end));
}

}  // namespace

void rmsnorm_forward(const float* x, const float* gain, float epsilon, float* out,
                     float* inverse_rms, std::size_t rows, std::size_t width, executor& run) {
    run.note({"rmsnorm forward", 4 * rows * width, 8 * rows * width});
    for_pieces(rows, row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            rmsnorm_row(x + i * width, gain, epsilon, out + i * width, inverse_rms + i, width);
        }
    });
}

void add_rmsnorm_forward(const float* x, const float* residual, const float* gain, float epsilon,
                         float* sum, float* out, float* inverse_rms, std::size_t rows,
                         std::size_t width, executor& run) {
    run.note({"residual and rmsnorm forward", 5 * rows * width, 16 * rows * width});
    for_pieces(rows, row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t at = i * width;
            add_rmsnorm_row(x + at, residual + at, gain, epsilon, sum + at, out + at,
                            inverse_rms + i, width);
        }
    });
}

void rmsnorm_backward(const float* x, const float* gain, const float* inverse_rms,
                      const float* dout, const float* residual, float* dx, std::size_t rows,
                      std::size_t width, executor& run) {
    run.note({"rmsnorm backward", 10 * rows * width, 16 * rows * width});
    for_pieces(rows, row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            rmsnorm_backward_row(x + i * width, gain, inverse_rms[i], dout + i * width,
                                 residual == nullptr ? nullptr : residual + i * width,
                                 dx + i * width, width);
        }
    });
}

void rmsnorm_gain_gradient(const float* x, const float* inverse_rms, const float* dout,
                           float* dgain, std::size_t rows, std::size_t width, bool accumulate,
                           executor& run) {
    run.note({"rmsnorm gain", 3 * rows * width, 8 * rows * width});
    if (active_target() == simd_target::reference) {
        return rmsnorm_gain_gradient_reference(x, inverse_rms, dout, dgain, rows, width,
                                               accumulate);
    }
    for_pieces(width, 2 * column_grain, run, [&](std::size_t begin, std::size_t end) {
        if (!accumulate) std::fill(dgain + begin, dgain + end, 0.0F);
        gain_columns(x, inverse_rms, dout, dgain, rows, width, begin, end);
    });
}

}  // namespace tequio::training::numerics
#endif
