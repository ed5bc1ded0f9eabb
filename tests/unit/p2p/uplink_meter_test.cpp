#include "p2p/core/uplink_meter.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio;
using namespace std::chrono_literals;

namespace {

base::time_point at(base::duration since) {
    return base::time_point{} + 1h + since;
}

constexpr std::uint64_t piece = 256 * 1024;

}  // namespace

BOOST_AUTO_TEST_SUITE(uplink_meter)

BOOST_AUTO_TEST_CASE(measures_from_the_end_of_the_first_piece) {
    p2p::uplink_meter m;
    // The kernel takes the first at once; the others leave at four a second.
    m.written(at(0s), piece);
    for (int i = 1; i <= 8; ++i) m.written(at(i * 250ms), piece);
    BOOST_TEST(!m.bytes_per_second().has_value());
    m.idle();
    BOOST_TEST(m.bytes_per_second().value() == 4 * piece);
}

BOOST_AUTO_TEST_CASE(what_is_short_or_small_says_nothing) {
    p2p::uplink_meter m;
    for (int i = 0; i <= 8; ++i) m.written(at(i * 1ms), piece);
    m.idle();
    for (int i = 0; i <= 2; ++i) m.written(at(i * 1s), piece);
    m.idle();
    m.idle();
    BOOST_TEST(!m.bytes_per_second().has_value());
}

BOOST_AUTO_TEST_CASE(the_fastest_of_the_last_stretches_counts_and_is_forgotten) {
    p2p::uplink_meter m;
    const auto stretch = [&](base::duration each) {
        for (int i = 0; i <= 8; ++i) m.written(at(i * each), piece);
        m.idle();
    };
    stretch(100ms);
    for (int i = 0; i < 7; ++i) {
        stretch(500ms);
        BOOST_TEST(m.bytes_per_second().value() == 10 * piece);
    }
    stretch(500ms);
    BOOST_TEST(m.bytes_per_second().value() == 2 * piece);
}

BOOST_AUTO_TEST_CASE(a_stretch_without_end_is_measured_all_the_same) {
    p2p::uplink_meter m;
    for (int i = 0; i <= 41; ++i) m.written(at(i * 250ms), piece);
    BOOST_TEST(m.bytes_per_second().value() == 4 * piece);
}

BOOST_AUTO_TEST_SUITE_END()
