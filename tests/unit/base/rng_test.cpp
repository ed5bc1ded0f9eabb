#include "base/rng.hpp"

#include <boost/test/unit_test.hpp>
#include <set>

using namespace tequio::base;

namespace {

std::vector<std::uint64_t> draws(rng r, int n = 8) {
    std::vector<std::uint64_t> out;
    for (int i = 0; i < n; ++i) out.push_back(r.next());
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(random_numbers)

BOOST_AUTO_TEST_CASE(one_seed_gives_one_stream) {
    BOOST_TEST(draws(rng(7)) == draws(rng(7)), boost::test_tools::per_element());
    BOOST_TEST((draws(rng(7)) != draws(rng(8))));
}

BOOST_AUTO_TEST_CASE(xoshiro256_starstar_gives_its_published_numbers) {
    // State (1, 2, 3, 4), as in the authors' reference program.
    byte_vector bytes;
    byte_writer w(bytes);
    for (std::uint64_t i = 1; i <= 4; ++i) w.u64(i);
    const rng r(*id_from_bytes<digest>(bytes));
    BOOST_TEST(draws(r, 5) == (std::vector<std::uint64_t>{11520, 0, 1509978240, 1215971899390074240,
                                                          1216172134540287360}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_all_zero_seed_does_not_get_stuck) {
    const auto d = draws(rng(digest{}));
    BOOST_TEST(std::set<std::uint64_t>(d.begin(), d.end()).size() > 4);
}

BOOST_AUTO_TEST_CASE(components_do_not_shift_one_another) {
    rng root(7);
    const auto before = draws(root.split("gossip"));
    root.next();
    (void)root.split("blobs").next();
    BOOST_TEST(draws(root.split("gossip")) == before, boost::test_tools::per_element());
    BOOST_TEST((draws(root.split("blobs")) != before));
    BOOST_TEST((draws(root.split("gos").split("sip")) != before));
}

BOOST_AUTO_TEST_CASE(draws_keep_their_bounds) {
    rng r(3);
    std::set<std::uint64_t> seen;
    for (int i = 0; i < 1000; ++i) {
        const auto v = r.below(7);
        BOOST_REQUIRE(v < 7);
        seen.insert(v);
        const auto d = r.between(std::chrono::nanoseconds(5), std::chrono::nanoseconds(6));
        BOOST_REQUIRE((d == std::chrono::nanoseconds(5) || d == std::chrono::nanoseconds(6)));
        BOOST_REQUIRE(!r.chance(0));
        BOOST_REQUIRE(r.chance(1));
    }
    BOOST_TEST(seen.size() == 7);
    BOOST_TEST(r.below(1) == 0);
    BOOST_TEST(r.below((std::uint64_t{1} << 63) + 1) <= std::uint64_t{1} << 63);
}

BOOST_AUTO_TEST_SUITE_END()
