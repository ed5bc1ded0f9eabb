#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/relu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/relu.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

void bias_relu_row(const float* x, const float* bias, float* out, std::size_t n) {
    const vector least = hn::Set(float_tag(), smallest_operand);
    const auto relu = [least](vector a, vector b) HWY_ATTR {
        const vector sum = hn::Add(a, b);
        return hn::IfThenZeroElse(hn::Lt(sum, least), sum);
    };
    map(n, out, relu, x, bias);
}

void relu_backward_range(const float* out, const float* dout, float* dx, std::size_t n) {
    const vector zero = hn::Zero(float_tag());
    const auto slope = [zero](vector y, vector dy)
                           HWY_ATTR { return hn::IfThenZeroElse(hn::Le(y, zero), flushed(dy)); };
    map(n, dx, slope, out, dout);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void bias_relu_row(const float* x, const float* bias, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(bias_relu_row(x, bias, out, n));
    bias_relu_forward_reference(x, bias, out, 1, n);
}

void relu_backward_range(const float* out, const float* dout, float* dx, std::size_t n) {
    TEQUIO_RETURN_VECTOR(relu_backward_range(out, dout, dx, n));
    relu_backward_reference(out, dout, dx, n);
}

}  // namespace

void bias_relu_forward(const float* x, const float* bias, float* out, std::size_t rows,
                       std::size_t columns, executor& run) {
    for_pieces(rows, row_grain(columns), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            bias_relu_row(x + i * columns, bias, out + i * columns, columns);
        }
    });
}

void relu_backward(const float* out, const float* dout, float* dx, std::size_t n, executor& run) {
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        relu_backward_range(out + begin, dout + begin, dx + begin, end - begin);
    });
}

}  // namespace tequio::training::numerics
#endif
