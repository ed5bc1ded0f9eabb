#include <algorithm>
#include <bit>

#include "base/ensure.hpp"
#include "training/numerics/cut_format.hpp"
#include "training/numerics/cut_scales.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/float_formats.hpp"

namespace tequio::training::numerics {

namespace {

float round_bf16(float x) {
    return finite(x) ? flush(from_bf16(to_bf16(x))) : cut_nan;
}

void round_block(float* values, std::size_t n) {
    float amax = 0.0F;
    bool all_finite = true;
    for (std::size_t j = 0; j < n; ++j) {
        all_finite = all_finite && finite(values[j]);
        const float magnitude = values[j] < 0.0F ? 0.0F - values[j] : values[j];
        amax = magnitude > amax ? magnitude : amax;
    }
    if (!all_finite) return std::fill(values, values + n, cut_nan);
    const int b = cut_exponent(std::bit_cast<std::uint32_t>(amax));
    for (std::size_t j = 0; j < n; ++j) {
        constexpr float magic = 12582912.0F;  // 1.5 * 2^23: rounds to nearest even
        const float rounded = (values[j] * power_of_two(-b) + magic) - magic;
        const float code = rounded > 127.0F ? 127.0F : rounded < -127.0F ? -127.0F : rounded;
        values[j] = code * power_of_two(b);
    }
}

}  // namespace

void cut_round_reference(cut_format format, float* values, std::size_t rows, std::size_t width) {
    for (std::size_t row = 0; row < rows; ++row) {
        float* x = values + row * width;
        if (format == cut_format::bf16) std::transform(x, x + width, x, round_bf16);
        if (format != cut_format::mxint8) continue;
        for (std::size_t at = 0; at < width; at += mx_block) {
            round_block(x + at, std::min(mx_block, width - at));
        }
    }
}

}  // namespace tequio::training::numerics
