#pragma once

/// A naive twin of contributions and merging, written from NUMERICS.md (Contributions and their
/// sums) and the container's table alone: one value at a time, in the library's own functions where
/// the code under test counts bits. Nothing of training/round or training/numerics is called.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/bytes.hpp"

namespace tequio::training::twin {

struct block_code {
    int scale_byte = 0;  ///< b - E
    std::vector<int> codes;
};

/// Encodes up to 32 values in the window E. std::nearbyint rounds to nearest even.
inline block_code encode_block(const std::vector<float>& values, int window) {
    double largest = 0;
    for (const float v : values) largest = std::max(largest, std::abs(static_cast<double>(v)));
    int b = window;
    if (largest > 0) b = std::clamp(std::ilogb(largest) - 6, window, window + 39);
    block_code out;
    out.scale_byte = b - window;
    for (const float v : values) {
        const double q = std::nearbyint(std::ldexp(static_cast<double>(v), -b));
        out.codes.push_back(static_cast<int>(std::clamp(q, -127.0, 127.0)));
    }
    return out;
}

/// The codes of a container, in units of 2^E, read byte by byte.
inline std::vector<__int128> units_of(base::byte_view bytes, std::size_t elements) {
    std::vector<__int128> out;
    const std::size_t blocks_all = elements / 32;
    for (std::size_t first = 0, at = 0; first < blocks_all; first += 7936) {
        const auto blocks = std::min<std::size_t>(7936, blocks_all - first);
        for (std::size_t b = 0; b < blocks; ++b) {
            for (std::size_t i = 0; i < 32; ++i) {
                const auto code = static_cast<std::int8_t>(bytes[at + 256 + blocks + b * 32 + i]);
                out.push_back(static_cast<__int128>(code) * (__int128{1} << bytes[at + 256 + b]));
            }
        }
        at += 256 + blocks * 33;
    }
    return out;
}

/// float32(float64(sum) / float64(lanes)) * 2^E.
inline float mean_of(__int128 sum, std::uint64_t lanes, int window) {
    const auto quotient =
        static_cast<double>(static_cast<std::int64_t>(sum)) / static_cast<double>(lanes);
    return std::ldexp(static_cast<float>(quotient), window);
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

}  // namespace tequio::training::twin
