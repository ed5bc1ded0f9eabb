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

/// 1 / (1 + exp(-g)). The exponent is at most 32, so only exp's lower end needs a look; what
/// becomes of a NaN here does not matter, for g itself is a factor of every result.
template <std::size_t N>
HWY_INLINE bundle<N> sigmoid(const bundle<N>& gate) {
    const float_tag d;
    const vector zero = hn::Zero(d);
    const vector one = hn::Set(d, 1.0F);
    const vector lowest = hn::Set(d, constants::silu_lowest);
    const vector exp_lowest = hn::Set(d, constants::exp_lowest);
    const auto y =
        each([=](vector g)
                 HWY_ATTR { return hn::Sub(zero, hn::IfThenElse(hn::Lt(g, lowest), lowest, g)); },
             gate);
    return each(
        [=](vector e, vector x) HWY_ATTR {
            return hn::Div(one, hn::Add(one, hn::IfThenZeroElse(hn::Lt(x, exp_lowest), e)));
        },
        bare_exp(y), y);
}

void swiglu_range(const float* gate, const float* up, float* out, std::size_t n) {
    map_bundles(
        n, out,
        [](const auto& g, const auto& u) HWY_ATTR {
            return each([](vector x, vector s, vector y)
                            HWY_ATTR { return flushed(product(product(x, s), y)); },
                        g, sigmoid(g), u);
        },
        gate, up);
}

/// N vectors of both gradients. All arrays may be the same.
template <std::size_t N>
HWY_INLINE void swiglu_slopes(const float* gate, const float* up, const float* dout, float* d_gate,
                              float* d_up) {
    const vector one = hn::Set(float_tag(), 1.0F);
    const auto g = load_bundle<N>(gate);
    const auto u = load_bundle<N>(up);
    const auto dy = load_bundle<N>(dout);
    const auto s = sigmoid(g);
    const auto a = each([](vector x, vector y) HWY_ATTR { return product(x, y); }, g, s);
    const auto slope =
        each([=](vector x, vector y) HWY_ATTR { return hn::MulAdd(x, hn::Sub(one, y), y); }, a, s);
    const auto dg = each([](vector x, vector y, vector z)
                             HWY_ATTR { return flushed(product(product(x, y), z)); },
                         dy, u, slope);
    store_bundle(dg, d_gate);
    store_bundle(each([](vector x, vector y) HWY_ATTR { return flushed(product(x, y)); }, dy, a),
                 d_up);
}

void swiglu_backward_range(const float* gate, const float* up, const float* dout, float* d_gate,
                           float* d_up, std::size_t n) {
    constexpr std::size_t step = side_by_side * lanes;
    std::size_t i = 0;
    for (; i + step <= n; i += step) {
        swiglu_slopes<side_by_side>(gate + i, up + i, dout + i, d_gate + i, d_up + i);
    }
    for (; i + lanes <= n; i += lanes) {
        swiglu_slopes<1>(gate + i, up + i, dout + i, d_gate + i, d_up + i);
    }
    if (i == n) return;
    const std::size_t rest = (n - i) * sizeof(float);
    HWY_ALIGN float buffers[3][lanes] = {};
    std::memcpy(buffers[0], gate + i, rest);
    std::memcpy(buffers[1], up + i, rest);
    std::memcpy(buffers[2], dout + i, rest);
    swiglu_slopes<1>(buffers[0], buffers[1], buffers[2], buffers[0], buffers[1]);
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
