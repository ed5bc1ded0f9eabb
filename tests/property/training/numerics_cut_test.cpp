// Rounding at cuts: the fast forms beside the plain reference on every target and number of
// threads, constructed ties, a twin in real numbers, and the messages.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/cut_format.hpp"

namespace tequio::tests {
namespace {

using numerics::cut_format;

constexpr std::array all_formats = {cut_format::f32, cut_format::bf16, cut_format::mxint8};
constexpr float infinite = std::numeric_limits<float>::infinity();

std::vector<float> rounded(cut_format format, std::vector<float> x, std::size_t width) {
    numerics::cut_round_reference(format, x.data(), x.size() / width, width);
    return x;
}

/// One block of mxint8 in float64, by the words of the definition.
std::vector<double> block_twin(const std::vector<float>& x) {
    double amax = 0;
    for (const float v : x) amax = std::max(amax, std::abs(static_cast<double>(v)));
    const int top = amax == 0 ? -1000 : std::ilogb(amax);
    const int b = std::max(top - 6, -48);
    std::vector<double> out;
    for (const float v : x) {
        const double scaled = std::ldexp(static_cast<double>(v), -b);
        const double low = std::floor(scaled);
        const double above = scaled - low;
        const bool up = above > 0.5 || (above == 0.5 && std::fmod(low, 2.0) != 0.0);
        const double q = std::clamp(low + (up ? 1.0 : 0.0), -127.0, 127.0);
        out.push_back(std::ldexp(q, b));
    }
    return out;
}

/// Of a block of 32 whose largest value makes b = 0: units are 1.
std::vector<float> with_unit_one(std::vector<float> x) {
    x.resize(32, 0.0F);
    x[31] = 64.0F;
    return x;
}

/// `values` of one row, as a message.
std::vector<std::uint8_t> message_of(cut_format format, const std::vector<float>& values,
                                     std::size_t width) {
    std::vector<std::uint8_t> out(
        numerics::cut_message_bytes(format, values.size() / width, width));
    numerics::cut_pack(format, values, width, out);
    return out;
}

bool arrives(cut_format format, std::span<const std::uint8_t> message, std::size_t values,
             std::size_t width) {
    std::vector<float> out(values);
    return numerics::cut_unpack(format, message, width, out);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_cut)

BOOST_AUTO_TEST_CASE(every_target_gives_the_bits_of_the_reference) {
    auto rng = numerics_rng("cut_round");
    for (const auto format : all_formats) {
        for (const auto kind : all_hostile) {
            for (const std::size_t width : {1U, 5U, 31U, 32U, 33U, 64U, 100U, 768U}) {
                const auto rows = std::size_t{1} + rng.below(width > 100 ? 90 : 40);
                auto x = hostile_numbers(kind, rng, rows * width);
                for (int i = 0; i < 3; ++i) {
                    const float odd[] = {infinite, -infinite, std::nanf(""), 0x1.fffffep127F};
                    x[rng.below(x.size())] = odd[rng.below(std::size(odd))];
                }
                const auto wanted = rounded(format, x, width);
                everywhere([&](training::executor& run) {
                    fenced found(x, rng.below(5));
                    numerics::cut_round(format, found.data(), rows, width, run);
                    require_same("cut_round", found.span(), wanted);
                    BOOST_REQUIRE(found.intact());
                });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(f32_is_the_identity_and_every_rounding_is_idempotent) {
    auto rng = numerics_rng("cut_round twice");
    for (const auto kind : all_hostile) {
        const auto x = hostile_numbers(kind, rng, 7 * 45);
        BOOST_TEST(same_bits<float>(rounded(cut_format::f32, x, 45), x));
        for (const auto format : all_formats) {
            const auto once = rounded(format, x, 45);
            BOOST_TEST(same_bits<float>(rounded(format, once, 45), once));
        }
    }
}

BOOST_AUTO_TEST_CASE(bf16_rounds_ties_to_even_flushes_and_keeps_what_is_finite_finite) {
    const std::pair<float, float> rows[] = {
        {0x1.01p0F, 0x1.00p0F},            // half way between 1.00 and 1.02: to the even one
        {0x1.03p0F, 0x1.04p0F},            // half way between 1.02 and 1.04
        {0x1.010002p0F, 0x1.02p0F},        // just above half way
        {0x1.02fffep0F, 0x1.02p0F},        // just below
        {-0x1.01p0F, -0x1.00p0F},          // and with the other sign
        {0x1.ffp-1F, 0x1.0p0F},            // up into the next exponent
        {0x1.fffffep127F, 0x1.fep127F},    // the largest
        {-0x1.fffffep127F, -0x1.fep127F},  //
        {0x1p-48F, 0x1p-48F},              // the smallest that stays
        {0x1.fep-49F, 0.0F},               // below it
        {0x1.ffp-49F, 0x1p-48F},           // a tie that rounds up to it
        {-0x1p-60F, 0.0F},                 // never -0
        {-0.0F, 0.0F},
        {0x1p-149F, 0.0F},
    };
    for (const auto& [x, wanted] : rows) {
        const auto found = rounded(cut_format::bf16, {x}, 1);
        BOOST_TEST(std::bit_cast<std::uint32_t>(found[0]) == std::bit_cast<std::uint32_t>(wanted),
                   x << " became " << found[0]);
    }
    for (const float x : {infinite, -infinite, -std::nanf("1")}) {
        const auto found = rounded(cut_format::bf16, {x}, 1);
        BOOST_TEST(std::bit_cast<std::uint32_t>(found[0]) == 0x7fc00000U);
    }
}

BOOST_AUTO_TEST_CASE(mxint8_rounds_ties_to_even_and_clamps) {
    const auto found = rounded(
        cut_format::mxint8,
        with_unit_one({0.5F, 1.5F, 2.5F, -0.5F, -1.5F, 0x1.000002p-1F, 0.0F, -0.0F, 0x1p-140F}),
        32);
    const float wanted[] = {0.0F, 2.0F, 2.0F, 0.0F, -2.0F, 1.0F, 0.0F, 0.0F, 0.0F};
    for (std::size_t i = 0; i < std::size(wanted); ++i) {
        BOOST_TEST(std::bit_cast<std::uint32_t>(found[i]) ==
                   std::bit_cast<std::uint32_t>(wanted[i]));
    }
    // From 127.5 on the code would be 128.
    auto high = with_unit_one({127.49F, 127.5F, -127.5F, 126.5F, 125.5F});
    const auto clamped = rounded(cut_format::mxint8, high, 32);
    BOOST_TEST(clamped[0] == 127.0F);
    BOOST_TEST(clamped[1] == 127.0F);
    BOOST_TEST(clamped[2] == -127.0F);
    BOOST_TEST(clamped[3] == 126.0F);
    BOOST_TEST(clamped[4] == 126.0F);
    // The ends of the scale.
    BOOST_TEST(rounded(cut_format::mxint8, {0x1.fffffep127F}, 1)[0] == 0x1.fcp127F);
    BOOST_TEST(rounded(cut_format::mxint8, {0x1.8p-49F, 0x1p-49F}, 2)[0] == 0x1p-48F);
    BOOST_TEST(rounded(cut_format::mxint8, {0x1p-49F}, 1)[0] == 0.0F);
    // A block has one scale, and the next one its own.
    std::vector<float> two(64, 0.01F);
    two[0] = 1000.0F;
    const auto apart = rounded(cut_format::mxint8, two, 64);
    BOOST_TEST(apart[1] == 0.0F);
    BOOST_TEST(apart[33] != 0.0F);
    // What is not finite takes its block along, and no other.
    two[5] = infinite;
    const auto lost = rounded(cut_format::mxint8, two, 64);
    BOOST_TEST(std::isnan(lost[0]));
    BOOST_TEST(std::isnan(lost[31]));
    BOOST_TEST(lost[32] == apart[32]);
}

BOOST_AUTO_TEST_CASE(mxint8_is_what_real_numbers_say) {
    auto rng = numerics_rng("cut_round in real numbers");
    for (const auto kind : all_hostile) {
        for (int i = 0; i < 200; ++i) {
            const auto x = hostile_numbers(kind, rng, 1 + rng.below(32));
            const auto found = rounded(cut_format::mxint8, x, x.size());
            const auto wanted = block_twin(x);
            for (std::size_t j = 0; j < x.size(); ++j) {
                BOOST_REQUIRE(static_cast<double>(found[j]) == wanted[j]);
                BOOST_REQUIRE(!std::signbit(found[j]) || found[j] != 0.0F);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_message_gives_back_the_rounded_values) {
    auto rng = numerics_rng("cut messages");
    for (const auto format : all_formats) {
        for (const auto kind : all_hostile) {
            for (const std::size_t width : {1U, 32U, 45U, 96U}) {
                auto x = hostile_numbers(kind, rng, 6 * width);
                x[rng.below(x.size())] = infinite;
                // What is sent in f32 has been flushed by the kernel that wrote it.
                for (float& v : x) v = std::abs(v) < 0x1p-48F ? 0.0F : v;
                const auto values = rounded(format, x, width);
                const auto message = message_of(format, values, width);
                std::vector<float> back(values.size());
                BOOST_REQUIRE(numerics::cut_unpack(format, message, width, back));
                BOOST_TEST(same_bits<float>(back, values));
                BOOST_TEST(!arrives(format, std::span(message).first(message.size() - 1),
                                    values.size(), width));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(what_no_honest_peer_sends_is_refused_and_the_rest_packs_back) {
    using bytes = std::vector<std::uint8_t>;
    BOOST_TEST(!arrives(cut_format::f32, bytes{0, 0, 0, 0x80}, 1, 1));    // -0
    BOOST_TEST(!arrives(cut_format::f32, bytes{1, 0, 0, 0}, 1, 1));       // subnormal
    BOOST_TEST(arrives(cut_format::f32, bytes{0, 0, 0x80, 0x7f}, 1, 1));  // a lane that diverges
    BOOST_TEST(!arrives(cut_format::bf16, bytes{0, 0x80}, 1, 1));         // -0
    BOOST_TEST(!arrives(cut_format::bf16, bytes{0x7f, 0x27}, 1, 1));      // below 2^-48
    BOOST_TEST(!arrives(cut_format::bf16, bytes{0x80, 0x7f}, 1, 1));      // beyond
    BOOST_TEST(arrives(cut_format::bf16, bytes{0xc0, 0x7f}, 1, 1));       // our NaN
    BOOST_TEST(!arrives(cut_format::mxint8, bytes{50, 0x80}, 1, 1));      // -128
    BOOST_TEST(!arrives(cut_format::mxint8, bytes{50, 63}, 1, 1));        // a lower scale says it
    BOOST_TEST(arrives(cut_format::mxint8, bytes{0, 63}, 1, 1));          // there is none below
    BOOST_TEST(!arrives(cut_format::mxint8, bytes{170, 64}, 1, 1));       // beyond float32
    BOOST_TEST(!arrives(cut_format::mxint8, bytes{255, 1}, 1, 1));        // NaN has no codes
    BOOST_TEST(arrives(cut_format::mxint8, bytes{255, 0}, 1, 1));
    auto rng = numerics_rng("cut messages of strangers");
    for (const auto format : all_formats) {
        std::size_t accepted = 0;
        for (int i = 0; i < 20'000; ++i) {
            constexpr std::size_t width = 3;
            bytes message(numerics::cut_message_bytes(format, 1, width));
            for (auto& b : message) b = static_cast<std::uint8_t>(rng.next());
            std::vector<float> values(width);
            if (!numerics::cut_unpack(format, message, width, values)) continue;
            ++accepted;
            BOOST_REQUIRE(same_bits<float>(rounded(format, values, width), values));
            BOOST_REQUIRE(message_of(format, values, width) == message);
        }
        BOOST_TEST(accepted > 100U);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
