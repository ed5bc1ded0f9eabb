#pragma once

/// A naive twin of contributions and merging, written from NUMERICS.md (Contributions and their
/// sums) and the container's table alone: one value at a time, in the library's own functions where
/// the code under test counts bits. Nothing of training/round or training/numerics is called.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "training/recipe.hpp"

namespace tequio::training::twin {

/// Exact multiples of a unit: 2^E of mxint8 and mxfp4, 2^-80 of f32.
using integer = __int128;

inline int unit_exponent(const std::string& codec, int window) {
    return codec == "f32" ? -80 : window;
}

struct coded_block {
    std::vector<integer> units;
    std::uint64_t saturated = 0;
    std::uint64_t flushed = 0;
};

/// floor(log2 amax) - top within the window of 40 scales from `lowest` on.
inline int scale_of(const std::vector<float>& values, int top, int lowest) {
    double largest = 0;
    for (const float v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
    return largest > 0 ? std::clamp(std::ilogb(largest) - top, lowest, lowest + 39) : lowest;
}

/// The nearest of 0, .5, 1, 1.5, 2, 3, 4, 6 and, beyond the format, 8, doubled; of two the one at
/// an even place.
inline int nearest_doubled(double x) {
    constexpr int doubled[] = {0, 1, 2, 3, 4, 6, 8, 12, 16};
    int best = 0;
    for (int i = 1; i < 9; ++i) {
        const double here = std::abs(2 * x - doubled[i]);
        const double there = std::abs(2 * x - doubled[best]);
        if (here < there || (here == there && i % 2 == 0)) best = i;
    }
    return doubled[best];
}

/// Encodes up to 32 values in the window E. std::nearbyint rounds to nearest even.
inline coded_block encode_block(const std::string& codec, const std::vector<float>& values,
                                int window) {
    coded_block out;
    const int b = codec == "mxint8" ? scale_of(values, 6, window) : scale_of(values, 2, window + 1);
    for (const float v : values) {
        const double exact = v;
        if (codec == "f32") {
            out.units.push_back(static_cast<integer>(std::nearbyint(std::ldexp(exact, 80))));
        } else if (codec == "mxint8") {
            const double q = std::nearbyint(std::ldexp(exact, -b));
            out.saturated += std::abs(q) > 127 ? 1 : 0;
            const auto code = static_cast<int>(std::clamp(q, -127.0, 127.0));
            out.units.push_back(integer{code} * (integer{1} << (b - window)));
        } else {
            const int rounded = nearest_doubled(std::ldexp(std::abs(exact), -b));
            out.saturated += rounded > 12 ? 1 : 0;
            const int code = std::min(rounded, 12) * (exact < 0 ? -1 : 1);
            out.units.push_back(integer{code} * (integer{1} << (b - 1 - window)));
        }
        out.flushed += out.units.back() == 0 && v != 0.0F ? 1 : 0;
    }
    return out;
}

/// The codes of a container as integers, read byte by byte.
inline std::vector<integer> units_of(const std::string& codec, base::byte_view bytes,
                                     std::size_t elements) {
    constexpr int doubled[] = {0, 1, 2, 3, 4, 6, 8, 12};
    std::vector<integer> out;
    const std::size_t blocks_all = elements / 32;
    const std::size_t most = codec == "mxint8" ? 7936 : codec == "mxfp4" ? 15360 : 2046;
    for (std::size_t first = 0; first < blocks_all; first += most) {
        const auto blocks = std::min(most, blocks_all - first);
        const auto unit = bytes.subspan(first / most * 262144);
        for (std::size_t i = 0; i < blocks * 32; ++i) {
            const auto block = i / 32;
            if (codec == "f32") {
                float value = 0;
                std::memcpy(&value, unit.data() + 256 + 4 * i, 4);
                out.push_back(static_cast<integer>(std::ldexp(static_cast<double>(value), 80)));
            } else if (codec == "mxint8") {
                const auto code = static_cast<std::int8_t>(unit[256 + blocks + i]);
                out.push_back(integer{code} * (integer{1} << unit[256 + block]));
            } else {
                const auto byte = unit[256 + blocks + block * 16 + i % 16];
                const int code = i % 32 < 16 ? byte % 16 : byte / 16;
                const int value = code < 8 ? doubled[code] : -doubled[code - 8];
                out.push_back(integer{value} * (integer{1} << unit[256 + block]));
            }
        }
    }
    return out;
}

/// Block codecs: float32(float64(sum) / float64(lanes)) * 2^E. f32: the quotient to the nearest
/// float32, bit by bit.
inline float mean_of(const std::string& codec, integer sum, std::uint64_t lanes, int window) {
    if (codec != "f32") {
        const auto quotient =
            static_cast<double>(static_cast<std::int64_t>(sum)) / static_cast<double>(lanes);
        return std::ldexp(static_cast<float>(quotient), window);
    }
    if (sum == 0) return 0.0F;
    integer rest = sum < 0 ? -sum : sum;
    integer divisor = static_cast<integer>(lanes);
    int exponent = -80;
    while (rest >= 2 * divisor) divisor *= 2, ++exponent;
    while (rest < divisor) rest *= 2, --exponent;
    std::int64_t mantissa = 0;
    for (int bit = 0; bit < 24; ++bit) {
        mantissa = 2 * mantissa + (rest >= divisor ? 1 : 0);
        rest = 2 * (rest >= divisor ? rest - divisor : rest);
    }
    if (rest > divisor || (rest == divisor && mantissa % 2 == 1)) ++mantissa;
    const double size = std::ldexp(static_cast<double>(mantissa), exponent - 23);
    return static_cast<float>(sum < 0 ? -size : size);
}

inline float flush(float x) {
    return std::abs(x) < 0x1p-48F ? 0.0F : x;
}
inline float flush_subnormal(float x) {
    return std::abs(x) < 0x1p-126F ? 0.0F : x;
}

/// Nesterov in float32; volatile keeps every operation apart.
inline void outer_step(float mu, float eta, float mean, float& parameter, float& velocity) {
    volatile float kept = mu * velocity;
    volatile float v = kept + mean;
    velocity = flush_subnormal(v);
    volatile float ahead = mu * velocity;
    volatile float direction = mean + ahead;
    volatile float change = eta * direction;
    volatile float p = parameter - change;
    parameter = flush(p);
}

/// Squares of up to 65,536 values: 32 partial sums, then halves added to halves.
inline double square_sum(std::span<const float> values) {
    std::vector<double> sums(32);
    for (std::size_t i = 0; i < values.size(); ++i) {
        sums[i % 32] += static_cast<double>(values[i]) * values[i];
    }
    for (std::size_t half = 16; half >= 1; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
    }
    return sums[0];
}

struct adamw_scalars {
    float clip, beta1, rest1, beta2, rest2, correction1, correction2, epsilon, rate, keep;
};

inline double power(double beta, std::uint64_t t) {
    double product = 1;
    for (std::uint64_t i = 0; i < t; ++i) product *= beta;
    return product;
}

inline adamw_scalars adamw_scalars_of(const inner_config& c, double rate, std::uint64_t t,
                                      float clip) {
    const auto narrow = [](double x) { return static_cast<float>(x); };
    return {clip,
            narrow(c.beta1),
            narrow(1 - c.beta1),
            narrow(c.beta2),
            narrow(1 - c.beta2),
            narrow(1 / (1 - power(c.beta1, t))),
            narrow(1 / (1 - power(c.beta2, t))),
            narrow(c.epsilon),
            narrow(rate),
            narrow(1 - rate * c.weight_decay)};
}

/// AdamW of one element in float32; volatile keeps every operation apart but the three that
/// std::fma joins. What is not finite becomes the largest number of its sign.
inline void adamw(const adamw_scalars& s, bool decay, float gradient, float& parameter,
                  float& first, float& second) {
    volatile float clipped = gradient * s.clip;
    const float g = flush(clipped);
    volatile float weighted = s.rest1 * g;
    first = flush_subnormal(std::fma(s.beta1, first, weighted));
    volatile float square = g * g;
    volatile float weighted_square = s.rest2 * square;
    second = flush_subnormal(std::fma(s.beta2, second, weighted_square));
    volatile float corrected = second * s.correction2;
    volatile float root = std::sqrt(corrected);
    volatile float below = root + s.epsilon;
    volatile float above = first * s.correction1;
    volatile float u = above / below;
    volatile float kept = decay ? parameter * s.keep : parameter;
    const float moved = flush(std::fma(-s.rate, u, kept));
    constexpr float largest = std::numeric_limits<float>::max();
    parameter = std::isfinite(moved) ? moved : std::copysign(largest, moved);
}

}  // namespace tequio::training::twin
