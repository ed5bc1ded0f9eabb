#include "node/cli/statistics.hpp"

#include <boost/test/unit_test.hpp>

#include "base/rng.hpp"

using namespace tequio;
using node::usage_sample;

namespace {

/// Samples every 5 ms for a second: `rate` processors are used until `stop`, then `rest`.
std::vector<usage_sample> working_until(double stop, double rate, double rest) {
    std::vector<usage_sample> out;
    for (int i = 0; i <= 200; ++i) {
        const double at = 0.005 * i;
        const double worked = std::min(at, stop);
        out.push_back({at, rate * worked + rest * (at - worked)});
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(statistics)

BOOST_AUTO_TEST_CASE(quantiles_lie_between_the_neighbours) {
    const std::vector<double> values{4, 1, 3, 2};
    BOOST_TEST(node::quantile(values, 0) == 1);
    BOOST_TEST(node::quantile(values, 0.5) == 2.5);
    BOOST_TEST(node::quantile(values, 1) == 4);
    BOOST_TEST(node::quantile(values, 0.1) == 1.3, boost::test_tools::tolerance(1e-12));
    BOOST_TEST(node::quantile({7}, 0.99) == 7);
    std::vector<double> many;
    for (int i = 0; i <= 1000; ++i) many.push_back(1000 - i);
    BOOST_TEST(node::quantile(many, 0.999) == 999);
    BOOST_TEST(node::quantile(many, 0.99) == 990);
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_interval) {
    const std::vector<double> values{1.01, 0.99, 1.02, 1.0, 1.05, 0.98, 1.01, 1.0, 1.03, 1.02};
    const auto a = node::bootstrap_median(values, 1);
    const auto b = node::bootstrap_median(values, 1);
    BOOST_TEST(a.low == b.low);
    BOOST_TEST(a.high == b.high);
    BOOST_TEST(a.median == 1.01, boost::test_tools::tolerance(1e-12));
    BOOST_TEST(a.low < a.median);
    BOOST_TEST(a.high > a.median);
    BOOST_TEST(a.low >= 0.98);
    BOOST_TEST(a.high <= 1.05);
}

BOOST_AUTO_TEST_CASE(one_value_is_its_own_interval) {
    const auto m = node::bootstrap_median(std::vector<double>{2.5}, 9);
    BOOST_TEST(m.low == 2.5);
    BOOST_TEST(m.median == 2.5);
    BOOST_TEST(m.high == 2.5);
}

BOOST_AUTO_TEST_CASE(intervals_hold_the_true_median_about_as_often_as_they_say) {
    constexpr std::uint64_t seed = 20261124;
    base::rng draw(seed);
    int held = 0;
    for (int trial = 0; trial < 200; ++trial) {
        std::vector<double> values;
        for (int i = 0; i < 20; ++i) values.push_back(static_cast<double>(draw.below(1000001)));
        const auto m = node::bootstrap_median(values, 1);
        if (m.low <= 500000 && 500000 <= m.high) ++held;
    }
    BOOST_TEST(held >= 180, "seed " << seed << ": held in " << held << " of 200");
    BOOST_TEST(held <= 199, "seed " << seed << ": held in " << held << " of 200");
}

BOOST_AUTO_TEST_CASE(a_group_stops_where_its_use_ends) {
    const auto samples = working_until(0.3, 2, 0);
    const auto stop = node::stop_moment(samples, 0.25);
    BOOST_REQUIRE(stop.has_value());
    BOOST_TEST(*stop == 0.3, boost::test_tools::tolerance(0.02));
}

BOOST_AUTO_TEST_CASE(less_than_a_fiftieth_of_a_processor_is_a_stop_and_more_is_none) {
    BOOST_TEST(node::stop_moment(working_until(0.3, 2, 0.015), 0.2).has_value());
    BOOST_TEST(!node::stop_moment(working_until(0.3, 2, 0.03), 0.2).has_value());
}

BOOST_AUTO_TEST_CASE(a_group_that_stood_still_before_has_stopped_at_the_start) {
    const auto samples = working_until(0.1, 2, 0);
    BOOST_TEST(node::stop_moment(samples, 0.5).value() == 0.5, boost::test_tools::tolerance(0.011));
}

BOOST_AUTO_TEST_CASE(a_pause_shorter_than_the_span_is_no_stop) {
    auto samples = working_until(0.3, 2, 0);
    // At work again from 0.32 to 0.6.
    for (auto& s : samples) s.used += 2 * std::clamp(s.at - 0.32, 0.0, 0.28);
    BOOST_TEST(node::stop_moment(samples, 0.25).value() == 0.6,
               boost::test_tools::tolerance(0.011));
}

BOOST_AUTO_TEST_CASE(samples_that_end_too_early_tell_nothing) {
    auto samples = working_until(0.97, 2, 0);
    BOOST_TEST(!node::stop_moment(samples, 0.5).has_value());
    BOOST_TEST(!node::stop_moment({}, 0).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
