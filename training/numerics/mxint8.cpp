#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/mxint8.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "base/ensure.hpp"
#include "training/numerics/mx_block_inl.hpp"
#include "training/numerics/mxint8.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

/// The codes of one vector; counts what saturates or vanishes.
HWY_INLINE int_vector codes_of(vector x, vector factor, std::size_t& saturated,
                               std::size_t& vanished) {
    const float_tag d;
    const int_tag di;
    const vector high = hn::Set(d, 128.0F);
    const vector magic = hn::Set(d, constants::round_magic);
    const auto most = hn::Set(di, 127);
    // Magnitudes: to the nearest even goes the same way on both sides of 0.
    vector scaled = hn::Mul(hn::Abs(x), factor);
    scaled = hn::IfThenElse(hn::Gt(scaled, high), high, scaled);
    const auto rounded = hn::Sub(hn::BitCast(di, hn::Add(scaled, magic)), hn::BitCast(di, magic));
    const auto beyond = hn::Gt(rounded, most);
    saturated += hn::CountTrue(di, beyond);
    const auto is_zero = hn::RebindMask(d, hn::Eq(rounded, hn::Zero(di)));
    vanished += hn::CountTrue(d, hn::And(is_zero, hn::Ne(x, hn::Zero(d))));
    const auto sign = hn::ShiftRight<31>(hn::BitCast(di, x));
    return hn::Sub(hn::Xor(hn::IfThenElse(beyond, most, rounded), sign), sign);
}

/// Whole groups; false if a value is not finite.
bool encode_groups(const float* values, std::size_t groups, int window, std::uint8_t* scales,
                   std::int8_t* codes, codec_counts* counts) {
    std::size_t saturated = 0, vanished = 0;
    bool finite = true;
    for (std::size_t group = 0; group < groups; ++group) {
        group_scales found;
        finite &= scales_of(values + group * group_values, 6, window, found);
        for (std::size_t i = 0; i < group_blocks; ++i) {
            const std::size_t block = group * group_blocks + i;
            scales[block] = static_cast<std::uint8_t>(found.b[i] - window);
            const vector factor = hn::Set(float_tag(), found.factor[i]);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < block_vectors; ++v) {
                const std::size_t at = block * mx_block + v * lanes;
                const vector x = hn::LoadU(float_tag(), values + at);
                const auto code = codes_of(x, factor, saturated, vanished);
                hn::StoreU(hn::DemoteTo(byte_tag(), code), byte_tag(), codes + at);
            }
        }
    }
    counts->saturated += saturated;
    counts->flushed += vanished;
    return finite;
}

void decode_blocks(const std::uint8_t* scales, const std::int8_t* codes, std::size_t blocks,
                   int window, float* values) {
    for (std::size_t block = 0; block < blocks; ++block) {
        const auto exponent = static_cast<std::uint32_t>(window + scales[block] + 127);
        const vector factor = hn::Set(float_tag(), std::bit_cast<float>(exponent << 23));
        const std::size_t at = block * mx_block;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < block_vectors; ++v) {
            store_values(codes + at + v * lanes, factor, values + at + v * lanes);
        }
    }
}

void add_blocks(const std::uint8_t* scales, const std::int8_t* codes, std::size_t blocks,
                std::int64_t* sums) {
    for (std::size_t block = 0; block < blocks; ++block) {
        const std::size_t at = block * mx_block;
#pragma GCC unroll 8
        for (std::size_t v = 0; v < block_vectors; ++v) {
            add_codes(codes + at + v * lanes, scales[block], sums + at + v * lanes);
        }
    }
}

bool blocks_canonical(const std::uint8_t* scales, const std::int8_t* codes, std::size_t blocks) {
    const hn::CappedTag<std::int8_t, mx_block> d;
    constexpr std::size_t step = hn::MaxLanes(d);
    const auto invalid = hn::Set(d, -128);
    for (std::size_t block = 0; block < blocks; ++block) {
        auto bad = hn::MaskFromVec(hn::Zero(d));
        auto large = bad;
        for (std::size_t i = 0; i < mx_block; i += step) {
            const auto code = hn::LoadU(d, codes + block * mx_block + i);
            bad = hn::Or(bad, hn::Eq(code, invalid));
            large =
                hn::Or(large, hn::Or(hn::Gt(code, hn::Set(d, 63)), hn::Lt(code, hn::Set(d, -63))));
        }
        if (scales[block] > mx_scale_max || !hn::AllFalse(d, bad)) return false;
        if (scales[block] > 0 && hn::AllFalse(d, large)) return false;
    }
    return true;
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {
namespace {

bool encode_groups(const float* values, std::size_t groups, int window, std::uint8_t* scales,
                   std::int8_t* codes, codec_counts* counts) {
    TEQUIO_RETURN_VECTOR(encode_groups(values, groups, window, scales, codes, counts));
    const auto n = groups * mx_group;
    return mxint8_encode_reference({values, n}, window, {scales, mx_block_count(n)}, {codes, n},
                                   *counts);
}

void decode_blocks(const std::uint8_t* scales, const std::int8_t* codes, std::size_t blocks,
                   int window, float* values) {
    TEQUIO_RETURN_VECTOR(decode_blocks(scales, codes, blocks, window, values));
    const auto n = blocks * mx_block;
    mxint8_decode_reference({scales, blocks}, {codes, n}, window, {values, n});
}

void add_blocks(const std::uint8_t* scales, const std::int8_t* codes, std::size_t blocks,
                std::int64_t* sums) {
    TEQUIO_RETURN_VECTOR(add_blocks(scales, codes, blocks, sums));
    const auto n = blocks * mx_block;
    mxint8_accumulate_reference({scales, blocks}, {codes, n}, {sums, n});
}

bool blocks_canonical(const std::uint8_t* scales, const std::int8_t* codes, std::size_t blocks) {
    TEQUIO_RETURN_VECTOR(blocks_canonical(scales, codes, blocks));
    const auto n = blocks * mx_block;
    return mxint8_canonical_reference({scales, blocks}, {codes, n}, n);
}

}  // namespace

bool mxint8_encode(std::span<const float> values, int window, std::span<std::uint8_t> scales,
                   std::span<std::int8_t> codes, codec_counts& counts) {
    base::ensure(window >= mx_window_min && window <= mx_window_max, "a window is within limits");
    base::ensure(
        scales.size() == mx_block_count(values.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the values");
    const std::size_t groups = values.size() / mx_group;
    const std::size_t at = groups * mx_group;
    if (!encode_groups(values.data(), groups, window, scales.data(), codes.data(), &counts)) {
        return false;
    }
    const auto rest = values.subspan(at);
    if (rest.empty()) return true;
    // Blocks of zeros change no count.
    float padded[mx_group] = {};
    std::uint8_t padded_scales[mx_group / mx_block];
    std::int8_t padded_codes[mx_group];
    std::memcpy(padded, rest.data(), rest.size_bytes());
    const bool finite = encode_groups(padded, 1, window, padded_scales, padded_codes, &counts);
    const auto scales_left = scales.subspan(at / mx_block);
    std::copy_n(padded_scales, scales_left.size(), scales_left.begin());
    std::copy_n(padded_codes, codes.size() - at, codes.begin() + static_cast<std::ptrdiff_t>(at));
    return finite;
}

void mxint8_decode(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                   int window, std::span<float> values) {
    base::ensure(
        scales.size() == mx_block_count(values.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the values");
    const std::size_t whole = values.size() / mx_block;
    decode_blocks(scales.data(), codes.data(), whole, window, values.data());
    if (whole == scales.size()) return;
    const std::size_t at = whole * mx_block;
    mxint8_decode_reference(scales.subspan(whole), codes.subspan(at), window, values.subspan(at));
}

void mxint8_accumulate(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                       std::span<std::int64_t> sums) {
    base::ensure(
        scales.size() == mx_block_count(sums.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the sums");
    const std::size_t whole = sums.size() / mx_block;
    add_blocks(scales.data(), codes.data(), whole, sums.data());
    if (whole == scales.size()) return;
    const std::size_t at = whole * mx_block;
    mxint8_accumulate_reference(scales.subspan(whole), codes.subspan(at), sums.subspan(at));
}

bool mxint8_canonical(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                      std::size_t n) {
    if (scales.size() != mx_block_count(n) || codes.size() != scales.size() * mx_block) {
        return false;
    }
    const std::size_t whole = n / mx_block;
    const std::size_t at = whole * mx_block;
    return blocks_canonical(scales.data(), codes.data(), whole) &&
           mxint8_canonical_reference(scales.subspan(whole), codes.subspan(at), n - at);
}

}  // namespace tequio::training::numerics
#endif
