#pragma once

/// Random numbers that reach results: Philox 4x32-10 (Salmon et al., SC 2011), counter based, so
/// any element can be drawn alone (NUMERICS.md, Random numbers).

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/ids.hpp"

namespace tequio::training::numerics {

using philox_counter = std::array<std::uint32_t, 4>;
using philox_key = std::array<std::uint32_t, 2>;

/// One block: ten rounds.
philox_counter philox4x32(philox_counter counter, philox_key key);

/// Streams of exact/1.
inline constexpr std::string_view stream_initialisation = "initialisation";
inline constexpr std::string_view stream_data_order = "data order";
inline constexpr std::string_view stream_dropout = "dropout";

/// Key of a stream: the first 8 bytes, as two little-endian words, of SHA-256(stream name, one 0x00
/// byte, seed as 8 little-endian bytes, the 32 bytes of the data digest).
philox_key derive_key(std::string_view stream, std::uint64_t seed, const base::digest& data);

/// Where in training a draw belongs. The counter has 128 bits and index takes 64 of them, so round,
/// lane and step have fixed fields: a recipe beyond these limits is refused before it gets here.
struct draw_place {
    std::uint64_t round = 0;  ///< below 2^24
    std::uint64_t lane = 0;   ///< below 2^16
    std::uint64_t step = 0;   ///< below 2^24
};

/// Random words of one place. Word i is word (i mod 4) of the block whose counter words are: 0 and
/// 1, the low and high half of i / 4; 2 and 3, the low and high half of step + lane * 2^24 + round
/// * 2^40. Pure; cheap to make; no state.
class draws {
public:
    draws(philox_key key, draw_place place);
    std::uint32_t word(std::uint64_t i) const;
    /// Uniform in [0, bound), bound in [1, 2^32]: the high half of word(i) * bound (Lemire 2019,
    /// without rejection; bias at most bound * 2^-32).
    std::uint32_t below(std::uint64_t i, std::uint64_t bound) const;
    /// float32 of (deviation * z), a float64 product, flushed; z = inverse_normal64((word(i) + 0.5)
    /// * 2^-32). |z| < 6.4.
    float normal(std::uint64_t i, double deviation) const;
    /// out[i] = normal(first + i, deviation).
    void fill_normal(std::uint64_t first, double deviation, std::span<float> out) const;

private:
    philox_counter block(std::uint64_t index) const;
    philox_key key_;
    std::uint32_t low_;
    std::uint32_t high_;
};

}  // namespace tequio::training::numerics
