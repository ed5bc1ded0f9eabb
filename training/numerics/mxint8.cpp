#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/mxint8.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/ensure.hpp"
#include "training/numerics/mxint8.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

constexpr std::size_t block_vectors = mx_block / lanes;

/// The largest magnitude of a block, as bits, which order like the numbers; infinities and NaN
/// stand above all.
std::uint32_t largest_bits(const vector (&x)[block_vectors]) {
    const hn::RebindToSigned<float_tag> di;
    auto largest = hn::Zero(di);
    for (std::size_t v = 0; v < block_vectors; ++v) {
        const auto bits = hn::And(hn::BitCast(di, x[v]), hn::Set(di, 0x7fffffff));
        largest = hn::IfThenElse(hn::Gt(bits, largest), bits, largest);
    }
    HWY_ALIGN std::int32_t buffer[lanes];
    hn::Store(largest, di, buffer);
    std::int32_t best = buffer[0];
    for (std::size_t j = 1; j < lanes; ++j) best = buffer[j] > best ? buffer[j] : best;
    return static_cast<std::uint32_t>(best);
}

/// One whole block; false if a value is not finite.
bool encode_block(const float* values, int window, std::uint8_t* scale, std::int8_t* codes,
                  mx_counts* counts) {
    const float_tag d;
    const hn::RebindToSigned<float_tag> di;
    const hn::Rebind<std::int8_t, float_tag> d8;
    vector x[block_vectors];
    for (std::size_t v = 0; v < block_vectors; ++v) x[v] = hn::LoadU(d, values + v * lanes);
    const std::uint32_t largest = largest_bits(x);
    if (largest >= 0x7f800000U) return false;
    const int exponent = static_cast<int>(largest >> 23) - 127;
    const int b = std::clamp(exponent - 6, window, window + mxint8_scale_max);
    *scale = static_cast<std::uint8_t>(b - window);
    const vector factor =
        hn::Set(d, std::bit_cast<float>(static_cast<std::uint32_t>(127 - b) << 23));
    const vector high = hn::Set(d, 128.0F);
    const vector low = hn::Set(d, -128.0F);
    const vector magic = hn::Set(d, constants::round_magic);
    const auto most = hn::Set(di, 127);
    const auto least = hn::Set(di, -127);
    for (std::size_t v = 0; v < block_vectors; ++v) {
        vector scaled = hn::Mul(x[v], factor);
        scaled = hn::IfThenElse(hn::Gt(scaled, high), high, scaled);
        scaled = hn::IfThenElse(hn::Lt(scaled, low), low, scaled);
        const auto rounded = hn::ConvertTo(di, hn::Sub(hn::Add(scaled, magic), magic));
        auto code = hn::IfThenElse(hn::Gt(rounded, most), most, rounded);
        code = hn::IfThenElse(hn::Gt(least, code), least, code);
        counts->saturated += hn::CountTrue(di, hn::Ne(rounded, code));
        const auto zero_code = hn::RebindMask(d, hn::Eq(code, hn::Zero(di)));
        counts->flushed += hn::CountTrue(d, hn::And(zero_code, hn::Ne(x[v], hn::Zero(d))));
        hn::StoreU(hn::DemoteTo(d8, code), d8, codes + v * lanes);
    }
    return true;
}

/// One whole block of values: code * factor.
void decode_block(const std::int8_t* codes, float factor, float* values) {
    const float_tag d;
    const hn::RebindToSigned<float_tag> di;
    const hn::Rebind<std::int8_t, float_tag> d8;
    const vector f = hn::Set(d, factor);
    for (std::size_t v = 0; v < block_vectors; ++v) {
        const auto code = hn::PromoteTo(di, hn::LoadU(d8, codes + v * lanes));
        hn::StoreU(hn::Mul(hn::ConvertTo(d, code), f), d, values + v * lanes);
    }
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

bool encode_block(const float* values, int window, std::uint8_t* scale, std::int8_t* codes,
                  mx_counts* counts) {
    TEQUIO_RETURN_VECTOR(encode_block(values, window, scale, codes, counts));
    return mxint8_encode_reference({values, mx_block}, window, {scale, 1}, {codes, mx_block},
                                   *counts);
}

void decode_block(const std::int8_t* codes, float factor, float* values) {
    TEQUIO_RETURN_VECTOR(decode_block(codes, factor, values));
    for (std::size_t j = 0; j < mx_block; ++j) values[j] = static_cast<float>(codes[j]) * factor;
}

}  // namespace

bool mxint8_encode(std::span<const float> values, int window, std::span<std::uint8_t> scales,
                   std::span<std::int8_t> codes, mx_counts& counts) {
    base::ensure(window >= mx_window_min && window <= mx_window_max, "a window is within limits");
    base::ensure(
        scales.size() == mx_block_count(values.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the values");
    const std::size_t whole = values.size() / mx_block;
    for (std::size_t block = 0; block < whole; ++block) {
        const std::size_t at = block * mx_block;
        if (!encode_block(values.data() + at, window, &scales[block], codes.data() + at, &counts)) {
            return false;
        }
    }
    if (whole == scales.size()) return true;
    float padded[mx_block] = {};
    const std::size_t at = whole * mx_block;
    std::memcpy(padded, values.data() + at, (values.size() - at) * sizeof(float));
    return encode_block(padded, window, &scales[whole], codes.data() + at, &counts);
}

void mxint8_decode(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                   int window, std::span<float> values) {
    base::ensure(
        scales.size() == mx_block_count(values.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the values");
    for (std::size_t block = 0; block < scales.size(); ++block) {
        const auto exponent = static_cast<std::uint32_t>(window + scales[block] + 127);
        const float factor = std::bit_cast<float>(exponent << 23);
        const std::size_t at = block * mx_block;
        if (at + mx_block <= values.size()) {
            decode_block(codes.data() + at, factor, values.data() + at);
        } else {
            float padded[mx_block];
            decode_block(codes.data() + at, factor, padded);
            std::memcpy(values.data() + at, padded, (values.size() - at) * sizeof(float));
        }
    }
}

void mxint8_accumulate(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                       std::span<std::int64_t> sums) {
    base::ensure(
        scales.size() == mx_block_count(sums.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the sums");
    for (std::size_t block = 0; block < scales.size(); ++block) {
        const std::int64_t unit = std::int64_t{1} << scales[block];
        const std::size_t end = std::min(sums.size(), (block + 1) * mx_block);
        for (std::size_t i = block * mx_block; i < end; ++i) sums[i] += codes[i] * unit;
    }
}

}  // namespace tequio::training::numerics
#endif
