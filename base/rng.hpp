#pragma once

/// Randomness for decisions (which peer, which delay), never for bits of a result: those come from
/// Philox in training/numerics. Deterministic: a seed is handed in, and each component splits off
/// its own stream by name, so that a new draw in one place shifts no other.

#include <array>
#include <cstdint>
#include <string_view>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace tequio::base {

/// xoshiro256** (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018),
/// seeded by SHA-256.
class rng {
public:
    explicit rng(const digest& seed);
    explicit rng(std::uint64_t seed);
    /// An independent stream for the component `name`; does not advance this one.
    rng split(std::string_view name) const;

    /// Uniform over all 64-bit values.
    std::uint64_t next();
    /// Uniform in [0, bound), bound > 0.
    std::uint64_t below(std::uint64_t bound);
    /// True with probability `p` in [0, 1].
    bool chance(double p);
    /// Uniform in [low, high].
    duration between(duration low, duration high);

private:
    digest seed_;
    std::array<std::uint64_t, 4> s_{};
};

}  // namespace tequio::base
