#pragma once

/// Shared by the tests of the exact kernels: adversarial numbers, comparison bit for bit, and loops
/// over every dispatch target and over thread counts.

#include <array>
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "tests/support/thread_pool.hpp"
#include "training/numerics/target.hpp"

namespace tequio::tests {

namespace numerics = training::numerics;

/// The generator of one test case: seed 1, or TEQUIO_TEST_SEED; printed with the command to repeat.
inline base::rng numerics_rng(const char* name) {
    const char* text = std::getenv("TEQUIO_TEST_SEED");
    const std::uint64_t seed = text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
    std::printf("%s: seed %llu (TEQUIO_TEST_SEED=%llu repeats it)\n", name,
                static_cast<unsigned long long>(seed), static_cast<unsigned long long>(seed));
    return base::rng(seed).split(name);
}

/// Kinds of numbers that have broken kernels elsewhere.
enum class hostile {
    plain,         ///< uniform in [-1, 1)
    mixed,         ///< exponents from 2^-40 to 2^20
    cancelling,    ///< pairs of near opposites
    underflowing,  ///< about 2^-70: products are subnormal or vanish
    subnormal,     ///< subnormals, -0, +0 and a few ordinary numbers
    grid,          ///< multiples of 2^-3 in [-4, 4]: many ties and zeros
};
inline constexpr std::array all_hostile = {hostile::plain,      hostile::mixed,
                                           hostile::cancelling, hostile::underflowing,
                                           hostile::subnormal,  hostile::grid};

inline float hostile_number(hostile kind, base::rng& rng, std::size_t i) {
    const float unit = static_cast<float>(rng.next() >> 40) * 0x1p-23F - 1.0F;
    const auto power = [](int e) {
        return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
    };
    switch (kind) {
        case hostile::plain:
            return unit;
        case hostile::mixed:
            return unit * power(static_cast<int>(rng.below(61)) - 40);
        case hostile::cancelling:
            return (i % 2 == 0 ? 1.0F : -1.0F) * (1000.0F + unit * 0x1p-10F);
        case hostile::underflowing:
            return unit * power(-60 - static_cast<int>(rng.below(20)));
        case hostile::subnormal:
            switch (rng.below(4)) {
                case 0:
                    return std::bit_cast<float>(static_cast<std::uint32_t>(rng.below(1U << 23)) |
                                                (rng.below(2) != 0 ? 0x80000000U : 0U));
                case 1:
                    return rng.below(2) != 0 ? -0.0F : 0.0F;
                default:
                    return unit;
            }
        case hostile::grid:
            return static_cast<float>(static_cast<int>(rng.below(65)) - 32) * 0.125F;
    }
    return 0.0F;
}

inline std::vector<float> hostile_numbers(hostile kind, base::rng& rng, std::size_t n) {
    std::vector<float> out(n);
    for (std::size_t i = 0; i < n; ++i) out[i] = hostile_number(kind, rng, i);
    return out;
}

/// What stands where nothing may be written.
inline constexpr float poison = 0x1.23456p77F;

/// An array inside a larger one: `shift` floats off its alignment, poison on both sides.
class fenced {
public:
    fenced(std::size_t n, std::size_t shift)
        : shift_(16 + shift), n_(n), all_(n + shift + 48, poison) {}
    fenced(const std::vector<float>& values, std::size_t shift) : fenced(values.size(), shift) {
        std::copy(values.begin(), values.end(), data());
    }
    float* data() { return all_.data() + shift_; }
    std::span<float> span() { return {data(), n_}; }
    bool intact() const {
        for (std::size_t i = 0; i < all_.size(); ++i) {
            if ((i < shift_ || i >= shift_ + n_) && all_[i] != poison) return false;
        }
        return true;
    }

private:
    std::size_t shift_;
    std::size_t n_;
    std::vector<float> all_;
};

template <class Value>
bool same_bits(std::span<const Value> a, std::span<const Value> b) {
    return a.size() == b.size() &&
           (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// Fails, naming the first place that differs.
inline void require_same(const std::string& what, std::span<const float> found,
                         std::span<const float> wanted) {
    if (same_bits(found, wanted)) return;
    std::size_t i = 0;
    while (std::bit_cast<std::uint32_t>(found[i]) == std::bit_cast<std::uint32_t>(wanted[i])) ++i;
    char line[200];
    std::snprintf(line, sizeof line, "element %zu: found %a, the reference says %a", i,
                  static_cast<double>(found[i]), static_cast<double>(wanted[i]));
    BOOST_REQUIRE_MESSAGE(false,
                          what + " on " + std::string(numerics::target_name()) + ", " + line);
}

/// Calls body() with each vector target of this processor active in turn.
template <class Body>
void on_every_target(Body body) {
    const numerics::simd_target before = numerics::active_target();
    for (const numerics::simd_target target : numerics::available_targets()) {
        numerics::set_target(target);
        body();
    }
    numerics::set_target(before);
}

/// Executors of one, two and three threads, made once.
inline std::array<training::executor*, 3> executors() {
    static training::serial_executor one;
    static thread_pool two(2);
    static thread_pool three(3);
    return {&one, &two, &three};
}

/// Calls body(executor) with each target and each number of threads.
template <class Body>
void everywhere(Body body) {
    on_every_target([&] {
        for (training::executor* run : executors()) body(*run);
    });
}

inline constexpr std::size_t lengths[] = {1, 3, 15, 16, 17, 31, 32, 33, 63, 64, 100, 1000};

/// Calls body(kind, length) over both lists.
template <class Body>
void over_lengths(Body body) {
    for (const hostile kind : all_hostile) {
        for (const std::size_t n : lengths) body(kind, n);
    }
}

/// Whether no number of `x` is one that the kernels flush to zero.
inline bool no_flushable(std::span<const float> x) {
    for (const float value : x) {
        const auto bits = std::bit_cast<std::uint32_t>(value);
        if (bits != 0 && (bits & 0x7f800000U) == 0) return false;
    }
    return true;
}

}  // namespace tequio::tests
