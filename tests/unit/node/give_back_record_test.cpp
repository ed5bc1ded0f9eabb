#include "node/governor/give_back_record.hpp"

#include <boost/test/unit_test.hpp>

#include "base/rng.hpp"

using namespace tequio;
using namespace std::chrono_literals;
using node::give_back_record;

namespace {

constexpr auto day = base::day_seconds;
constexpr base::unix_time noon{20781 * day + day / 2};  // 2026-11-24

base::unix_time days_later(std::int64_t days) {
    return {noon.seconds + days * day};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(giving_back)

BOOST_AUTO_TEST_CASE(says_that_nothing_happened) {
    const give_back_record record;
    BOOST_TEST(record.line(noon) == "last 7 days: nothing had to be given back");
    BOOST_TEST(record.summary(noon).count == 0U);
}

BOOST_AUTO_TEST_CASE(states_the_share_rounded_down) {
    give_back_record record;
    for (int i = 0; i < 213; ++i) record.add(noon, 40ms);
    BOOST_TEST(record.line(noon) == "last 7 days: given back within 120 ms in 100 % of 213 times");
    record.add(noon, 300ms);
    BOOST_TEST(record.line(noon) ==
               "last 7 days: given back within 120 ms in 99 % of 214 times, slowest 300 ms");
    give_back_record one;
    one.add(noon, 120ms);
    BOOST_TEST(one.line(noon) == "last 7 days: given back within 120 ms in 100 % of 1 time");
}

BOOST_AUTO_TEST_CASE(limits_belong_to_the_class_that_they_end) {
    give_back_record record;
    for (const auto took : {120ms, 121ms, 250ms, 251ms, 1000ms, 1001ms}) record.add(noon, took);
    const auto s = record.summary(noon);
    BOOST_TEST(s.count == 6U);
    BOOST_TEST(s.within_120ms == 1U);
    BOOST_TEST(s.within_250ms == 3U);
    BOOST_TEST(s.above_1s == 1U);
    BOOST_TEST((s.longest == 1001ms));
}

BOOST_AUTO_TEST_CASE(percentiles_are_upper_bounds) {
    give_back_record record;
    for (int i = 0; i < 98; ++i) record.add(noon, 7ms);
    record.add(noon, 220ms);
    record.add(noon, 220ms);
    BOOST_TEST((record.summary(noon).p50 == 10ms));
    BOOST_TEST((record.summary(noon).p99 == 220ms));  // not 250 ms: none took longer than 220
    record.add(noon, 9s);
    BOOST_TEST((record.summary(noon).longest == 9s));
}

BOOST_AUTO_TEST_CASE(counts_seven_days_and_no_future) {
    give_back_record record;
    for (std::int64_t i = -10; i <= 0; ++i) record.add(days_later(i), 10ms);
    BOOST_TEST(record.summary(noon).count == 7U);
    BOOST_TEST(record.summary(days_later(3)).count == 4U);
    BOOST_TEST(record.summary(days_later(-2)).count == 6U);  // of the eight days that are kept
    // A clock that was in 2100 for a moment.
    record.add(days_later(27000), 5s);
    BOOST_TEST(record.summary(noon).above_1s == 0U);
    record.add(noon, 10ms);
    BOOST_TEST(record.summary(noon).count >= 7U);
}

BOOST_AUTO_TEST_CASE(odd_times_do_no_harm) {
    give_back_record record;
    record.add({-1}, -5ms);
    record.add({std::numeric_limits<std::int64_t>::min() / 2}, base::duration::max());
    record.add(noon, 0ms);
    BOOST_TEST(record.summary(noon).count == 1U);
    BOOST_TEST((record.summary({-1}).longest == 0ms));
}

BOOST_AUTO_TEST_CASE(a_day_comes_back_from_its_text) {
    constexpr std::uint64_t seed = 4;
    base::rng draw(seed);
    give_back_record record;
    for (int i = 0; i < 500; ++i) {
        record.add(days_later(-static_cast<std::int64_t>(draw.below(3))),
                   std::chrono::microseconds(draw.below(3000000)));
    }
    give_back_record again;
    for (std::int64_t i = -2; i <= 0; ++i) {
        const auto at = days_later(i);
        BOOST_TEST(again.restore(give_back_record::key_of(at), record.day_text(at)).has_value());
    }
    BOOST_TEST(again.line(noon) == record.line(noon), "seed " << seed);
    BOOST_TEST(again.summary(noon).count == 500U);
    BOOST_TEST((again.summary(noon).p99 == record.summary(noon).p99));
    BOOST_TEST(give_back_record::key_of(noon) == "2026-11-24");
}

BOOST_AUTO_TEST_CASE(refuses_what_it_does_not_write) {
    give_back_record record;
    record.add(noon, 10ms);
    const auto text = record.day_text(noon);
    const auto before = record.line(noon);
    for (const auto* key : {"", "2026-11-2", "2026-13-24", "2026-11-24T", "x"}) {
        BOOST_TEST(!record.restore(key, text).has_value(), key);
    }
    for (const auto& bad : {std::string(), "2" + text.substr(1), text + " ", text + " 0",
                            text.substr(0, text.size() - 2), "1 x" + text.substr(3),
                            "1 99999999999999999999" + text.substr(text.find(' ', 2)),
                            text.substr(0, text.size() - 1) + "18446744073709551615"}) {
        BOOST_TEST(!record.restore("2026-11-24", bad).has_value(), bad);
    }
    BOOST_TEST(record.line(noon) == before);
}

BOOST_AUTO_TEST_SUITE_END()
