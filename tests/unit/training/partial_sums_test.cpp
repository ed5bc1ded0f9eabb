// Sums of some lanes, published for others to add theirs to: the parts that come of them are those
// of one owner that has every lane.
#include <boost/test/unit_test.hpp>
#include <cstring>

#include "base/blob.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "tests/unit/training/several_units.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

/// What a group publishes of its lanes.
base::byte_vector sums_of(const several_units& s, const partial_sums& which) {
    summation sum(s.r, s.layout, which.units);
    for (auto l = which.lanes.first; l < which.lanes.end(); ++l) {
        BOOST_REQUIRE(sum.add({l}, s.lanes[l]));
    }
    return *sum.partial(which.lanes);
}

/// Of those bytes only the pieces that the shard needs; the others are noise.
base::byte_vector fetched(const several_units& s, const partial_sums& which,
                          contribution_run shard) {
    auto bytes = sums_of(s, which);
    const auto extent =
        partial_extent_of(shape_of(contribution_kind::lane, s.r, s.layout),
                          shape_of(contribution_kind::mean, s.r, s.layout), which, shard);
    BOOST_TEST(bytes.size() == extent.bytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto piece = i / base::piece_size_bytes;
        if (piece < extent.pieces.first || piece >= extent.pieces.end()) bytes[i] = 0xa5;
    }
    return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(partial_sums_test)

BOOST_AUTO_TEST_CASE(sums_of_groups_give_the_part_of_one_owner) {
    for (const auto& [up, down] :
         {std::pair("mxint8", "mxint8"), std::pair("mxfp4", "mxfp4"), std::pair("f32", "mxfp4"),
          std::pair("mxfp4", "f32"), std::pair("f32", "f32"), std::pair("mxint8", "f32")}) {
        const several_units s(up, down);
        for (std::uint64_t u = 0; u < s.units(); ++u) {
            const contribution_run shard{u, 1};
            // Owners in different groups have different runs of units; each holds this shard.
            for (const auto& [first, second] :
                 {std::pair(contribution_run{0, s.units()}, shard),
                  std::pair(contribution_run{u, s.units() - u}, contribution_run{0, u + 1})}) {
                for (const std::uint64_t cut : {1u, 2u}) {
                    const partial_sums a{first, {0, cut}}, b{second, {cut, 3 - cut}};
                    summation sum(s.r, s.layout, shard);
                    BOOST_REQUIRE(sum.add_partial(b, fetched(s, b, shard)));
                    BOOST_REQUIRE(sum.add_partial(a, fetched(s, a, shard)));
                    BOOST_TEST((*sum.part() == s.part(shard)), up << " " << down << " unit " << u);
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_lane_may_be_added_beside_the_sums_of_others) {
    const several_units s("mxint8", "mxint8");
    const partial_sums others{{0, s.units()}, {1, 2}};
    summation sum(s.r, s.layout, {1, 1});
    BOOST_REQUIRE(sum.add({0}, s.lanes[0]));
    BOOST_REQUIRE(sum.add_partial(others, sums_of(s, others)));
    BOOST_TEST((*sum.part() == s.part({1, 1})));
}

BOOST_AUTO_TEST_CASE(what_is_no_sum_of_those_lanes_is_refused_and_nothing_added) {
    const several_units s("mxint8", "mxint8");
    const contribution_run all{0, s.units()};
    const partial_sums which{all, {0, 2}};
    const auto right = sums_of(s, which);
    summation sum(s.r, s.layout, all);
    const auto says = [&](const partial_sums& name, const base::byte_vector& bytes,
                          const std::string& what) {
        const auto refused = sum.add_partial(name, bytes);
        BOOST_REQUIRE(!refused);
        BOOST_TEST(refused.error().is(errc::bad_contribution));
        BOOST_TEST(refused.error().message().find(what) != std::string::npos,
                   refused.error().message());
    };
    const auto with = [&](std::size_t at, std::int64_t value) {
        auto bytes = right;
        std::memcpy(bytes.data() + at, &value, sizeof value);
        return bytes;
    };
    auto longer = right;
    longer.push_back(0);
    says(which, longer, "bytes, allowed: " + std::to_string(right.size()));
    says({all, {0, 1}}, right, "the sums of lanes 0 to 0 have");
    says({all, {2, 2}}, right, "lanes that there are not");
    says({all, {~std::uint64_t{0}, 2}}, right, "lanes that there are not");
    says({all, {1, 0}}, right, "lanes that there are not");
    says({{1, s.units() - 1}, {0, 2}}, right, "are not of this shard");
    says({{0, s.units() + 1}, {0, 2}}, right, "are not of this shard");
    says({all, {1, 2}}, right, "another header");
    says(which, with(0, 0), "another header");
    says(which, with(24, 1), "another header");
    says(which, with(64, 0x7ff0000000000000), "a loss that is not finite");
    // Two lanes come to less than 2^47; a larger one would make others' sums overflow.
    says(which, with(80, std::int64_t{1} << 47), "so many lanes cannot come to");
    says(which, with(right.size() - 8, std::int64_t{-1} << 47), "so many lanes cannot come to");
    BOOST_TEST(sum.lanes_added() == 0u);
    BOOST_REQUIRE(sum.add_partial(which, right));
    says(which, right, "lane 0 was added before");
    BOOST_REQUIRE(sum.add({2}, s.lanes[2]));
    BOOST_TEST((*sum.part() == s.part(all)));
}

BOOST_AUTO_TEST_CASE(wide_sums_are_bounded_too) {
    const several_units s("f32", "f32");
    const partial_sums which{{1, 1}, {0, 1}};
    auto bytes = sums_of(s, which);
    summation sum(s.r, s.layout, {1, 1});
    const auto large = static_cast<__int128>(1) << 103;
    std::memcpy(bytes.data() + partial_header_bytes, &large, sizeof large);
    BOOST_TEST(!sum.add_partial(which, bytes));
    const auto largest = large - 1;
    std::memcpy(bytes.data() + partial_header_bytes, &largest, sizeof largest);
    BOOST_TEST(sum.add_partial(which, bytes).has_value());
}

BOOST_AUTO_TEST_CASE(only_what_was_added_is_published) {
    const several_units s("mxfp4", "mxfp4");
    summation sum(s.r, s.layout, {0, 1});
    BOOST_REQUIRE(sum.add({1}, s.lanes[1]));
    BOOST_TEST(sum.partial({1, 1}).has_value());
    const auto missing = sum.partial({1, 2});
    BOOST_REQUIRE(!missing);
    BOOST_TEST(missing.error().is(errc::incomplete_sum));
    BOOST_TEST(missing.error().message().find("lane 2 is missing") != std::string::npos);
    BOOST_TEST(!sum.partial({2, 1}));
    BOOST_TEST(sum.partial({2, 1}).error().message().find("lane 1 was added") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
