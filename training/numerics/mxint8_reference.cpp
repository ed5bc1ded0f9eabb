#include <algorithm>
#include <bit>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/mxint8.hpp"

namespace tequio::training::numerics {

namespace {

/// 2^exponent, exponent in the range of normal float32.
float power_of_two(int exponent) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
}

/// floor(log2 x) for normal x > 0; below every window for subnormals and 0.
int exponent_of(float x) {
    return static_cast<int>(std::bit_cast<std::uint32_t>(x) >> 23) - 127;
}

}  // namespace

bool mxint8_encode_reference(std::span<const float> values, int window,
                             std::span<std::uint8_t> scales, std::span<std::int8_t> codes,
                             codec_counts& counts) {
    base::ensure(window >= mx_window_min && window <= mx_window_max, "a window is within limits");
    base::ensure(
        scales.size() == mx_block_count(values.size()) && codes.size() == scales.size() * mx_block,
        "scales and codes have the sizes of the values");
    for (std::size_t block = 0; block < scales.size(); ++block) {
        float amax = 0.0F;
        for (std::size_t j = 0; j < mx_block; ++j) {
            const std::size_t i = block * mx_block + j;
            const float value = i < values.size() ? values[i] : 0.0F;
            if (!finite(value)) return false;
            const float magnitude = value < 0.0F ? 0.0F - value : value;
            amax = magnitude > amax ? magnitude : amax;
        }
        const int b = std::clamp(exponent_of(amax) - 6, window, window + mx_scale_max);
        const float factor = power_of_two(-b);
        scales[block] = static_cast<std::uint8_t>(b - window);
        for (std::size_t j = 0; j < mx_block; ++j) {
            const std::size_t i = block * mx_block + j;
            const float value = i < values.size() ? values[i] : 0.0F;
            // Clamping to +-128 first keeps the rounding trick within its range and is undone
            // below.
            float scaled = value * factor;
            scaled = scaled > 128.0F ? 128.0F : scaled;
            scaled = scaled < -128.0F ? -128.0F : scaled;
            constexpr float magic = 12582912.0F;  // 1.5 * 2^23: rounds to nearest even
            const int rounded = static_cast<int>((scaled + magic) - magic);
            const int code = std::clamp(rounded, -127, 127);
            counts.saturated += rounded != code ? 1 : 0;
            counts.flushed += code == 0 && value != 0.0F ? 1 : 0;
            codes[i] = static_cast<std::int8_t>(code);
        }
    }
    return true;
}

void mxint8_decode_reference(std::span<const std::uint8_t> scales,
                             std::span<const std::int8_t> codes, int window,
                             std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(codes[i]) * power_of_two(window + scales[i / mx_block]);
    }
}

void mxint8_accumulate_reference(std::span<const std::uint8_t> scales,
                                 std::span<const std::int8_t> codes, std::span<std::int64_t> sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] += codes[i] * (std::int64_t{1} << scales[i / mx_block]);
    }
}

bool mxint8_canonical_reference(std::span<const std::uint8_t> scales,
                                std::span<const std::int8_t> codes, std::size_t n) {
    if (scales.size() != mx_block_count(n) || codes.size() != scales.size() * mx_block)
        return false;
    for (std::size_t block = 0; block < scales.size(); ++block) {
        int largest = 0;
        for (const std::int8_t code : codes.subspan(block * mx_block, mx_block)) {
            largest = std::max(largest, code < 0 ? -int{code} : int{code});
        }
        if (largest > 127 || scales[block] > mx_scale_max) return false;
        if (scales[block] > 0 && largest < 64) return false;
    }
    return std::all_of(codes.begin() + static_cast<std::ptrdiff_t>(n), codes.end(),
                       [](std::int8_t code) { return code == 0; });
}

}  // namespace tequio::training::numerics
