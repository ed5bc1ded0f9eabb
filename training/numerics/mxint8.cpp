#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/mxint8.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cstring>

#include "base/ensure.hpp"
#include "training/numerics/mx_block_inl.hpp"
#include "training/numerics/mxint8.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

/// Whole blocks; false if a value is not finite.
bool encode_blocks(const float* values, std::size_t blocks, int window, std::uint8_t* scales,
                   std::int8_t* codes, codec_counts* counts) {
    const float_tag d;
    const int_tag di;
    const vector high = hn::Set(d, 128.0F);
    const vector low = hn::Set(d, -128.0F);
    const vector magic = hn::Set(d, constants::round_magic);
    const auto most = hn::Set(di, 127);
    const auto least = hn::Set(di, -127);
    std::size_t saturated = 0, flushed_values = 0;
    for (std::size_t block = 0; block < blocks; ++block) {
        scaled_block in;
        if (!load_block(values + block * mx_block, 6, window, in)) return false;
        scales[block] = static_cast<std::uint8_t>(in.b - window);
#pragma GCC unroll 8
        for (std::size_t v = 0; v < block_vectors; ++v) {
            vector scaled = hn::Mul(in.x[v], in.factor);
            scaled = hn::IfThenElse(hn::Gt(scaled, high), high, scaled);
            scaled = hn::IfThenElse(hn::Lt(scaled, low), low, scaled);
            const auto rounded =
                hn::Sub(hn::BitCast(di, hn::Add(scaled, magic)), hn::BitCast(di, magic));
            auto code = hn::IfThenElse(hn::Gt(rounded, most), most, rounded);
            code = hn::IfThenElse(hn::Gt(least, code), least, code);
            saturated += hn::CountTrue(di, hn::Ne(rounded, code));
            const auto zero_code = hn::RebindMask(d, hn::Eq(code, hn::Zero(di)));
            flushed_values += hn::CountTrue(d, hn::And(zero_code, hn::Ne(in.x[v], hn::Zero(d))));
            hn::StoreU(hn::DemoteTo(byte_tag(), code), byte_tag(),
                       codes + block * mx_block + v * lanes);
        }
    }
    counts->saturated += saturated;
    counts->flushed += flushed_values;
    return true;
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

bool encode_blocks(const float* values, std::size_t blocks, int window, std::uint8_t* scales,
                   std::int8_t* codes, codec_counts* counts) {
    TEQUIO_RETURN_VECTOR(encode_blocks(values, blocks, window, scales, codes, counts));
    const auto n = blocks * mx_block;
    return mxint8_encode_reference({values, n}, window, {scales, blocks}, {codes, n}, *counts);
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
    const std::size_t whole = values.size() / mx_block;
    const std::size_t at = whole * mx_block;
    if (!encode_blocks(values.data(), whole, window, scales.data(), codes.data(), &counts)) {
        return false;
    }
    if (whole == scales.size()) return true;
    float padded[mx_block] = {};
    std::memcpy(padded, values.data() + at, (values.size() - at) * sizeof(float));
    return encode_blocks(padded, 1, window, &scales[whole], codes.data() + at, &counts);
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
