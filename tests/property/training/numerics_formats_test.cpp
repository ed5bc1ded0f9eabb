// float32 beside the 16-bit formats: every value of them, and the rounding to bfloat16 beside a
// twin that works with real numbers.
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "base/rng.hpp"
#include "training/numerics/float_formats.hpp"

namespace tequio::training::numerics {
namespace {

/// The definition of a format with `exponent` and `fraction` bits, in float64.
double value_of(std::uint32_t bits, int exponent, int fraction) {
    const bool negative = (bits >> (exponent + fraction) & 1) != 0;
    const auto e = static_cast<int>(bits >> fraction) & ((1 << exponent) - 1);
    const auto f = static_cast<double>(bits & ((1U << fraction) - 1));
    const int bias = (1 << (exponent - 1)) - 1;
    double x = 0;
    if (e == (1 << exponent) - 1) {
        x = f == 0 ? std::numeric_limits<double>::infinity()
                   : std::numeric_limits<double>::quiet_NaN();
    } else if (e == 0) {
        x = std::ldexp(f, 1 - bias - fraction);
    } else {
        x = std::ldexp(std::ldexp(1.0, fraction) + f, e - bias - fraction);
    }
    return negative ? -x : x;
}

void same(double expected, float found, std::uint32_t bits) {
    if (std::isnan(expected)) {
        BOOST_REQUIRE_MESSAGE(std::isnan(found), bits);
        return;
    }
    BOOST_REQUIRE_MESSAGE(static_cast<double>(found) == expected, bits);
    BOOST_REQUIRE_MESSAGE(std::signbit(found) == std::signbit(expected), bits);
}

/// The nearest finite bfloat16 by looking at both neighbours; ties go to the even one.
std::uint16_t nearest_bf16(float x) {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    const auto toward_zero = static_cast<std::uint16_t>(bits >> 16);
    const auto away = static_cast<std::uint16_t>(toward_zero + 1);
    if ((away & 0x7fff) == 0x7f80) return toward_zero;  // the largest: no finite neighbour
    const double below = std::abs(static_cast<double>(x) - value_of(toward_zero, 8, 7));
    const double above = std::abs(static_cast<double>(x) - value_of(away, 8, 7));
    if (below != above) return below < above ? toward_zero : away;
    return (toward_zero & 1) == 0 ? toward_zero : away;
}

void rounds_right(std::uint32_t bits) {
    const auto x = std::bit_cast<float>(bits);
    if (!std::isfinite(x)) return;
    BOOST_REQUIRE_MESSAGE(to_bf16(x) == nearest_bf16(x), bits);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(formats)

BOOST_AUTO_TEST_CASE(every_half_is_the_number_that_its_bits_define) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        same(value_of(bits, 5, 10), from_f16(static_cast<std::uint16_t>(bits)), bits);
        same(value_of(bits, 8, 7), from_bf16(static_cast<std::uint16_t>(bits)), bits);
    }
}

BOOST_AUTO_TEST_CASE(every_bf16_rounds_to_itself) {
    for (std::uint32_t bits = 0; bits < 65536; ++bits) {
        if ((bits & 0x7f80) == 0x7f80) continue;
        BOOST_REQUIRE(to_bf16(from_bf16(static_cast<std::uint16_t>(bits))) == bits);
    }
}

BOOST_AUTO_TEST_CASE(rounding_is_to_nearest_with_ties_to_even) {
    // Every bfloat16 with the lower halves around a tie and around its neighbours.
    for (std::uint32_t upper = 0; upper < 65536; upper += 1) {
        for (const std::uint32_t lower : {0U, 1U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
            rounds_right(upper << 16 | lower);
        }
    }
    constexpr std::uint64_t seed = 91;
    BOOST_TEST_MESSAGE("seed " << seed);
    base::rng rng(seed);
    for (int i = 0; i < 200'000; ++i) rounds_right(static_cast<std::uint32_t>(rng.next()));
    BOOST_TEST(to_bf16(std::numeric_limits<float>::max()) == 0x7f7f);
    BOOST_TEST(to_bf16(-std::numeric_limits<float>::max()) == 0xff7f);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::numerics
