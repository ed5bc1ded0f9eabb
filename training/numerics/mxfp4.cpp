#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/mxfp4.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "base/ensure.hpp"
#include "training/numerics/mx_block_inl.hpp"
#include "training/numerics/mxfp4.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

/// The codes of one vector, 0..15, before packing; counts what saturates or vanishes.
HWY_INLINE int_vector codes_of(vector x, vector factor, std::size_t& saturated,
                               std::size_t& vanished) {
    const float_tag d;
    const int_tag di;
    const vector scaled = hn::Mul(hn::Abs(x), factor);
    const auto bits = hn::BitCast(di, scaled);
    // From 1 on a magnitude is the exponent and one bit of the mantissa: rounded to nearest even on
    // the bits, as float32 itself rounds. Infinity (a product that overflowed) stays above 7.
    const auto odd = hn::And(hn::ShiftRight<22>(bits), hn::Set(di, 1));
    constexpr std::int32_t bias = (2 * 127 - 2) << 22;
    const auto above =
        hn::ShiftRight<22>(hn::Add(hn::Add(bits, hn::Set(di, 0x1fffff - bias)), odd));
    // Below 1 a step is one half, the last bit of a float32 from 2^22 on.
    const vector magic = hn::Set(d, 0x1.8p22F);
    const auto below = hn::Sub(hn::BitCast(di, hn::Add(scaled, magic)), hn::BitCast(di, magic));
    const auto magnitude = hn::IfThenElse(hn::Gt(hn::Set(di, 0x3f800000), bits), below, above);
    const auto most = hn::Set(di, 7);
    const auto beyond = hn::Gt(magnitude, most);
    saturated += hn::CountTrue(di, beyond);
    const auto is_zero = hn::Eq(magnitude, hn::Zero(di));
    vanished += hn::CountTrue(d, hn::And(hn::RebindMask(d, is_zero), hn::Ne(x, hn::Zero(d))));
    const auto sign = hn::And(hn::ShiftRight<28>(hn::BitCast(di, x)), hn::Set(di, 8));
    const auto code = hn::Or(hn::IfThenElse(beyond, most, magnitude), sign);
    return hn::IfThenZeroElse(is_zero, code);
}

/// Whole groups; false if a value is not finite.
bool encode_groups(const float* values, std::size_t groups, int window, std::uint8_t* scales,
                   std::uint8_t* codes, codec_counts* counts) {
    const hn::Rebind<std::uint8_t, float_tag> bytes;
    constexpr std::size_t half = block_vectors / 2;
    std::size_t saturated = 0, vanished = 0;
    bool finite = true;
    for (std::size_t group = 0; group < groups; ++group) {
        group_scales found;
        finite &= scales_of(values + group * group_values, 2, window + 1, found);
        for (std::size_t i = 0; i < group_blocks; ++i) {
            const std::size_t block = group * group_blocks + i;
            scales[block] = static_cast<std::uint8_t>(found.b[i] - 1 - window);
            const vector factor = hn::Set(float_tag(), found.factor[i]);
            const auto codes_at = [&](std::size_t v) HWY_ATTR {
                const auto x = hn::LoadU(float_tag(), values + block * mx_block + v * lanes);
                return codes_of(x, factor, saturated, vanished);
            };
#pragma GCC unroll 8
            for (std::size_t v = 0; v < half; ++v) {
                const auto pair = hn::Or(codes_at(v), hn::ShiftLeft<4>(codes_at(v + half)));
                hn::StoreU(hn::DemoteTo(bytes, pair), bytes,
                           codes + block * mxfp4_block_bytes + v * lanes);
            }
        }
    }
    counts->saturated += saturated;
    counts->flushed += vanished;
    return finite;
}

/// The 32 integers of one block.
HWY_INLINE void unpack(const std::uint8_t* codes, std::int8_t* integers) {
    const hn::Full128<std::int8_t> d;
    const hn::Full128<std::uint8_t> du;
    HWY_ALIGN static constexpr std::int8_t table[16] = {0, 1,  2,  3,  4,  6,  8,  12,
                                                        0, -1, -2, -3, -4, -6, -8, -12};
    const auto values = hn::Load(d, table);
    const auto packed = hn::LoadU(du, codes);
    const auto low = hn::And(packed, hn::Set(du, 15));
    const auto high = hn::ShiftRight<4>(packed);
    hn::Store(hn::TableLookupBytes(values, hn::BitCast(d, low)), d, integers);
    hn::Store(hn::TableLookupBytes(values, hn::BitCast(d, high)), d, integers + 16);
}

void decode_blocks(const std::uint8_t* scales, const std::uint8_t* codes, std::size_t blocks,
                   int window, float* values) {
    for (std::size_t block = 0; block < blocks; ++block) {
        HWY_ALIGN std::int8_t integers[mx_block];
        unpack(codes + block * mxfp4_block_bytes, integers);
        const auto exponent = static_cast<std::uint32_t>(window + scales[block] + 127);
        const vector factor = hn::Set(float_tag(), std::bit_cast<float>(exponent << 23));
#pragma GCC unroll 8
        for (std::size_t v = 0; v < block_vectors; ++v) {
            store_values(integers + v * lanes, factor, values + block * mx_block + v * lanes);
        }
    }
}

void add_blocks(const std::uint8_t* scales, const std::uint8_t* codes, std::size_t blocks,
                std::int64_t* sums) {
    for (std::size_t block = 0; block < blocks; ++block) {
        HWY_ALIGN std::int8_t integers[mx_block];
        unpack(codes + block * mxfp4_block_bytes, integers);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < block_vectors; ++v) {
            add_codes(integers + v * lanes, scales[block], sums + block * mx_block + v * lanes);
        }
    }
}

bool blocks_canonical(const std::uint8_t* scales, const std::uint8_t* codes, std::size_t blocks) {
    const hn::Full128<std::int8_t> d;
    const hn::Full128<std::uint8_t> du;
    const auto minus_zero = hn::Set(d, 8);
    for (std::size_t block = 0; block < blocks; ++block) {
        const auto packed = hn::LoadU(du, codes + block * mxfp4_block_bytes);
        const auto low = hn::BitCast(d, hn::And(packed, hn::Set(du, 15)));
        const auto high = hn::BitCast(d, hn::ShiftRight<4>(packed));
        const auto bad = hn::Or(hn::Eq(low, minus_zero), hn::Eq(high, minus_zero));
        if (scales[block] > mx_scale_max || !hn::AllFalse(d, bad)) return false;
        const auto magnitudes = hn::Set(d, 7);
        const auto large = hn::Or(hn::Gt(hn::And(low, magnitudes), hn::Set(d, 5)),
                                  hn::Gt(hn::And(high, magnitudes), hn::Set(d, 5)));
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
                   std::uint8_t* codes, codec_counts* counts) {
    TEQUIO_RETURN_VECTOR(encode_groups(values, groups, window, scales, codes, counts));
    const auto blocks = groups * mx_group / mx_block;
    return mxfp4_encode_reference({values, blocks * mx_block}, window, {scales, blocks},
                                  {codes, blocks * mxfp4_block_bytes}, *counts);
}

void decode_blocks(const std::uint8_t* scales, const std::uint8_t* codes, std::size_t blocks,
                   int window, float* values) {
    TEQUIO_RETURN_VECTOR(decode_blocks(scales, codes, blocks, window, values));
    mxfp4_decode_reference({scales, blocks}, {codes, blocks * mxfp4_block_bytes}, window,
                           {values, blocks * mx_block});
}

void add_blocks(const std::uint8_t* scales, const std::uint8_t* codes, std::size_t blocks,
                std::int64_t* sums) {
    TEQUIO_RETURN_VECTOR(add_blocks(scales, codes, blocks, sums));
    mxfp4_accumulate_reference({scales, blocks}, {codes, blocks * mxfp4_block_bytes},
                               {sums, blocks * mx_block});
}

bool blocks_canonical(const std::uint8_t* scales, const std::uint8_t* codes, std::size_t blocks) {
    TEQUIO_RETURN_VECTOR(blocks_canonical(scales, codes, blocks));
    return mxfp4_canonical_reference({scales, blocks}, {codes, blocks * mxfp4_block_bytes},
                                     blocks * mx_block);
}

void ensure_sizes(std::size_t scales, std::size_t codes, std::size_t n) {
    base::ensure(scales == mx_block_count(n) && codes == scales * mxfp4_block_bytes,
                 "scales and codes have the sizes of the values");
}

}  // namespace

bool mxfp4_encode(std::span<const float> values, int window, std::span<std::uint8_t> scales,
                  std::span<std::uint8_t> codes, codec_counts& counts) {
    base::ensure(window >= mx_window_min && window <= mx_window_max, "a window is within limits");
    ensure_sizes(scales.size(), codes.size(), values.size());
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
    std::uint8_t padded_codes[mx_group / 2];
    std::memcpy(padded, rest.data(), rest.size_bytes());
    const bool finite = encode_groups(padded, 1, window, padded_scales, padded_codes, &counts);
    const auto scales_left = scales.subspan(at / mx_block);
    const auto codes_left = codes.subspan(at / 2);
    std::copy_n(padded_scales, scales_left.size(), scales_left.begin());
    std::copy_n(padded_codes, codes_left.size(), codes_left.begin());
    return finite;
}

void mxfp4_decode(std::span<const std::uint8_t> scales, std::span<const std::uint8_t> codes,
                  int window, std::span<float> values) {
    ensure_sizes(scales.size(), codes.size(), values.size());
    const std::size_t whole = values.size() / mx_block;
    decode_blocks(scales.data(), codes.data(), whole, window, values.data());
    mxfp4_decode_reference(scales.subspan(whole), codes.subspan(whole * mxfp4_block_bytes), window,
                           values.subspan(whole * mx_block));
}

void mxfp4_accumulate(std::span<const std::uint8_t> scales, std::span<const std::uint8_t> codes,
                      std::span<std::int64_t> sums) {
    ensure_sizes(scales.size(), codes.size(), sums.size());
    const std::size_t whole = sums.size() / mx_block;
    add_blocks(scales.data(), codes.data(), whole, sums.data());
    mxfp4_accumulate_reference(scales.subspan(whole), codes.subspan(whole * mxfp4_block_bytes),
                               sums.subspan(whole * mx_block));
}

bool mxfp4_canonical(std::span<const std::uint8_t> scales, std::span<const std::uint8_t> codes,
                     std::size_t n) {
    if (scales.size() != mx_block_count(n) || codes.size() != scales.size() * mxfp4_block_bytes) {
        return false;
    }
    const std::size_t whole = n / mx_block;
    return blocks_canonical(scales.data(), codes.data(), whole) &&
           mxfp4_canonical_reference(scales.subspan(whole),
                                     codes.subspan(whole * mxfp4_block_bytes),
                                     n - whole * mx_block);
}

}  // namespace tequio::training::numerics
#endif
