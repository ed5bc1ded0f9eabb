#include <algorithm>
#include <bit>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/mxfp4.hpp"

namespace tequio::training::numerics {

namespace {

/// Twice the value of each magnitude.
constexpr int doubled[8] = {0, 1, 2, 3, 4, 6, 8, 12};

/// 2^exponent, exponent in the range of normal float32.
float power_of_two(int exponent) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

/// floor(log2 x) for normal x > 0; below every window for subnormals and 0.
int exponent_of(float x) {
    return static_cast<int>(std::bit_cast<std::uint32_t>(x) >> 23) - 127;
}

/// The magnitude nearest to x >= 0; 8 where that would be beyond the largest. A tie goes to the
/// even magnitude: up from an odd one, not up from an even one.
int magnitude_of(float x) {
    if (x <= 0.25F) return 0;
    if (x < 0.75F) return 1;
    if (x <= 1.25F) return 2;
    if (x < 1.75F) return 3;
    if (x <= 2.5F) return 4;
    if (x < 3.5F) return 5;
    if (x <= 5.0F) return 6;
    if (x < 7.0F) return 7;
    return 8;
}

int integer_of(std::uint8_t code) {
    return (code & 8) != 0 ? -doubled[code & 7] : doubled[code];
}

float largest_magnitude(std::span<const float> block) {
    float amax = 0.0F;
    for (const float value : block) {
        const float magnitude = value < 0.0F ? 0.0F - value : value;
        amax = magnitude > amax ? magnitude : amax;
    }
    return amax;
}

}  // namespace

bool mxfp4_encode_reference(std::span<const float> values, int window,
                            std::span<std::uint8_t> scales, std::span<std::uint8_t> codes,
                            codec_counts& counts) {
    base::ensure(window >= mx_window_min && window <= mx_window_max, "a window is within limits");
    base::ensure(scales.size() == mx_block_count(values.size()) &&
                     codes.size() == scales.size() * mxfp4_block_bytes,
                 "scales and codes have the sizes of the values");
    std::fill(codes.begin(), codes.end(), std::uint8_t{0});
    for (std::size_t block = 0; block < scales.size(); ++block) {
        const auto n = std::min(mx_block, values.size() - block * mx_block);
        const auto in = values.subspan(block * mx_block, n);
        if (!std::all_of(in.begin(), in.end(), finite)) return false;
        const int exponent = exponent_of(largest_magnitude(in));
        const int b = std::clamp(exponent - 2, window + 1, window + 1 + mx_scale_max);
        const float factor = power_of_two(-b);
        scales[block] = static_cast<std::uint8_t>(b - 1 - window);
        for (std::size_t j = 0; j < n; ++j) {
            const int rounded = magnitude_of((in[j] < 0.0F ? 0.0F - in[j] : in[j]) * factor);
            const int magnitude = std::min(rounded, 7);
            counts.saturated += rounded != magnitude ? 1 : 0;
            counts.flushed += magnitude == 0 && in[j] != 0.0F ? 1 : 0;
            const int code = in[j] < 0.0F && magnitude != 0 ? magnitude + 8 : magnitude;
            const int place = j < mxfp4_block_bytes ? code : code << 4;
            codes[block * mxfp4_block_bytes + j % mxfp4_block_bytes] |=
                static_cast<std::uint8_t>(place);
        }
    }
    return true;
}

void mxfp4_decode_reference(std::span<const std::uint8_t> scales,
                            std::span<const std::uint8_t> codes, int window,
                            std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(integer_of(mxfp4_code(codes, i))) *
                    power_of_two(window + scales[i / mx_block]);
    }
}

void mxfp4_accumulate_reference(std::span<const std::uint8_t> scales,
                                std::span<const std::uint8_t> codes, std::span<std::int64_t> sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] += integer_of(mxfp4_code(codes, i)) * (std::int64_t{1} << scales[i / mx_block]);
    }
}

bool mxfp4_canonical_reference(std::span<const std::uint8_t> scales,
                               std::span<const std::uint8_t> codes, std::size_t n) {
    if (scales.size() != mx_block_count(n) || codes.size() != scales.size() * mxfp4_block_bytes) {
        return false;
    }
    for (std::size_t block = 0; block < scales.size(); ++block) {
        int largest = 0;
        for (std::size_t i = block * mx_block; i < (block + 1) * mx_block; ++i) {
            const auto code = mxfp4_code(codes, i);
            if (code == 8 || (i >= n && code != 0)) return false;
            largest = std::max(largest, code & 7);
        }
        if (scales[block] > mx_scale_max || (scales[block] > 0 && largest < 6)) return false;
    }
    return true;
}

}  // namespace tequio::training::numerics
