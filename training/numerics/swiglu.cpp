#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/swiglu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/split.hpp"
#include "training/numerics/swiglu.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// 1 / (1 + exp(-g)). The exponent is at most 80, so only exp's lower end needs a look; what
/// becomes of a NaN here does not matter, for g itself is a factor of every result.
HWY_INLINE vector sigmoid(vector g) {
    const float_tag d;
    const vector one = hn::Set(d, 1.0F);
    const vector lowest = hn::Set(d, constants::silu_lowest);
    const vector y = hn::Sub(hn::Zero(d), hn::IfThenElse(hn::Lt(g, lowest), lowest, g));
    const vector e = hn::IfThenZeroElse(hn::Lt(y, hn::Set(d, constants::exp_lowest)), bare_exp(y));
    return hn::Div(one, hn::Add(one, e));
}

void swiglu_range(const float* gate, const float* up, float* out, std::size_t n) {
    map(
        n, out,
        [](vector g, vector u) HWY_ATTR { return flushed(hn::Mul(hn::Mul(g, sigmoid(g)), u)); },
        gate, up);
}

HWY_INLINE void swiglu_slopes(vector g, vector u, vector dy, vector& dg, vector& du) {
    const vector s = sigmoid(g);
    const vector a = hn::Mul(g, s);
    const vector slope = hn::MulAdd(a, hn::Sub(hn::Set(float_tag(), 1.0F), s), s);
    dg = flushed(hn::Mul(hn::Mul(dy, u), slope));
    du = flushed(hn::Mul(dy, a));
}

void swiglu_backward_range(const float* gate, const float* up, const float* dout, float* d_gate,
                           float* d_up, std::size_t n) {
    const float_tag d;
    vector dg;
    vector du;
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        swiglu_slopes(hn::LoadU(d, gate + i), hn::LoadU(d, up + i), hn::LoadU(d, dout + i), dg, du);
        hn::StoreU(dg, d, d_gate + i);
        hn::StoreU(du, d, d_up + i);
    }
    if (i == n) return;
    const std::size_t rest = (n - i) * sizeof(float);
    HWY_ALIGN float buffers[3][lanes] = {};
    std::memcpy(buffers[0], gate + i, rest);
    std::memcpy(buffers[1], up + i, rest);
    std::memcpy(buffers[2], dout + i, rest);
    swiglu_slopes(hn::Load(d, buffers[0]), hn::Load(d, buffers[1]), hn::Load(d, buffers[2]), dg,
                  du);
    hn::Store(dg, d, buffers[0]);
    hn::Store(du, d, buffers[1]);
    std::memcpy(d_gate + i, buffers[0], rest);
    std::memcpy(d_up + i, buffers[1], rest);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

/// Operations an element: 4 around an exponential of 22, a division among them.
constexpr std::size_t swiglu_flops = 26;

void swiglu_range(const float* gate, const float* up, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(swiglu_range(gate, up, out, n));
    swiglu_forward_reference(gate, up, out, n);
}

void swiglu_backward_range(const float* gate, const float* up, const float* dout, float* d_gate,
                           float* d_up, std::size_t n) {
    TEQUIO_RETURN_VECTOR(swiglu_backward_range(gate, up, dout, d_gate, d_up, n));
    swiglu_backward_reference(gate, up, dout, d_gate, d_up, n);
}

}  // namespace

void swiglu_forward(const float* gate, const float* up, float* out, std::size_t n, executor& run) {
    run.note({"swiglu forward", swiglu_flops * n, 12 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        swiglu_range(gate + begin, up + begin, out + begin, end - begin);
    });
}

void swiglu_backward(const float* gate, const float* up, const float* dout, float* d_gate,
                     float* d_up, std::size_t n, executor& run) {
    run.note({"swiglu backward", (swiglu_flops + 6) * n, 20 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        swiglu_backward_range(gate + begin, up + begin, dout + begin, d_gate + begin, d_up + begin,
                              end - begin);
    });
}

}  // namespace tequio::training::numerics
#endif
