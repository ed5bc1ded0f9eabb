#include <bit>
#include <cstring>

#include "base/ensure.hpp"
#include "training/numerics/f32_grid.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::training::numerics {

static_assert(std::endian::native == std::endian::little, "codes are little-endian floats");

namespace {

using wide = unsigned __int128;

/// From here on every float32 is a multiple of 2^-80; below it, adding it rounds to one, because
/// the last bit of the sum is worth just that.
constexpr float rounded_below = 0x1p-57F;

float magnitude(float x) {
    return x < 0.0F ? 0.0F - x : x;
}

float on_grid(float x) {
    const float size = magnitude(x);
    const float rounded = size < rounded_below ? (size + rounded_below) - rounded_below : size;
    return x < 0.0F && rounded != 0.0F ? 0.0F - rounded : rounded;
}

float code_at(std::span<const std::uint8_t> codes, std::size_t i) {
    float out;
    std::memcpy(&out, codes.data() + 4 * i, 4);
    return out;
}

/// Value * 2^80 of a canonical code.
grid_sum integer_of(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(magnitude(value));
    if (bits == 0) return 0;
    const wide mantissa = (bits & 0x7fffffU) | 0x800000U;
    const int shift = static_cast<int>(bits >> 23) - 127 - 23 - f32_grid_exponent;
    const auto units = static_cast<grid_sum>(shift >= 0 ? mantissa << shift : mantissa >> -shift);
    return value < 0.0F ? -units : units;
}

/// Position of the highest bit of n > 0.
int highest_bit(wide n) {
    const auto high = static_cast<std::uint64_t>(n >> 64);
    return high != 0 ? 127 - std::countl_zero(high)
                     : 63 - std::countl_zero(static_cast<std::uint64_t>(n));
}

}  // namespace

bool f32_grid_encode_reference(std::span<const float> values, std::span<std::uint8_t> codes,
                               codec_counts& counts) {
    base::ensure(codes.size() == 4 * values.size(), "codes have the size of the values");
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (!finite(values[i]) || magnitude(values[i]) >= f32_grid_limit) return false;
        const float code = on_grid(values[i]);
        counts.flushed += code == 0.0F && values[i] != 0.0F ? 1 : 0;
        std::memcpy(codes.data() + 4 * i, &code, 4);
    }
    return true;
}

void f32_grid_decode(std::span<const std::uint8_t> codes, std::span<float> values) {
    base::ensure(codes.size() == 4 * values.size(), "codes have the size of the values");
    if (!values.empty()) std::memcpy(values.data(), codes.data(), codes.size());
}

void f32_grid_accumulate_reference(std::span<const std::uint8_t> codes, std::span<grid_sum> sums) {
    base::ensure(codes.size() == 4 * sums.size(), "codes have the size of the sums");
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += integer_of(code_at(codes, i));
}

bool f32_grid_canonical_reference(std::span<const std::uint8_t> codes) {
    if (codes.size() % 4 != 0) return false;
    for (std::size_t i = 0; i < codes.size() / 4; ++i) {
        const float value = code_at(codes, i);
        if (!finite(value) || magnitude(value) >= f32_grid_limit) return false;
        if (std::bit_cast<std::uint32_t>(on_grid(value)) != std::bit_cast<std::uint32_t>(value)) {
            return false;
        }
    }
    return true;
}

float f32_grid_mean(grid_sum sum, std::uint64_t lanes) {
    if (sum == 0) return 0.0F;
    const wide size = sum < 0 ? -static_cast<wide>(sum) : static_cast<wide>(sum);
    // Scaled by a power of two into [2^61, 2^62), bits that fall off remembered: the quotient by at
    // most 2^16 then has 45 bits or more, and whether anything is left below them is one more bit
    // that decides ties (it is far below the 24 that stay).
    const int shift = 61 - highest_bit(size);
    const auto scaled = static_cast<std::uint64_t>(shift >= 0 ? size << shift : size >> -shift);
    const bool lost = shift < 0 && (static_cast<wide>(scaled) << -shift) != size;
    const std::uint64_t quotient = scaled / lanes;
    const bool inexact = lost || quotient * lanes != scaled;
    const auto nearest =
        static_cast<float>(static_cast<std::int64_t>(quotient | (inexact ? 1 : 0)));
    // A double holds both factors and their product; so does a float the result.
    const auto unit =
        std::bit_cast<double>(static_cast<std::uint64_t>(1023 + f32_grid_exponent - shift) << 52);
    const auto out = static_cast<float>(static_cast<double>(nearest) * unit);
    return sum < 0 ? 0.0F - out : out;
}

}  // namespace tequio::training::numerics
