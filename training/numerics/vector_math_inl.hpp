// Vector forms of the shared definitions, compiled once for each target. Included by .cpp files
// only, after Highway; the guard toggles because one file includes this several times.

#if defined(TEQUIO_NUMERICS_VECTOR_MATH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TEQUIO_NUMERICS_VECTOR_MATH_INL
#undef TEQUIO_NUMERICS_VECTOR_MATH_INL
#else
#define TEQUIO_NUMERICS_VECTOR_MATH_INL
#endif

#include <hwy/highway.h>

#include <cstring>

#include "training/numerics/float_bits.hpp"
#include "training/numerics/math_constants.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using float_tag = hn::ScalableTag<float>;
using vector = hn::Vec<float_tag>;
constexpr std::size_t lanes = hn::MaxLanes(float_tag());

/// flush() of each lane.
HWY_INLINE vector flushed(vector x) {
    const float_tag d;
    return hn::IfThenZeroElse(hn::Lt(hn::Abs(x), hn::Set(d, smallest_operand)), x);
}
/// flush_subnormal() of each lane.
HWY_INLINE vector subnormal_flushed(vector x) {
    const float_tag d;
    return hn::IfThenZeroElse(hn::Lt(hn::Abs(x), hn::Set(d, smallest_normal)), x);
}

/// a * b where that may underflow and the sign of a zero does not show, as under `flushed`: +0 for
/// -0, else the same bits, for adding +0 rounds nothing. Zen 5 takes 7 ns for a multiplication that
/// underflows, and no longer than usual for a fused one.
HWY_INLINE vector product(vector a, vector b) {
    const float_tag d;
    return hn::MulAdd(a, b, hn::Zero(d));
}

/// Several vectors that go through the same operations side by side. A function such as exp is one
/// chain of some twenty operations; the processor's schedulers hold too few of them to overlap one
/// vector's chain with the next one's by themselves.
template <std::size_t N>
struct bundle {
    vector v[N];
};

/// How many: with more, the 16 registers of AVX2 would not hold what lives between the steps.
#if HWY_TARGET == HWY_AVX2
constexpr std::size_t side_by_side = 2;
#else
constexpr std::size_t side_by_side = 4;
#endif

/// f on each vector.
template <class F, std::size_t N, class... Rest>
HWY_INLINE bundle<N> each(F f, const bundle<N>& first, const Rest&... rest) {
    bundle<N> out;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N; ++i) out.v[i] = f(first.v[i], rest.v[i]...);
    return out;
}

template <std::size_t N>
HWY_INLINE bundle<N> load_bundle(const float* x) {
    bundle<N> out;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N; ++i) out.v[i] = hn::LoadU(float_tag(), x + i * lanes);
    return out;
}

template <std::size_t N>
HWY_INLINE void store_bundle(const bundle<N>& x, float* out) {
#pragma GCC unroll 8
    for (std::size_t i = 0; i < N; ++i) hn::StoreU(x.v[i], float_tag(), out + i * lanes);
}

/// By Horner's rule.
template <std::size_t N, std::size_t Terms>
HWY_INLINE bundle<N> polynomial(const float (&c)[Terms], const bundle<N>& x) {
    const float_tag d;
    const vector c0 = hn::Set(d, c[0]);
    const vector c1 = hn::Set(d, c[1]);
    bundle<N> y = each([=](vector a) HWY_ATTR { return hn::MulAdd(c0, a, c1); }, x);
#pragma GCC unroll 16
    for (std::size_t i = 2; i < Terms; ++i) {
        const vector ci = hn::Set(d, c[i]);
        y = each([=](vector b, vector a) HWY_ATTR { return hn::MulAdd(b, a, ci); }, y, x);
    }
    return y;
}

template <std::size_t Terms>
HWY_INLINE vector polynomial(const float (&c)[Terms], vector x) {
    return polynomial(c, bundle<1>{{x}}).v[0];
}

/// exp_reference inside [exp_lowest, exp_highest]; anything outside.
template <std::size_t N>
HWY_INLINE bundle<N> bare_exp(const bundle<N>& x) {
    const float_tag d;
    const hn::RebindToUnsigned<float_tag> du;
    const vector magic = hn::Set(d, constants::round_magic);
    const vector log2_e = hn::Set(d, constants::log2_e);
    const vector ln2_high = hn::Set(d, -constants::ln2_high);
    const vector ln2_low = hn::Set(d, -constants::ln2_low);
    const vector one = hn::Set(d, 1.0F);
    const auto shifted = each([=](vector a) HWY_ATTR { return hn::MulAdd(a, log2_e, magic); }, x);
    const auto n = each([=](vector a) HWY_ATTR { return hn::Sub(a, magic); }, shifted);
    const auto high =
        each([=](vector a, vector b) HWY_ATTR { return hn::MulAdd(a, ln2_high, b); }, n, x);
    const auto r =
        each([=](vector a, vector b) HWY_ATTR { return hn::MulAdd(a, ln2_low, b); }, n, high);
    const vector least = hn::Set(d, constants::exp_least_square);
    const auto square = each([=](vector a) HWY_ATTR { return hn::MulAdd(a, a, least); }, r);
    const auto tail = polynomial(constants::exp_coefficients, r);
    const auto curve = each(
        [](vector a, vector b, vector c) HWY_ATTR { return hn::MulAdd(a, b, c); }, square, tail, r);
    return each(
        [=](vector c, vector s) HWY_ATTR {
            const auto p = hn::BitCast(du, hn::Add(c, one));
            return hn::BitCast(d, hn::Add(p, hn::ShiftLeft<23>(hn::BitCast(du, s))));
        },
        curve, shifted);
}

HWY_INLINE vector bare_exp(vector x) {
    return bare_exp(bundle<1>{{x}}).v[0];
}

/// exp_reference.
HWY_INLINE vector exp(vector x) {
    const float_tag d;
    vector y = bare_exp(x);
    y = hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, constants::exp_lowest)), y);
    const vector infinity = hn::BitCast(d, hn::Set(hn::RebindToUnsigned<float_tag>(), 0x7f800000U));
    y = hn::IfThenElse(hn::Gt(x, hn::Set(d, constants::exp_highest)), infinity, y);
    return hn::IfThenElse(hn::Eq(x, x), y, x);
}

/// softmax_exp_reference for x <= 0 (or NaN).
template <std::size_t N>
HWY_INLINE bundle<N> softmax_exp(const bundle<N>& x) {
    const float_tag d;
    const vector lowest = hn::Set(d, constants::softmax_lowest);
    return each(
        [=](vector y, vector a) HWY_ATTR {
            y = hn::IfThenZeroElse(hn::Lt(a, lowest), y);
            return hn::IfThenElse(hn::Eq(a, a), y, a);
        },
        bare_exp(x), x);
}

/// log_reference.
HWY_INLINE vector log(vector x) {
    const float_tag d;
    const hn::RebindToUnsigned<float_tag> du;
    const hn::RebindToSigned<float_tag> di;
    const vector one = hn::Set(d, 1.0F);
    const auto bits = hn::BitCast(du, x);
    const auto biased = hn::BitCast(di, hn::ShiftRight<23>(bits));
    vector exponent = hn::ConvertTo(d, hn::Sub(biased, hn::Set(di, 126)));
    vector mantissa =
        hn::BitCast(d, hn::Or(hn::And(bits, hn::Set(du, 0x007fffffU)), hn::Set(du, 0x3f000000U)));
    const auto low = hn::Lt(mantissa, hn::Set(d, constants::sqrt_half));
    exponent = hn::IfThenElse(low, hn::Sub(exponent, one), exponent);
    mantissa = hn::IfThenElse(low, hn::Add(mantissa, mantissa), mantissa);
    const vector f = hn::Sub(mantissa, one);
    const vector f2 = hn::Mul(f, f);
    vector y = hn::Mul(hn::Mul(polynomial(constants::log_coefficients, f), f), f2);
    y = hn::MulAdd(exponent, hn::Set(d, constants::log_ln2_low), y);
    y = hn::MulAdd(f2, hn::Set(d, -0.5F), y);
    y = hn::MulAdd(exponent, hn::Set(d, constants::log_ln2_high), hn::Add(f, y));
    const vector infinity = hn::BitCast(d, hn::Set(du, 0x7f800000U));
    const vector not_a_number = hn::BitCast(d, hn::Set(du, 0x7fc00000U));
    y = hn::IfThenElse(hn::Lt(x, hn::Set(d, smallest_normal)), hn::Neg(infinity), y);
    y = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), not_a_number, y);
    y = hn::IfThenElse(hn::Eq(x, infinity), x, y);
    return hn::IfThenElse(hn::Eq(x, x), y, x);
}

/// tanh_reference.
HWY_INLINE vector tanh(vector x) {
    const float_tag d;
    const hn::RebindToUnsigned<float_tag> du;
    const auto sign = hn::And(hn::BitCast(du, x), hn::Set(du, 0x80000000U));
    const vector magnitude = hn::Abs(x);
    const vector z = hn::Mul(magnitude, magnitude);
    const vector small =
        hn::MulAdd(hn::Mul(magnitude, z), polynomial(constants::tanh_coefficients, z), magnitude);
    const vector largest = hn::Set(d, constants::tanh_largest);
    const vector clamped = hn::IfThenElse(hn::Gt(magnitude, largest), largest, magnitude);
    const vector one = hn::Set(d, 1.0F);
    const vector e = bare_exp(hn::Add(clamped, clamped));
    const vector large = hn::Sub(one, hn::Div(hn::Set(d, 2.0F), hn::Add(e, one)));
    vector y = hn::IfThenElse(hn::Lt(magnitude, hn::Set(d, constants::tanh_small)), small, large);
    y = hn::BitCast(d, hn::Or(hn::BitCast(du, y), sign));
    return hn::IfThenElse(hn::Eq(x, x), y, x);
}

/// GELU's 1 / (1 + exp(-2u)), for x that is not NaN: what the callers make of the gate is NaN
/// already when x is. -z is computed in z's place (a sign changes no rounding), so that 32 bounds
/// it above; where exp gives +0 below, so does the select, and no other of exp's cases remains.
template <std::size_t N>
HWY_INLINE bundle<N> gelu_gate(const bundle<N>& x, const bundle<N>& x2) {
    const float_tag d;
    const vector one = hn::Set(d, 1.0F);
    const vector cubic = hn::Set(d, constants::gelu_cubic);
    const vector factor = hn::Set(d, -constants::gelu_factor);
    const vector highest = hn::Set(d, -constants::gelu_lowest);
    const vector lowest = hn::Set(d, constants::exp_lowest);
    const auto y = each(
        [=](vector a, vector a2) HWY_ATTR {
            const vector z = hn::Mul(hn::Mul(a, factor), hn::MulAdd(a2, cubic, one));
            return hn::IfThenElse(hn::Gt(z, highest), highest, z);
        },
        x, x2);
    return each(
        [=](vector e, vector z) HWY_ATTR {
            return hn::Div(one, hn::Add(one, hn::IfThenZeroElse(hn::Lt(z, lowest), e)));
        },
        bare_exp(y), y);
}

/// The 32 partial sums of one reduction.
struct partial_sums {
    static constexpr std::size_t count = 32 / lanes;
    vector s[count];

    HWY_INLINE partial_sums() {
        for (std::size_t i = 0; i < count; ++i) s[i] = hn::Zero(float_tag());
    }
    /// Elements in a row from a multiple of 32 on; N is a multiple of `count`.
    template <std::size_t N>
    HWY_INLINE void add(const bundle<N>& x) {
        static_assert(N % count == 0);
#pragma GCC unroll 8
        for (std::size_t i = 0; i < N; ++i) s[i % count] = hn::Add(s[i % count], x.v[i]);
    }
    HWY_INLINE float fold() {
        for (std::size_t half = count / 2; half > 0; half /= 2) {
            for (std::size_t i = 0; i < half; ++i) s[i] = hn::Add(s[i], s[i + half]);
        }
        return fold_lanes(float_tag(), s[0]);
    }

private:
    template <class Tag>
    static HWY_INLINE float fold_lanes(Tag, hn::Vec<Tag> v) {
        if constexpr (hn::MaxLanes(Tag()) > 4) {
            const hn::Half<Tag> half;
            return fold_lanes(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
        } else {
            const auto pair = hn::Add(v, hn::Shuffle1032(v));
            return (hn::GetLane(pair) + hn::GetLane(hn::Shuffle2301(pair))) + 0.0F;
        }
    }
};

/// The largest lane by compare and select.
template <class Tag>
HWY_INLINE hn::TFromD<Tag> fold_largest([[maybe_unused]] Tag d, hn::Vec<Tag> v) {
    const auto larger = [](auto a, auto b) HWY_ATTR { return hn::IfThenElse(hn::Gt(a, b), a, b); };
    if constexpr (hn::MaxLanes(Tag()) > 4) {
        const hn::Half<Tag> half;
        return fold_largest(half, larger(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    } else {
        const auto pair = larger(v, hn::Shuffle1032(v));
        return hn::GetLane(larger(pair, hn::Shuffle2301(pair)));
    }
}

/// out[i] = f(in[i]...) for i < n, a vector at a time; the tail through buffers filled up with
/// zeros.
template <class F, class... In>
HWY_INLINE void map(std::size_t n, float* out, F f, const In*... in) {
    const float_tag d;
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) hn::StoreU(f(hn::LoadU(d, in + i)...), d, out + i);
    if (i == n) return;
    const auto tail = [&](const float* source) {
        HWY_ALIGN float buffer[lanes] = {};
        std::memcpy(buffer, source + i, (n - i) * sizeof(float));
        return hn::Load(d, buffer);
    };
    HWY_ALIGN float result[lanes];
    hn::Store(f(tail(in)...), d, result);
    std::memcpy(out + i, result, (n - i) * sizeof(float));
}

/// out[i] = f(in[i]...) as `map`, f taking and giving bundles.
template <class F, class... In>
HWY_INLINE void map_bundles(std::size_t n, float* out, F f, const In*... in) {
    constexpr std::size_t step = side_by_side * lanes;
    std::size_t i = 0;
    for (; i + step <= n; i += step) store_bundle(f(load_bundle<side_by_side>(in + i)...), out + i);
    map(
        n - i, out + i, [&](auto... x) HWY_ATTR { return f(bundle<1>{{x}}...).v[0]; }, (in + i)...);
}

/// Calls f(partial sum, in[i]...) over n elements by the 32-way rule, and folds.
template <class F, class... In>
HWY_INLINE float reduce(std::size_t n, F f, const In*... in) {
    const float_tag d;
    partial_sums sums;
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < partial_sums::count; ++v) {
            sums.s[v] = f(sums.s[v], hn::LoadU(d, in + i + v * lanes)...);
        }
    }
    if (i < n) {
        constexpr std::size_t inputs = sizeof...(In);
        HWY_ALIGN float buffers[inputs][32] = {};
        std::size_t which = 0;
        ((std::memcpy(buffers[which++], in + i, (n - i) * sizeof(float))), ...);
        for (std::size_t v = 0; v < partial_sums::count; ++v) {
            if constexpr (inputs == 1) {
                sums.s[v] = f(sums.s[v], hn::Load(d, buffers[0] + v * lanes));
            } else if constexpr (inputs == 2) {
                sums.s[v] = f(sums.s[v], hn::Load(d, buffers[0] + v * lanes),
                              hn::Load(d, buffers[1] + v * lanes));
            } else {
                static_assert(inputs == 3);
                sums.s[v] =
                    f(sums.s[v], hn::Load(d, buffers[0] + v * lanes),
                      hn::Load(d, buffers[1] + v * lanes), hn::Load(d, buffers[2] + v * lanes));
            }
        }
    }
    return sums.fold();
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
#endif
