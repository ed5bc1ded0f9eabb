// The f32 codec: constructed ties of the grid and of the mean, limits, carries of the 128-bit sums;
// every target against the definition.

#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/f32_grid.hpp"

namespace tequio::tests {
namespace {

using numerics::grid_sum;
using wide = unsigned __int128;

struct f32_encoded {
    std::vector<std::uint8_t> codes;
    numerics::codec_counts counts;
    bool ok = false;

    explicit f32_encoded(std::size_t n) : codes(4 * n, 0x55) {}
    bool operator==(const f32_encoded& other) const {
        return ok == other.ok && (!ok || (codes == other.codes && counts == other.counts));
    }
    float value(std::size_t i) const {
        float out;
        std::memcpy(&out, codes.data() + 4 * i, 4);
        return out;
    }
};

/// Encodes on every target, which must agree, and returns it.
f32_encoded codes_of(const std::vector<float>& x) {
    f32_encoded wanted(x.size());
    wanted.ok = numerics::f32_grid_encode_reference(x, wanted.codes, wanted.counts);
    on_every_target([&] {
        fenced in(x, 1);
        f32_encoded found(x.size());
        found.ok = numerics::f32_grid_encode(in.span(), found.codes, found.counts);
        BOOST_REQUIRE(found == wanted);
    });
    return wanted;
}

std::vector<std::uint8_t> bytes_of(const std::vector<float>& x) {
    std::vector<std::uint8_t> out(4 * x.size());
    std::memcpy(out.data(), x.data(), out.size());
    return out;
}

/// x * 2^80, where that is an integer below 2^127: by repeated doubling, not on bits.
grid_sum units_of(float x) {
    double rest = std::abs(double{x});
    grid_sum units = 0;
    for (int bit = 120; bit >= 0; --bit) {
        const double part = std::ldexp(1.0, bit - 80);
        if (rest < part) continue;
        rest -= part;
        units += grid_sum{1} << bit;
    }
    BOOST_REQUIRE_EQUAL(rest, 0.0);
    return x < 0 ? -units : units;
}

/// sum / lanes * 2^-80 to the nearest float32, ties to even, by long division bit by bit.
float naive_mean(grid_sum sum, std::uint64_t lanes) {
    if (sum == 0) return 0.0F;
    wide rest = sum < 0 ? -static_cast<wide>(sum) : static_cast<wide>(sum);
    wide divisor = lanes;
    int exponent = -80;
    while (rest >= 2 * divisor) divisor *= 2, ++exponent;
    while (rest < divisor) rest *= 2, --exponent;
    std::uint32_t mantissa = 0;
    for (int bit = 0; bit < 24; ++bit) {
        mantissa *= 2;
        if (rest >= divisor) rest -= divisor, mantissa += 1;
        rest *= 2;
    }
    // rest / divisor is now twice what is left of one unit of the mantissa.
    if (rest > divisor || (rest == divisor && mantissa % 2 == 1)) ++mantissa;
    const double size = std::ldexp(static_cast<double>(mantissa), exponent - 23);
    return static_cast<float>(sum < 0 ? -size : size);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_f32_grid)

BOOST_AUTO_TEST_CASE(ties_go_to_even_multiples_of_the_grid) {
    // Odd multiples of 2^-81 lie between two points; only below 2^-57 does float32 have them.
    std::vector<float> x, wanted;
    for (const std::uint32_t k :
         {0U, 1U, 2U, 3U, 100U, 101U, (1U << 22) - 1, 1U << 22, (1U << 23) - 2, (1U << 23) - 1}) {
        const double tie = (k + 0.5) * 0x1p-80;
        const double even = (k % 2 == 0 ? k : k + 1) * 0x1p-80;
        for (const double sign : {1.0, -1.0}) {
            const auto middle = static_cast<float>(sign * tie);
            BOOST_REQUIRE_EQUAL(double{middle}, sign * tie);
            x.push_back(middle);
            wanted.push_back(static_cast<float>(sign * even));
            x.push_back(std::nextafter(middle, 0.0F));
            wanted.push_back(static_cast<float>(sign * k * 0x1p-80));
            x.push_back(std::nextafter(middle, static_cast<float>(sign)));
            wanted.push_back(static_cast<float>(sign * (k + 1) * 0x1p-80));
        }
    }
    for (float& value : wanted) value = value == 0.0F ? 0.0F : value;
    const f32_encoded found = codes_of(x);
    BOOST_REQUIRE(found.ok);
    for (std::size_t i = 0; i < x.size(); ++i) {
        BOOST_TEST(std::bit_cast<std::uint32_t>(found.value(i)) ==
                   std::bit_cast<std::uint32_t>(wanted[i]));
    }
    BOOST_TEST(found.counts.flushed == 4U);  // the tie at half a unit and what lies below, twice
    BOOST_TEST(found.counts.saturated == 0U);
}

BOOST_AUTO_TEST_CASE(what_is_on_the_grid_stays) {
    const std::vector<float> x = {0.0F,      0x1p-80F,  -0x1p-80F,       0x1.000002p-57F, 0x1p-57F,
                                  -0x1p-57F, 1.0F / 3,  0x1.fffffep22F,  -0x1.fffffep22F, 0x1p-58F,
                                  1e-5F,     -123.456F, 0x1.fffffcp-58F, 8388607.0F};
    const f32_encoded found = codes_of(x);
    BOOST_REQUIRE(found.ok);
    BOOST_TEST((found.codes == bytes_of(x)));
    BOOST_TEST((found.counts == numerics::codec_counts{}));
}

BOOST_AUTO_TEST_CASE(what_vanishes_becomes_plus_zero) {
    const std::vector<float> x = {-0.0F,      0x1p-149F, -0x1p-149F, 0x1p-126F,
                                  -0x1p-100F, 0x1p-81F,  -0x1p-81F};
    const f32_encoded found = codes_of(x);
    BOOST_REQUIRE(found.ok);
    BOOST_TEST((found.codes == std::vector<std::uint8_t>(4 * x.size(), 0)));
    BOOST_TEST(found.counts.flushed == 6U);
}

BOOST_AUTO_TEST_CASE(too_large_values_are_refused_anywhere) {
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf(""), 0x1p23F, 1e30F,
                            std::numeric_limits<float>::max()}) {
        for (const float sign : {1.0F, -1.0F}) {
            for (std::size_t place = 0; place < 40; ++place) {
                std::vector<float> x(40, 1.0F);
                x[place] = std::copysign(bad, sign);
                BOOST_REQUIRE(!codes_of(x).ok);
                BOOST_REQUIRE(!numerics::f32_grid_canonical_reference(bytes_of(x)));
                on_every_target([&] { BOOST_REQUIRE(!numerics::f32_grid_canonical(bytes_of(x))); });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(only_what_the_encoder_writes_is_canonical) {
    for (const float bad : {-0.0F, 0x1p-81F, 0x1.8p-80F, -0x1.8p-80F, 0x1.fffffep-58F, 0x1p-140F}) {
        for (std::size_t place = 0; place < 40; ++place) {
            std::vector<float> x(40, 0x1p-80F);
            on_every_target([&] { BOOST_REQUIRE(numerics::f32_grid_canonical(bytes_of(x))); });
            x[place] = bad;
            BOOST_REQUIRE(!numerics::f32_grid_canonical_reference(bytes_of(x)));
            on_every_target([&] { BOOST_REQUIRE(!numerics::f32_grid_canonical(bytes_of(x))); });
        }
    }
    BOOST_TEST(!numerics::f32_grid_canonical(std::vector<std::uint8_t>(7, 0)));
}

BOOST_AUTO_TEST_CASE(carries_cross_the_words) {
    // Sums on both sides of every border of 64 bits, and values at each end of the range.
    const std::vector<float> values = {0x1p-80F,
                                       -0x1p-80F,
                                       0x1p-17F,
                                       -0x1p-17F,
                                       0x1p-16F,
                                       -0x1p-16F,
                                       0x1.fffffep22F,
                                       -0x1.fffffep22F,
                                       0x1p-57F,
                                       -0x1p-57F,
                                       0x1p-40F,
                                       0x1.fffffep-17F,
                                       0x1.fffffep-18F,
                                       -0x1.fffffep-17F,
                                       0x1p-39F,
                                       1.0F,
                                       -1.0F,
                                       0x1.fffffep-16F,
                                       0.0F,
                                       0x1.abcdeep-41F,
                                       0x1p22F,
                                       0x1.8p-80F * 2,
                                       0x1.fffffep-40F,
                                       -0x1.fffffep-56F};
    const grid_sum one = 1;
    for (const grid_sum start :
         {grid_sum{0}, one, -one, (one << 64) - 1, one << 64, -(one << 64), -(one << 64) + 1,
          (one << 119) - 1, -(one << 119), (one << 63) - 1, -(one << 63)}) {
        std::vector<grid_sum> exact(values.size(), start);
        for (std::size_t i = 0; i < values.size(); ++i) exact[i] += units_of(values[i]);
        const auto codes = bytes_of(values);
        std::vector<grid_sum> sums(values.size(), start);
        numerics::f32_grid_accumulate_reference(codes, sums);
        BOOST_REQUIRE((sums == exact));
        on_every_target([&] {
            std::vector<grid_sum> found(values.size(), start);
            numerics::f32_grid_accumulate(codes, found);
            BOOST_REQUIRE((found == exact));
        });
    }
}

BOOST_AUTO_TEST_CASE(lanes_as_many_as_there_can_be_do_not_overflow) {
    for (const float value : {0x1.fffffep22F, -0x1.fffffep22F}) {
        std::vector<grid_sum> sums(1, 0);
        const auto codes = bytes_of({value});
        for (int lane = 0; lane < 65536; ++lane) numerics::f32_grid_accumulate(codes, sums);
        BOOST_TEST((sums[0] == units_of(value) * 65536));
        BOOST_TEST((sums[0] < grid_sum{1} << 119 && sums[0] > -(grid_sum{1} << 119)));
        BOOST_TEST(numerics::f32_grid_mean(sums[0], 65536) == value);
    }
}

BOOST_AUTO_TEST_CASE(every_target_encodes_adds_and_decodes_alike) {
    base::rng rng = numerics_rng("f32 grid");
    for (const hostile kind : all_hostile) {
        for (const std::size_t n : {1U, 2U, 15U, 16U, 17U, 1000U}) {
            const auto x = hostile_numbers(kind, rng, n);
            const f32_encoded wanted = codes_of(x);
            BOOST_REQUIRE(wanted.ok);
            std::vector<grid_sum> exact(n), sums(n);
            for (std::size_t i = 0; i < n; ++i) {
                sums[i] = static_cast<grid_sum>(static_cast<std::int64_t>(rng.next())) *
                          static_cast<grid_sum>(rng.below(std::uint64_t{1} << 50));
                exact[i] = sums[i] + units_of(wanted.value(i));
            }
            on_every_target([&] {
                BOOST_REQUIRE(numerics::f32_grid_canonical(wanted.codes));
                auto found = sums;
                numerics::f32_grid_accumulate(wanted.codes, found);
                BOOST_REQUIRE((found == exact));
            });
            std::vector<float> decoded(n);
            numerics::f32_grid_decode(wanted.codes, decoded);
            BOOST_REQUIRE(bytes_of(decoded) == wanted.codes);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_mean_is_rounded_once) {
    base::rng rng = numerics_rng("mean");
    const auto check = [](grid_sum sum, std::uint64_t lanes) {
        const float wanted = naive_mean(sum, lanes);
        BOOST_REQUIRE_EQUAL(std::bit_cast<std::uint32_t>(numerics::f32_grid_mean(sum, lanes)),
                            std::bit_cast<std::uint32_t>(wanted));
    };
    // Constructed ties: (2m + 1) halves of a unit of the result, times the lanes, and the integers
    // beside them, at every size of sum.
    for (const std::uint64_t lanes : {1ULL, 2ULL, 3ULL, 7ULL, 8ULL, 1000ULL, 65535ULL, 65536ULL}) {
        for (const std::uint64_t mantissa : {0x800000ULL, 0x800001ULL, 0xfffffeULL, 0xffffffULL}) {
            for (int shift = 0; shift < 77; ++shift) {
                const grid_sum tie = (static_cast<grid_sum>(2 * mantissa + 1) << shift) *
                                     static_cast<grid_sum>(lanes);
                for (const int beside : {-1, 0, 1}) {
                    check(tie + beside, lanes);
                    check(-tie + beside, lanes);
                }
            }
        }
        for (int i = 0; i < 200; ++i) check(static_cast<grid_sum>(i) - 100, lanes);
    }
    for (int repeat = 0; repeat < 100000; ++repeat) {
        const auto bits = 1 + rng.below(118);
        const wide size = ((wide{rng.next()} << 64) | rng.next()) >> (128 - bits);
        const auto sum = static_cast<grid_sum>(size);
        check(rng.below(2) != 0 ? sum : -sum, 1 + rng.below(65536));
    }
    BOOST_TEST(std::bit_cast<std::uint32_t>(numerics::f32_grid_mean(0, 5)) == 0U);
    // The smallest: no subnormal.
    BOOST_TEST(numerics::f32_grid_mean(1, 65536) == 0x1p-96F);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
