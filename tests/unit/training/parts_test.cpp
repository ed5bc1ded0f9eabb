// Sums made in shards: what the parts come to is what the whole sum is, wherever it is cut.
#include <bit>
#include <boost/test/unit_test.hpp>

#include "base/blob.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "tests/unit/training/several_units.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

void is_the_same(const sum_output& found, const sum_output& expected) {
    BOOST_TEST((found.sum == expected.sum));
    BOOST_TEST((found.mean == expected.mean));
    BOOST_TEST(std::bit_cast<std::uint64_t>(found.loss) ==
               std::bit_cast<std::uint64_t>(expected.loss));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(parts_test)

BOOST_AUTO_TEST_CASE(parts_make_the_sum_of_every_pair_of_codecs) {
    for (const std::string up : {"mxint8", "mxfp4", "f32"}) {
        for (const std::string down : {"mxint8", "mxfp4", "f32"}) {
            BOOST_TEST_CONTEXT(up << " up, " << down << " down") {
                const several_units s(up, down);
                BOOST_TEST(s.units() > 1);
                const auto expected = s.whole();
                std::vector<base::byte_vector> one_by_one;
                for (std::uint64_t u = 0; u < s.units(); ++u) one_by_one.push_back(s.part({u, 1}));
                is_the_same(*s.join(one_by_one), expected);
                is_the_same(*s.join({s.part({0, 1}), s.part({1, s.units() - 1})}), expected);
                is_the_same(*s.join({s.part({0, s.units()})}), expected);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(extents_cover_units_and_pieces_once_and_need_little_more) {
    using codec = contribution_codec;
    base::rng chance(7);
    for (int trial = 0; trial < 3000; ++trial) {
        const codec codecs[] = {codec::mxint8, codec::mxfp4, codec::f32};
        const auto elements = 32 * (1 + chance.below(trial % 2 == 0 ? 200'000 : 3'000));
        const contribution_shape lane{codecs[chance.below(3)], elements};
        const contribution_shape mean{codecs[chance.below(3)], elements};
        const auto sums = base::blob_ref{{}, elements * (lane.codec == codec::f32 ? 16 : 8)};
        std::uint64_t unit = 0, element = 0, piece = 0;
        while (unit < mean.units()) {
            const contribution_run run{unit, 1 + chance.below(mean.units() - unit)};
            const auto x = shard_extent_of(lane, mean, run);
            BOOST_REQUIRE(x.elements.first == element);
            BOOST_REQUIRE(x.summed.first == element);
            BOOST_REQUIRE(x.pieces.first == piece);
            unit = run.end();
            element = x.elements.end();
            piece = x.pieces.end();
            BOOST_REQUIRE(x.summed.end() >= element && x.summed.end() <= elements);
            // A piece of the sums is smaller than a unit of any codec.
            BOOST_REQUIRE(x.lane_units.count <= lane.units_over(x.elements).count + 1);
        }
        BOOST_REQUIRE(element == elements);
        BOOST_REQUIRE(piece == sums.pieces());
    }
}

BOOST_AUTO_TEST_CASE(parts_out_of_place_are_refused_by_their_number) {
    const several_units s("mxint8", "mxint8");
    const auto first = s.part({0, 1}), second = s.part({1, 1}), third = s.part({2, 1});
    const auto message = [&](const std::vector<base::byte_vector>& parts) {
        const auto joined = s.join(parts);
        BOOST_REQUIRE(!joined.has_value());
        return joined.error().message();
    };
    const auto says = [&](const std::vector<base::byte_vector>& parts, std::string_view what) {
        const auto found = message(parts);
        BOOST_TEST(found.find(what) != std::string::npos, found);
    };
    says({}, "unit 0 is missing");
    says({first, second}, "unit 2 is missing");
    says({first, third}, "part 1 does not begin where the one before it ends");
    says({first, first}, "part 1 does not begin");
    says({first, second, {}}, "part 2 is none");
    auto cut = third;
    cut.pop_back();
    says({first, second, cut}, "part 2 has not the size of its units");
    auto bent = third;
    bent[24] ^= 1;  // pieces
    says({first, second, bent}, "part 2 has not the size");
    bent = third;
    bent.back() ^= 0x80;
    const auto other = s.join({first, second, bent});
    // Another code is another sum, or none; never this one.
    BOOST_TEST((!other.has_value() || other->mean != s.whole().mean));
    bent = first;
    bent[39] = 0x7f;
    bent[38] = 0xf8;  // the loss: not a number
    says({bent, second, third}, "the loss is not finite");
    bent = first;
    bent[47] = 0xff;  // saturated
    says({bent, second, third}, "part 0 counts more values than there are");
}

BOOST_AUTO_TEST_CASE(a_shard_takes_no_unit_that_is_not_canonical) {
    const several_units s("mxint8", "mxint8");
    summation sum(s.r, s.layout, {1, 1});
    auto bytes = s.lanes[0];
    bytes[base::piece_size_bytes] ^= 1;  // the magic of unit 1
    const auto added = sum.add({0}, bytes);
    BOOST_REQUIRE(!added.has_value());
    BOOST_TEST(added.error().is(errc::bad_contribution));
    BOOST_TEST(!sum.part().has_value());
    BOOST_TEST(sum.add({0}, s.lanes[0]).has_value());
    BOOST_TEST(sum.add({0}, s.lanes[0]).error().is(errc::bad_contribution));
    BOOST_TEST(sum.part().error().is(errc::incomplete_sum));
}

BOOST_AUTO_TEST_SUITE_END()
