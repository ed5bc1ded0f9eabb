#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/gelu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/gelu.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

HWY_INLINE vector gelu_of(vector x) {
    return flushed(hn::Mul(x, gelu_gate(x, hn::Mul(x, x))));
}

void gelu_range(const float* x, float* out, std::size_t n) {
    map(
        n, out, [](vector a) HWY_ATTR { return gelu_of(a); }, x);
}

void bias_gelu_row(const float* x, const float* bias, float* pre, float* out, std::size_t n) {
    map(
        n, pre, [](vector a, vector b) HWY_ATTR { return flushed(hn::Add(a, b)); }, x, bias);
    gelu_range(pre, out, n);
}

void gelu_backward_range(const float* x, const float* dout, float* dx, std::size_t n) {
    const float_tag d;
    const auto slope = [d](vector a, vector dy) HWY_ATTR {
        const vector one = hn::Set(d, 1.0F);
        const vector a2 = hn::Mul(a, a);
        const vector s = gelu_gate(a, a2);
        const vector w = hn::MulAdd(a2, hn::Set(d, constants::gelu_cubic_slope), one);
        const vector dz = hn::Mul(hn::Set(d, constants::gelu_factor), w);
        const vector curve = hn::Mul(a, hn::Mul(s, hn::Sub(one, s)));
        return flushed(hn::Mul(dy, hn::MulAdd(curve, dz, s)));
    };
    map(n, dx, slope, x, dout);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

/// Operations an element: 6 around an exponential of 22, a division among them.
constexpr std::size_t gelu_flops = 28;

void gelu_range(const float* x, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(gelu_range(x, out, n));
    gelu_forward_reference(x, out, n);
}

void bias_gelu_row(const float* x, const float* bias, float* pre, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(bias_gelu_row(x, bias, pre, out, n));
    bias_gelu_forward_reference(x, bias, pre, out, 1, n);
}

void gelu_backward_range(const float* x, const float* dout, float* dx, std::size_t n) {
    TEQUIO_RETURN_VECTOR(gelu_backward_range(x, dout, dx, n));
    gelu_backward_reference(x, dout, dx, n);
}

}  // namespace

void gelu_forward(const float* x, float* out, std::size_t n, executor& run) {
    run.note({"gelu forward", gelu_flops * n, 8 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        gelu_range(x + begin, out + begin, end - begin);
    });
}

void bias_gelu_forward(const float* x, const float* bias, float* pre, float* out, std::size_t rows,
                       std::size_t columns, executor& run) {
    run.note({"bias and gelu forward", (gelu_flops + 1) * rows * columns, 12 * rows * columns});
    for_pieces(rows, row_grain(columns), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            bias_gelu_row(x + i * columns, bias, pre + i * columns, out + i * columns, columns);
        }
    });
}

void gelu_backward(const float* x, const float* dout, float* dx, std::size_t n, executor& run) {
    run.note({"gelu backward", (gelu_flops + 11) * n, 12 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        gelu_backward_range(x + begin, dout + begin, dx + begin, end - begin);
    });
}

}  // namespace tequio::training::numerics
#endif
