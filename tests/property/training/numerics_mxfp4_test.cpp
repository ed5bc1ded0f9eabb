// MXFP4 blocks: every midpoint between two codes, limits and counts; every target against the
// definition; what is not canonical is told.

#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/mxfp4.hpp"

namespace tequio::tests {
namespace {

constexpr int mxfp4_window = -40;

struct mxfp4_encoded {
    std::vector<std::uint8_t> scales;
    std::vector<std::uint8_t> codes;
    numerics::codec_counts counts;
    bool ok = false;

    explicit mxfp4_encoded(std::size_t n)
        : scales(numerics::mx_block_count(n), 0xee),
          codes(scales.size() * numerics::mxfp4_block_bytes, 0x55) {}
    bool operator==(const mxfp4_encoded& other) const {
        return ok == other.ok &&
               (!ok || (scales == other.scales && codes == other.codes && counts == other.counts));
    }
    int code(std::size_t i) const { return numerics::mxfp4_code(codes, i); }
};

mxfp4_encoded mxfp4_by_reference(std::span<const float> x, int e) {
    mxfp4_encoded out(x.size());
    out.ok = numerics::mxfp4_encode_reference(x, e, out.scales, out.codes, out.counts);
    return out;
}

mxfp4_encoded mxfp4_by_target(std::span<const float> x, int e) {
    mxfp4_encoded out(x.size());
    out.ok = numerics::mxfp4_encode(x, e, out.scales, out.codes, out.counts);
    return out;
}

/// Encodes on every target, which must agree, and returns it.
mxfp4_encoded mxfp4_block_of(const std::vector<float>& x, int e = mxfp4_window) {
    const mxfp4_encoded wanted = mxfp4_by_reference(x, e);
    on_every_target([&] { BOOST_REQUIRE(mxfp4_by_target(x, e) == wanted); });
    return wanted;
}

/// A midpoint between two neighbouring magnitudes; 7 has the next one of a wider format above it.
struct midpoint {
    float value;
    int at, below, above;  ///< codes of the tie itself, and of its neighbours on either side
};
constexpr midpoint midpoints[] = {{0.25F, 0, 0, 1}, {0.75F, 2, 1, 2}, {1.25F, 2, 2, 3},
                                  {1.75F, 4, 3, 4}, {2.5F, 4, 4, 5},  {3.5F, 6, 5, 6},
                                  {5.0F, 6, 6, 7},  {7.0F, 7, 7, 7}};
constexpr int integers[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_mxfp4)

BOOST_AUTO_TEST_CASE(each_midpoint_goes_to_the_even_code_at_every_scale) {
    // One block holds a tie and its two neighbours with both signs, at every place of the block.
    for (const int b :
         {mxfp4_window + 1, mxfp4_window + 2, -20, mxfp4_window + 39, mxfp4_window + 40}) {
        const float unit = std::ldexp(1.0F, b);
        for (const auto& m : midpoints) {
            for (const std::size_t place : {0U, 1U, 11U, 12U, 25U}) {
                std::vector<float> x(32, 0.0F);
                x[31] = -4.0F * unit;  // makes the scale
                const float ties[] = {m.value, std::nextafter(m.value, 0.0F),
                                      std::nextafter(m.value, 8.0F)};
                const int codes[] = {m.at, m.below, m.above};
                for (std::size_t i = 0; i < 3; ++i) {
                    x[place + i] = ties[i] * unit;
                    x[place + 3 + i] = -ties[i] * unit;
                }
                const mxfp4_encoded found = mxfp4_block_of(x);
                BOOST_REQUIRE_EQUAL(int{found.scales[0]}, b - 1 - mxfp4_window);
                for (std::size_t i = 0; i < 3; ++i) {
                    const int negative = codes[i] == 0 ? 0 : codes[i] + 8;
                    BOOST_REQUIRE_EQUAL(found.code(place + i), codes[i]);
                    BOOST_REQUIRE_EQUAL(found.code(place + 3 + i), negative);
                }
                BOOST_REQUIRE_EQUAL(found.code(31), 14);
                // 7 and what lies above it saturates, 0.25 and what lies below it vanishes.
                BOOST_REQUIRE_EQUAL(found.counts.saturated, m.value == 7.0F ? 4U : 0U);
                BOOST_REQUIRE_EQUAL(found.counts.flushed, m.value == 0.25F ? 4U : 0U);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(scales_stay_inside_the_window) {
    for (const float zero : {0.0F, -0.0F}) {
        const mxfp4_encoded found = mxfp4_block_of(std::vector<float>(32, zero));
        BOOST_TEST(int{found.scales[0]} == 0);
        BOOST_TEST(found.counts.flushed == 0U);
        for (std::size_t i = 0; i < 32; ++i) BOOST_TEST(found.code(i) == 0);
    }
    // The lowest scale is 2^(E+1): half a unit of 2^E is a tie and goes to zero.
    const mxfp4_encoded small =
        mxfp4_block_of({0x1p-41F, 0x1.000002p-41F, 0x1p-140F, -0x1.8p-40F, -0x1p-149F});
    BOOST_TEST(int{small.scales[0]} == 0);
    const int small_codes[] = {0, 1, 0, 10, 0};
    for (std::size_t i = 0; i < 5; ++i) BOOST_TEST(small.code(i) == small_codes[i]);
    BOOST_TEST(small.counts.flushed == 3U);
    const mxfp4_encoded large = mxfp4_block_of({0x1.fffffep127F, -1e30F, 6.5F, 7.0F, -3.0F});
    BOOST_TEST(int{large.scales[0]} == 39);
    const int large_codes[] = {7, 15, 7, 7, 13};
    for (std::size_t i = 0; i < 5; ++i) BOOST_TEST(large.code(i) == large_codes[i]);
    BOOST_TEST(large.counts.saturated == 3U);
    // At the lowest window the scaled value overflows, and saturates all the same.
    BOOST_TEST(mxfp4_block_of({0x1.fffffep127F, -0x1.fffffep127F}, -80).counts.saturated == 2U);
    // The border between two scales: 2^k belongs to the higher one.
    BOOST_TEST(int{mxfp4_block_of({0x1p-20F}).scales[0]} == -22 - 1 - mxfp4_window);
    BOOST_TEST(int{mxfp4_block_of({0x1.fffffep-21F}).scales[0]} == -23 - 1 - mxfp4_window);
}

BOOST_AUTO_TEST_CASE(numbers_that_are_not_finite_are_refused_anywhere) {
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
        for (const float sign : {1.0F, -1.0F}) {
            for (std::size_t place = 0; place < 40; ++place) {
                std::vector<float> x(40, 1.0F);
                x[place] = std::copysign(bad, sign);
                BOOST_REQUIRE(!mxfp4_block_of(x).ok);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(every_target_encodes_adds_and_decodes_alike) {
    base::rng rng = numerics_rng("mxfp4");
    for (const hostile kind : all_hostile) {
        for (const std::size_t n : {1U, 31U, 32U, 33U, 1000U}) {
            for (const int e : {-80, -46, -40, 0}) {
                const auto x = hostile_numbers(kind, rng, n);
                const mxfp4_encoded wanted = mxfp4_by_reference(x, e);
                BOOST_REQUIRE(wanted.ok);
                BOOST_REQUIRE(numerics::mxfp4_canonical_reference(wanted.scales, wanted.codes, n));
                std::vector<float> values(n);
                std::vector<std::int64_t> exact(n, 5);
                for (std::size_t i = 0; i < n; ++i) {
                    const int scale = wanted.scales[i / 32];
                    const int integer = integers[wanted.code(i)];
                    values[i] = std::ldexp(static_cast<float>(integer), e + scale);
                    exact[i] += std::int64_t{integer} * (std::int64_t{1} << scale);
                }
                std::vector<std::int64_t> sums(n, 5);
                numerics::mxfp4_accumulate_reference(wanted.scales, wanted.codes, sums);
                BOOST_REQUIRE(sums == exact);
                on_every_target([&] {
                    fenced in(x, 1), out(n, 3);
                    BOOST_REQUIRE(mxfp4_by_target(in.span(), e) == wanted);
                    BOOST_REQUIRE(numerics::mxfp4_canonical(wanted.scales, wanted.codes, n));
                    std::vector<std::int64_t> added(n, 5);
                    numerics::mxfp4_accumulate(wanted.scales, wanted.codes, added);
                    BOOST_REQUIRE(added == exact);
                    numerics::mxfp4_decode(wanted.scales, wanted.codes, e, out.span());
                    require_same("decoded", out.span(), values);
                    BOOST_REQUIRE(out.intact());
                    // Decoded values encode to the same bytes: canonical means just that.
                    mxfp4_encoded again = mxfp4_by_target(out.span(), e);
                    BOOST_REQUIRE(again.counts == numerics::codec_counts{});
                    again.counts = wanted.counts;
                    BOOST_REQUIRE(again == wanted);
                });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_code_is_as_near_as_any_other) {
    // Not the reference's way round: the error is compared with that of all sixteen codes.
    base::rng rng = numerics_rng("nearest");
    for (int repeat = 0; repeat < 300; ++repeat) {
        const auto x = hostile_numbers(hostile::mixed, rng, 32);
        const mxfp4_encoded found = mxfp4_block_of(x, -60);
        const double unit = std::ldexp(1.0, found.scales[0] - 60);
        for (std::size_t i = 0; i < 32; ++i) {
            double least = 1e300;
            for (const int integer : integers) {
                least = std::min(least, std::abs(double{x[i]} - integer * unit));
            }
            const double error = std::abs(double{x[i]} - integers[found.code(i)] * unit);
            BOOST_REQUIRE_EQUAL(error, least);
        }
    }
}

BOOST_AUTO_TEST_CASE(every_target_tells_canonical_bytes_alike) {
    base::rng rng = numerics_rng("canonical fp4");
    int accepted = 0;
    for (int repeat = 0; repeat < 20000; ++repeat) {
        const std::size_t n = 64 + rng.below(3);
        std::vector<std::uint8_t> scales(numerics::mx_block_count(n));
        std::vector<std::uint8_t> codes(scales.size() * numerics::mxfp4_block_bytes);
        for (auto& scale : scales) {
            scale = static_cast<std::uint8_t>(rng.below(3) == 0 ? 0 : rng.below(41));
        }
        constexpr std::uint8_t small[] = {0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13};
        for (std::size_t i = 0; i < 32; ++i) {
            codes[i] = static_cast<std::uint8_t>(small[rng.below(11)] | small[rng.below(11)] << 4);
        }
        for (const std::size_t at : {std::size_t{5}, std::size_t{20}}) {
            constexpr std::uint8_t large[] = {6, 7, 14, 15};
            if (rng.below(8) == 0) continue;
            codes[at] = static_cast<std::uint8_t>(rng.below(2) != 0 ? large[rng.below(4)]
                                                                    : large[rng.below(4)] << 4);
        }
        if (rng.below(6) == 0) codes[rng.below(32)] = rng.below(2) != 0 ? 0x81 : 0x18;
        if (scales.size() == 3) {
            scales[2] = 0;
            codes[32 + rng.below(3)] = static_cast<std::uint8_t>(rng.below(8));
        }
        const bool wanted = numerics::mxfp4_canonical_reference(scales, codes, n);
        accepted += wanted ? 1 : 0;
        on_every_target(
            [&] { BOOST_REQUIRE(numerics::mxfp4_canonical(scales, codes, n) == wanted); });
    }
    BOOST_TEST(accepted > 1000);
    BOOST_TEST(accepted < 19000);
}

BOOST_AUTO_TEST_CASE(bytes_the_encoder_never_writes_are_not_canonical) {
    std::vector<std::uint8_t> scales = {3, 0};
    std::vector<std::uint8_t> codes(32, 0);
    codes[5] = 14 << 4;  // element 21: -4
    codes[16 + 1] = 1;   // element 33: 0.5
    const auto canonical = [&](std::size_t n) {
        return numerics::mxfp4_canonical(scales, codes, n);
    };
    BOOST_TEST(canonical(40));
    BOOST_TEST(canonical(34));
    BOOST_TEST(!canonical(33));
    BOOST_TEST(!canonical(32));
    BOOST_TEST(!canonical(65));
    codes[5] = 13 << 4;  // at most 3: the encoder would have taken a lower scale
    BOOST_TEST(!canonical(40));
    codes[5] = 15;
    BOOST_TEST(canonical(40));
    codes[9] = 8;  // -0
    BOOST_TEST(!canonical(40));
    codes[9] = 0x80;
    BOOST_TEST(!canonical(40));
    codes[9] = 0;
    scales[0] = 40;
    BOOST_TEST(!canonical(40));
    scales[0] = 39;
    BOOST_TEST(canonical(40));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
