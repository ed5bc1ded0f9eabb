#include <rapidcheck.h>
#include <boost/test/unit_test.hpp>

#include "tests/property/training/round_cases.hpp"
#include "tests/property/training/round_twin.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

BOOST_AUTO_TEST_SUITE(contribution_property)

BOOST_AUTO_TEST_CASE(encoding_is_the_twins) {
    BOOST_TEST(rc::check("encoding is the twin's, and canonical", [] {
        const auto r = random_recipe();
        const auto layout = layout_of(r.model);
        const auto values = random_values(r, layout);
        const auto bytes =
            encode_contribution(contribution_kind::lane, r, layout, values, 1.25, lane_tokens(r));
        RC_ASSERT(bytes.has_value());
        const auto header = check_contribution(contribution_kind::lane, r, layout, *bytes);
        RC_ASSERT(header.has_value());
        std::vector<float> decoded(layout.padded_size);
        decode_contribution(contribution_kind::lane, r, *bytes, decoded);
        const auto& codec = r.train.codec;
        const auto units = twin::units_of(codec, *bytes, layout.padded_size);
        std::uint64_t flushed = 0;
        std::uint64_t saturated = 0;
        for (std::size_t at = 0; at < values.size(); at += 32) {
            const std::vector<float> block(values.begin() + static_cast<std::ptrdiff_t>(at),
                                           values.begin() + static_cast<std::ptrdiff_t>(at + 32));
            const auto expected = twin::encode_block(codec, block, r.train.window);
            for (std::size_t i = 0; i < 32; ++i) {
                RC_ASSERT(units[at + i] == expected.units[i]);
                const auto value = std::ldexp(static_cast<double>(expected.units[i]),
                                              twin::unit_exponent(codec, r.train.window));
                RC_ASSERT(std::bit_cast<std::uint32_t>(decoded[at + i]) ==
                          std::bit_cast<std::uint32_t>(static_cast<float>(value)));
            }
            flushed += expected.flushed;
            saturated += expected.saturated;
        }
        RC_ASSERT(header->flushed == flushed);
        RC_ASSERT(header->saturated == saturated);
    }));
}

BOOST_AUTO_TEST_CASE(what_was_decoded_encodes_to_the_same_bytes) {
    BOOST_TEST(rc::check("encode(decode(x)) == x", [] {
        const auto r = random_recipe();
        const auto layout = layout_of(r.model);
        const auto first = *encode_contribution(contribution_kind::mean, r, layout,
                                                random_values(r, layout), 0, 0);
        std::vector<float> decoded(layout.padded_size);
        decode_contribution(contribution_kind::mean, r, first, decoded);
        auto again = *encode_contribution(contribution_kind::mean, r, layout, decoded, 0, 0);
        // The counts differ: nothing is rounded a second time.
        RC_ASSERT(std::equal(first.begin() + 256, first.end(), again.begin() + 256, again.end()));
    }));
}

BOOST_AUTO_TEST_CASE(a_changed_byte_is_refused_or_means_another_result) {
    BOOST_TEST(rc::check("one canonical encoding of each result", [] {
        const auto r = random_recipe();
        const auto layout = layout_of(r.model);
        const auto good = *encode_contribution(contribution_kind::lane, r, layout,
                                               random_values(r, layout), 1, lane_tokens(r));
        auto bad = good;
        const auto at = *rc::gen::inRange<std::size_t>(0, bad.size());
        bad[at] = static_cast<std::uint8_t>(bad[at] ^ *rc::gen::inRange(1, 256));
        const auto header = check_contribution(contribution_kind::lane, r, layout, bad);
        if (!header) {
            RC_ASSERT(header.error().is(errc::bad_contribution));
            return;
        }
        const bool counts_differ =
            *header != *check_contribution(contribution_kind::lane, r, layout, good);
        const auto units = [&](base::byte_view bytes) {
            return twin::units_of(r.train.codec, bytes, layout.padded_size);
        };
        RC_ASSERT(counts_differ || units(bad) != units(good));
    }));
}

BOOST_AUTO_TEST_CASE(any_bytes_are_survived) {
    BOOST_TEST(rc::check("check_contribution is safe on any input", [] {
        const auto r = random_recipe();
        const auto layout = layout_of(r.model);
        const auto bytes = *rc::gen::arbitrary<base::byte_vector>();
        RC_ASSERT(!check_contribution(contribution_kind::lane, r, layout, bytes));
        base::byte_vector right_size(shape_of(contribution_kind::lane, r, layout).size_bytes());
        std::copy_n(bytes.begin(), std::min(bytes.size(), right_size.size()), right_size.begin());
        RC_ASSERT(!check_contribution(contribution_kind::lane, r, layout, right_size));
    }));
}

BOOST_AUTO_TEST_SUITE_END()
