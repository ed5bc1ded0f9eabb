// MXINT8 blocks: constructed ties, limits and counts; every target against the definition; what is
// not canonical is told.

#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/mxint8.hpp"

namespace tequio::tests {
namespace {

constexpr int window = -40;

struct encoded {
    std::vector<std::uint8_t> scales;
    std::vector<std::int8_t> codes;
    numerics::codec_counts counts;
    bool ok = false;

    explicit encoded(std::size_t n)
        : scales(numerics::mx_block_count(n), 0xee),
          codes(scales.size() * numerics::mx_block, 0x55) {}
    bool operator==(const encoded& other) const {
        return ok == other.ok && (!ok || (scales == other.scales && codes == other.codes &&
                                          counts.saturated == other.counts.saturated &&
                                          counts.flushed == other.counts.flushed));
    }
};

encoded by_reference(std::span<const float> x, int e = window) {
    encoded out(x.size());
    out.ok = numerics::mxint8_encode_reference(x, e, out.scales, out.codes, out.counts);
    return out;
}

encoded by_target(std::span<const float> x, int e = window) {
    encoded out(x.size());
    out.ok = numerics::mxint8_encode(x, e, out.scales, out.codes, out.counts);
    return out;
}

/// Encodes one block on every target, which must agree, and returns it.
encoded block_of(std::vector<float> x, int e = window) {
    const encoded wanted = by_reference(x, e);
    on_every_target([&] { BOOST_REQUIRE(by_target(x, e) == wanted); });
    return wanted;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_codec)

BOOST_AUTO_TEST_CASE(ties_go_to_even_codes) {
    // amax 64 gives b = 0: codes are the values rounded to integers.
    const std::vector<float> x = {64.0F, 0.5F,  1.5F,  2.5F,  3.5F,   -0.5F,  -1.5F,         -2.5F,
                                  62.5F, 63.5F, 0.75F, 0.25F, -63.5F, -62.5F, 0x1.000002p-1F};
    const std::vector<int> wanted = {64, 0, 2, 2, 4, 0, -2, -2, 62, 64, 1, 0, -64, -62, 1};
    const encoded found = block_of(x, -20);
    BOOST_TEST(int{found.scales[0]} == 20);
    for (std::size_t i = 0; i < wanted.size(); ++i) BOOST_TEST(int{found.codes[i]} == wanted[i]);
    for (std::size_t i = wanted.size(); i < 32; ++i) BOOST_TEST(int{found.codes[i]} == 0);
    BOOST_TEST(found.counts.saturated == 0U);
    BOOST_TEST(found.counts.flushed == 3U);
}

BOOST_AUTO_TEST_CASE(a_code_that_rounds_beyond_127_saturates) {
    const encoded found = block_of({0x1.fdp-2F, 0x1.fep-2F, 0x1.ffp-2F, -0x1.ffp-2F});
    // b = -8: 127.25 and 127.5 and 127.75; the tie 127.5 would round to 128.
    BOOST_TEST(int{found.scales[0]} == -8 - window);
    BOOST_TEST(int{found.codes[0]} == 127);
    BOOST_TEST(int{found.codes[1]} == 127);
    BOOST_TEST(int{found.codes[2]} == 127);
    BOOST_TEST(int{found.codes[3]} == -127);
    BOOST_TEST(found.counts.saturated == 3U);
}

BOOST_AUTO_TEST_CASE(scales_stay_inside_the_window) {
    const encoded zero = block_of(std::vector<float>(32, 0.0F));
    BOOST_TEST(int{zero.scales[0]} == 0);
    BOOST_TEST(zero.counts.flushed == 0U);
    const encoded negative_zero = block_of(std::vector<float>(32, -0.0F));
    BOOST_TEST(int{negative_zero.scales[0]} == 0);
    BOOST_TEST(negative_zero.counts.flushed == 0U);
    // Half a unit is a tie and goes to zero, a little more to one, a subnormal to zero.
    const encoded small = block_of({0x1p-41F, 0x1.000002p-41F, 0x1p-140F, -0x1.8p-40F});
    BOOST_TEST(int{small.scales[0]} == 0);
    BOOST_TEST(int{small.codes[0]} == 0);
    BOOST_TEST(int{small.codes[1]} == 1);
    BOOST_TEST(int{small.codes[2]} == 0);
    BOOST_TEST(int{small.codes[3]} == -2);
    BOOST_TEST(small.counts.flushed == 2U);
    const encoded large = block_of({0x1.fffffep127F, -1e30F, 63.0F});
    BOOST_TEST(int{large.scales[0]} == 39);
    BOOST_TEST(int{large.codes[0]} == 127);
    BOOST_TEST(int{large.codes[1]} == -127);
    BOOST_TEST(int{large.codes[2]} == 126);
    BOOST_TEST(large.counts.saturated == 2U);
    // The border between two scales: 2^k belongs to the higher one.
    BOOST_TEST(int{block_of({0x1p-20F}).scales[0]} == -26 - window);
    BOOST_TEST(int{block_of({0x1.fffffep-21F}).scales[0]} == -27 - window);
}

BOOST_AUTO_TEST_CASE(numbers_that_are_not_finite_are_refused_anywhere) {
    for (const float bad : {std::numeric_limits<float>::infinity(), std::nanf("")}) {
        for (const float sign : {1.0F, -1.0F}) {
            for (std::size_t place = 0; place < 40; ++place) {
                std::vector<float> x(40, 1.0F);
                x[place] = std::copysign(bad, sign);
                BOOST_REQUIRE(!block_of(x).ok);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(every_target_encodes_and_decodes_alike) {
    base::rng rng = numerics_rng("codec");
    for (const hostile kind : all_hostile) {
        for (const std::size_t n : {1U, 31U, 32U, 33U, 1000U}) {
            for (const int e : {-80, -46, -40, 0}) {
                const auto x = hostile_numbers(kind, rng, n);
                const encoded wanted = by_reference(x, e);
                BOOST_REQUIRE(wanted.ok);
                BOOST_REQUIRE(numerics::mxint8_canonical(wanted.scales, wanted.codes, n));
                std::vector<float> values(n);
                std::vector<std::int64_t> sums(n, 5), exact(n, 5);
                for (std::size_t i = 0; i < n; ++i) {
                    const int scale = wanted.scales[i / 32];
                    values[i] = std::ldexp(static_cast<float>(wanted.codes[i]), e + scale);
                    exact[i] += std::int64_t{wanted.codes[i]} * (std::int64_t{1} << scale);
                }
                numerics::mxint8_accumulate_reference(wanted.scales, wanted.codes, sums);
                BOOST_REQUIRE(sums == exact);
                on_every_target([&] {
                    fenced in(x, 1), out(n, 3);
                    BOOST_REQUIRE(by_target(in.span(), e) == wanted);
                    std::vector<std::int64_t> added(n, 5);
                    numerics::mxint8_accumulate(wanted.scales, wanted.codes, added);
                    BOOST_REQUIRE(added == exact);
                    BOOST_REQUIRE(numerics::mxint8_canonical(wanted.scales, wanted.codes, n));
                    numerics::mxint8_decode(wanted.scales, wanted.codes, e, out.span());
                    require_same("decoded", out.span(), values);
                    BOOST_REQUIRE(out.intact());
                    // Decoded values encode to the same bytes: canonical means just that.
                    encoded again = by_target(out.span(), e);
                    again.counts = wanted.counts;
                    BOOST_REQUIRE(again == wanted);
                });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(bytes_the_encoder_never_writes_are_not_canonical) {
    std::vector<std::uint8_t> scales = {3, 0};
    std::vector<std::int8_t> codes(64, 0);
    codes[5] = -64;
    codes[33] = 1;
    BOOST_TEST(numerics::mxint8_canonical(scales, codes, 40));
    BOOST_TEST(!numerics::mxint8_canonical(scales, codes, 32));
    BOOST_TEST(!numerics::mxint8_canonical(scales, codes, 65));
    const auto spoilt = [&](std::size_t at, int code) {
        auto other = codes;
        other[at] = static_cast<std::int8_t>(code);
        return numerics::mxint8_canonical(scales, other, 40);
    };
    BOOST_TEST(!spoilt(5, -63));
    BOOST_TEST(!spoilt(7, -128));
    BOOST_TEST(!spoilt(40, 1));
    BOOST_TEST(spoilt(39, 1));
    scales[0] = 40;
    BOOST_TEST(!numerics::mxint8_canonical(scales, codes, 40));
    scales[0] = 39;
    BOOST_TEST(numerics::mxint8_canonical(scales, codes, 40));
}

BOOST_AUTO_TEST_CASE(every_target_tells_canonical_bytes_alike) {
    base::rng rng = numerics_rng("canonical");
    int accepted = 0;
    for (int repeat = 0; repeat < 20000; ++repeat) {
        const std::size_t n = 64 + rng.below(3);
        std::vector<std::uint8_t> scales(numerics::mx_block_count(n));
        std::vector<std::int8_t> codes(scales.size() * 32);
        for (auto& scale : scales) scale = static_cast<std::uint8_t>(rng.below(41));
        // Most codes small, so that each rule is met and broken.
        const auto place = rng.below(codes.size());
        for (std::size_t i = 0; i < n; ++i) codes[i] = static_cast<std::int8_t>(rng.below(64));
        for (const std::size_t at : {std::size_t{3}, std::size_t{40}, std::size_t{64}}) {
            codes[at] = static_cast<std::int8_t>(rng.below(2) != 0 ? 62 + rng.below(4)
                                                                   : 256 - 62 - rng.below(4));
        }
        if (rng.below(4) == 0) codes[place] = rng.below(2) != 0 ? -128 : -127;
        const bool wanted = numerics::mxint8_canonical_reference(scales, codes, n);
        accepted += wanted ? 1 : 0;
        on_every_target(
            [&] { BOOST_REQUIRE(numerics::mxint8_canonical(scales, codes, n) == wanted); });
    }
    BOOST_TEST(accepted > 1000);
    BOOST_TEST(accepted < 19000);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
