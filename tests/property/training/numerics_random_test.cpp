// Random numbers against the published vectors, the floating-point environment, targets.

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#include <cfenv>
#include <cmath>

#include "base/sha256.hpp"
#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/environment.hpp"
#include "training/numerics/math64.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::tests {

BOOST_AUTO_TEST_SUITE(numerics_random)

BOOST_AUTO_TEST_CASE(philox_gives_the_published_answers) {
    using numerics::philox4x32;
    using words = numerics::philox_counter;
    // Random123 1.14, tests/kat_vectors, philox4x32 10.
    BOOST_TEST((philox4x32({0, 0, 0, 0}, {0, 0}) ==
                words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    BOOST_TEST(
        (philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
         words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    BOOST_TEST(
        (philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
         words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

BOOST_AUTO_TEST_CASE(keys_are_the_first_bytes_of_the_documented_digest) {
    base::digest data;
    for (std::size_t i = 0; i < 32; ++i) data.bytes[i] = static_cast<std::uint8_t>(i + 1);
    std::string text = "data order";
    text.push_back('\0');
    text += std::string("\x08\x07\x06\x05\x04\x03\x02\x01", 8);
    text.append(reinterpret_cast<const char*>(data.bytes.data()), 32);
    const base::digest hash = base::sha256(text);
    const auto key = numerics::derive_key("data order", 0x0102030405060708, data);
    for (std::size_t i = 0; i < 8; ++i) {
        BOOST_TEST((key[i / 4] >> (8 * (i % 4)) & 0xff) == hash.bytes[i]);
    }
    BOOST_TEST((key != numerics::derive_key("dropout", 0x0102030405060708, data)));
    BOOST_TEST((key != numerics::derive_key("data order", 0x0102030405060709, data)));
}

BOOST_AUTO_TEST_CASE(places_and_indices_are_laid_out_as_documented) {
    const numerics::philox_key key{1, 2};
    const numerics::draws draws(key, {.round = 0xabcdef, .lane = 0x1234, .step = 0x567890});
    const std::uint64_t index = 0x123456789abcULL;
    const auto block = numerics::philox4x32(
        {static_cast<std::uint32_t>(index / 4), static_cast<std::uint32_t>((index / 4) >> 32),
         0x34567890, 0xabcdef12},
        key);
    for (std::uint64_t i = 0; i < 4; ++i) BOOST_TEST(draws.word(index + i) == block[i]);
}

BOOST_AUTO_TEST_CASE(bounded_draws_cover_their_range_and_nothing_else) {
    const numerics::draws draws({3, 4}, {});
    std::array<int, 7> seen{};
    for (std::uint64_t i = 0; i < 7000; ++i) {
        const std::uint32_t value = draws.below(i, 7);
        BOOST_REQUIRE(value < 7);
        ++seen[value];
    }
    for (const int count : seen) BOOST_TEST((count > 850 && count < 1150));
    BOOST_TEST(draws.below(5, std::uint64_t{1} << 32) == draws.word(5));
}

BOOST_AUTO_TEST_CASE(filled_normals_are_single_normals_and_look_normal) {
    const numerics::draws draws({5, 6}, {.round = 1, .lane = 2, .step = 3});
    for (const std::uint64_t first : {0U, 1U, 2U, 3U, 1001U}) {
        std::vector<float> filled(37);
        draws.fill_normal(first, 0.02, filled);
        for (std::size_t i = 0; i < filled.size(); ++i) {
            BOOST_REQUIRE(filled[i] == draws.normal(first + i, 0.02));
        }
    }
    std::vector<float> many(200'000);
    draws.fill_normal(0, 2.0, many);
    double mean = 0.0, square = 0.0, fourth = 0.0;
    for (const float x : many) {
        const double z = x / 2.0;
        mean += z;
        square += z * z;
        fourth += z * z * z * z;
    }
    const double n = static_cast<double>(many.size());
    BOOST_TEST(std::fabs(mean / n) < 0.01);
    BOOST_TEST(std::fabs(square / n - 1.0) < 0.02);
    BOOST_TEST(std::fabs(fourth / n - 3.0) < 0.15);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(numerics_environment)

BOOST_AUTO_TEST_CASE(this_build_computes_as_exact_1_says) {
    numerics::set_float_environment();
    BOOST_TEST(numerics::float_environment_ok());
    const auto probed = numerics::probe_float_environment();
    BOOST_TEST(probed.has_value());
}

BOOST_AUTO_TEST_CASE(a_changed_environment_is_noticed_and_set_right) {
    numerics::set_float_environment();
    std::fesetround(FE_UPWARD);
    BOOST_TEST(!numerics::float_environment_ok());
    const auto probed = numerics::probe_float_environment();
    BOOST_TEST((!probed && probed.error().is(numerics::errc::bad_environment)));
    numerics::set_float_environment();
    BOOST_TEST(numerics::float_environment_ok());
#if defined(__x86_64__)
    for (const unsigned flag : {0x8000U, 0x0040U}) {  // flush-to-zero, denormals-are-zero
        _mm_setcsr(_mm_getcsr() | flag);
        BOOST_TEST(!numerics::float_environment_ok());
        numerics::set_float_environment();
        BOOST_TEST(numerics::float_environment_ok());
    }
#endif
    // Sticky flags of ordinary work do not count.
    volatile float tiny = 0x1p-126F;
    tiny = tiny * 0.3F;
    BOOST_TEST(numerics::float_environment_ok());
}

BOOST_AUTO_TEST_CASE(targets_are_named_and_can_be_chosen) {
    const auto before = numerics::active_target();
    for (const auto target : numerics::available_targets()) {
        BOOST_TEST((target != numerics::simd_target::reference));
        numerics::set_target(target);
        BOOST_TEST((numerics::active_target() == target));
        BOOST_TEST(numerics::target_name() == numerics::target_name(target));
    }
    numerics::set_target(numerics::simd_target::reference);
    BOOST_TEST(numerics::target_name() == "reference");
    numerics::set_target(before);
    BOOST_TEST(numerics::exact_work_possible() == !numerics::available_targets().empty());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
