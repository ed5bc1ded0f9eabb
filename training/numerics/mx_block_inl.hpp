// One block of 32 values in vectors: what mxint8.cpp and mxfp4.cpp share. Included by .cpp files
// only, after Highway; the guard toggles because one file includes this several times.

#if defined(TEQUIO_NUMERICS_MX_BLOCK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TEQUIO_NUMERICS_MX_BLOCK_INL
#undef TEQUIO_NUMERICS_MX_BLOCK_INL
#else
#define TEQUIO_NUMERICS_MX_BLOCK_INL
#endif

#include <bit>

#include "training/numerics/mx_block.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

using int_tag = hn::RebindToSigned<float_tag>;
using int_vector = hn::Vec<int_tag>;
/// As many bytes as a vector has floats.
using byte_tag = hn::Rebind<std::int8_t, float_tag>;
constexpr std::size_t block_vectors = mx_block / lanes;

/// Blocks whose scales are found together. One block's largest value, scale and codes are a chain
/// of some twenty operations that wait for one another, and the processor's schedulers hold too few
/// of them to overlap one block's chain with the next one's by themselves.
constexpr std::size_t group_blocks = 4;
constexpr std::size_t group_values = group_blocks * mx_block;
static_assert(group_values == mx_group);

/// Of each block of a group: the scale is 2^b, the factor 2^-b.
struct group_scales {
    alignas(16) std::int32_t b[group_blocks];
    alignas(16) float factor[group_blocks];
};

/// The larger ones, lane by lane.
template <class Vector>
HWY_INLINE Vector larger(Vector a, Vector b) {
    return hn::IfThenElse(hn::Gt(a, b), a, b);
}

/// The largest magnitudes of a block, as bits: they order like the numbers, infinities and NaN
/// above all.
HWY_INLINE int_vector magnitudes_of(const float* values) {
    const int_tag di;
    const auto magnitude = [&](std::size_t v) HWY_ATTR {
        const auto bits = hn::BitCast(di, hn::LoadU(float_tag(), values + v * lanes));
        return hn::And(bits, hn::Set(di, 0x7fffffff));
    };
    int_vector largest = magnitude(0);
#pragma GCC unroll 8
    for (std::size_t v = 1; v < block_vectors; ++v) largest = larger(largest, magnitude(v));
    return largest;
}

/// Lane i: the largest of the lanes i modulo 4.
template <class Tag>
HWY_INLINE hn::Vec<hn::Full128<std::int32_t>> fold_to_four([[maybe_unused]] Tag d, hn::Vec<Tag> v) {
    if constexpr (hn::MaxLanes(Tag()) > 4) {
        const hn::Half<Tag> half;
        return fold_to_four(half, larger(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
    } else {
        return v;
    }
}

/// Reads a group; b = clamp(floor(log2 amax) - top, lowest, lowest + 39) of each block. False if a
/// value is not finite.
HWY_INLINE bool scales_of(const float* values, int top, int lowest, group_scales& out) {
    const int_tag di;
    const hn::Rebind<std::int64_t, hn::Half<int_tag>> pairs;
    int_vector block[group_blocks];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < group_blocks; ++i) {
        block[i] = magnitudes_of(values + i * mx_block);
    }
    // Within each 128 bits, four largest of four blocks become one of each block, in order.
    const auto low = larger(hn::InterleaveLower(di, block[0], block[1]),
                            hn::InterleaveUpper(di, block[0], block[1]));
    const auto high = larger(hn::InterleaveLower(di, block[2], block[3]),
                             hn::InterleaveUpper(di, block[2], block[3]));
    const auto low_pairs = hn::BitCast(pairs, low);
    const auto high_pairs = hn::BitCast(pairs, high);
    const auto all = larger(hn::BitCast(di, hn::InterleaveLower(pairs, low_pairs, high_pairs)),
                            hn::BitCast(di, hn::InterleaveUpper(pairs, low_pairs, high_pairs)));
    const hn::Full128<std::int32_t> four;
    const auto largest = fold_to_four(di, all);
    const auto least_scale = hn::Set(four, lowest);
    const auto most_scale = hn::Set(four, lowest + mx_scale_max);
    auto b = hn::Sub(hn::ShiftRight<23>(largest), hn::Set(four, 127 + top));
    b = hn::IfThenElse(hn::Gt(b, most_scale), most_scale, b);
    b = larger(b, least_scale);
    hn::Store(b, four, out.b);
    const auto factor = hn::ShiftLeft<23>(hn::Sub(hn::Set(four, 127), b));
    hn::Store(hn::BitCast(hn::Full128<float>(), factor), hn::Full128<float>(), out.factor);
    return hn::AllFalse(four, hn::Gt(largest, hn::Set(four, 0x7f7fffff)));
}

/// values[i] = code[i] * factor for the codes of one vector.
HWY_INLINE void store_values(const std::int8_t* codes, vector factor, float* values) {
    const auto code = hn::PromoteTo(int_tag(), hn::LoadU(byte_tag(), codes));
    hn::StoreU(hn::Mul(hn::ConvertTo(float_tag(), code), factor), float_tag(), values);
}

/// sums[i] += code[i] * 2^scale for the codes of one vector.
HWY_INLINE void add_codes(const std::int8_t* codes, int scale, std::int64_t* sums) {
    const hn::ScalableTag<std::int64_t> wide;
    const hn::Half<int_tag> half;
    const auto code = hn::PromoteTo(int_tag(), hn::LoadU(byte_tag(), codes));
    const auto low = hn::PromoteTo(wide, hn::LowerHalf(half, code));
    const auto high = hn::PromoteTo(wide, hn::UpperHalf(half, code));
    constexpr std::size_t n = lanes / 2;
    hn::StoreU(hn::Add(hn::LoadU(wide, sums), hn::ShiftLeftSame(low, scale)), wide, sums);
    hn::StoreU(hn::Add(hn::LoadU(wide, sums + n), hn::ShiftLeftSame(high, scale)), wide, sums + n);
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
#endif
