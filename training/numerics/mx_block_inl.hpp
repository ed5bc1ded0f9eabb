// One block of 32 values in vectors: what mxint8.cpp and mxfp4.cpp share. Included by .cpp files
// only, after Highway; the guard toggles because one file includes this several times.

#if defined(TEQUIO_NUMERICS_MX_BLOCK_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TEQUIO_NUMERICS_MX_BLOCK_INL
#undef TEQUIO_NUMERICS_MX_BLOCK_INL
#else
#define TEQUIO_NUMERICS_MX_BLOCK_INL
#endif

#include <algorithm>
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

/// A block's values, and its scale.
struct scaled_block {
    vector x[block_vectors];
    int b;          ///< the scale is 2^b
    vector factor;  ///< 2^-b in every lane
};

/// Loads 32 values; b = clamp(floor(log2 amax) - top, lowest, lowest + 39). False if a value is not
/// finite: b is then within its bounds all the same.
HWY_INLINE bool load_block(const float* values, int top, int lowest, scaled_block& out) {
    const float_tag d;
    const int_tag di;
    // Magnitudes order like their bits; infinities and NaN stand above all numbers.
    int_vector largest = hn::Zero(di);
#pragma GCC unroll 8
    for (std::size_t v = 0; v < block_vectors; ++v) {
        out.x[v] = hn::LoadU(d, values + v * lanes);
        const auto bits = hn::And(hn::BitCast(di, out.x[v]), hn::Set(di, 0x7fffffff));
        largest = hn::IfThenElse(hn::Gt(bits, largest), bits, largest);
    }
    const auto bits = static_cast<std::uint32_t>(fold_largest(di, largest));
    const int exponent = static_cast<int>(bits >> 23) - 127;
    out.b = std::clamp(exponent - top, lowest, lowest + mx_scale_max);
    out.factor = hn::Set(d, std::bit_cast<float>(static_cast<std::uint32_t>(127 - out.b) << 23));
    return bits < 0x7f800000U;
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
