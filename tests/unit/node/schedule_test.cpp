#include "node/core/schedule.hpp"

#include <boost/test/unit_test.hpp>

namespace tequio::node {
namespace {

schedule of(std::initializer_list<const char*> spans) {
    schedule s;
    for (const auto* text : spans) BOOST_TEST(s.add(text).has_value(), text);
    return s;
}
constexpr unsigned at(unsigned hours, unsigned minutes = 0) {
    return hours * 60 + minutes;
}

BOOST_AUTO_TEST_SUITE(schedule_suite)

BOOST_AUTO_TEST_CASE(without_spans_it_is_always_open) {
    BOOST_TEST(schedule().open(3, 700));
    BOOST_TEST(!schedule().minutes_to_change(3, 700).has_value());
    BOOST_TEST(schedule().text() == "always");
}

BOOST_AUTO_TEST_CASE(hours_run_over_midnight) {
    const auto s = of({"22:00-07:00"});
    BOOST_TEST(s.open(0, at(22)));
    BOOST_TEST(s.open(0, at(3)));
    BOOST_TEST(!s.open(0, at(7)));
    BOOST_TEST(!s.open(0, at(21, 59)));
    BOOST_TEST(s.minutes_to_change(0, at(12)).value() == at(10));
    BOOST_TEST(s.minutes_to_change(6, at(23)).value() == at(8));
}

BOOST_AUTO_TEST_CASE(weekdays_are_those_on_which_a_span_begins) {
    const auto s = of({"mon-fri 18:00-08:00", "sat,sun"});
    BOOST_TEST(s.open(4, at(18)));
    BOOST_TEST(s.open(5, at(7)));
    BOOST_TEST(s.open(6, at(23, 59)));
    BOOST_TEST(!s.open(0, at(7, 59)));  // Sunday's hours ended at midnight
    BOOST_TEST(!s.open(0, at(12)));
    BOOST_TEST(s.minutes_to_change(0, at(12)).value() == at(6));
    // From Friday evening to Sunday midnight without a gap.
    BOOST_TEST(s.minutes_to_change(4, at(19)).value() == at(5) + 2 * at(24));
    const auto weekend = of({"fri-mon 00:00-24:00"});
    BOOST_TEST(weekend.open(0, at(12)));
    BOOST_TEST(!weekend.open(1, at(12)));
    BOOST_TEST(weekend.text() == "fri-mon 00:00-24:00");
}

BOOST_AUTO_TEST_CASE(a_week_that_is_always_open_never_changes) {
    const auto s = of({"mon-sun"});
    for (unsigned d = 0; d < 7; ++d) BOOST_TEST(s.open(d, at(d)));
    BOOST_TEST(!s.minutes_to_change(0, 0).has_value());
}

BOOST_AUTO_TEST_CASE(what_is_no_span_is_refused_and_changes_nothing) {
    for (const auto* text : {"",
                             " ",
                             "25:00",
                             "25:00-07:00",
                             "22:00",
                             "22:00-",
                             "22:00-07:60",
                             "24:00-07:00",
                             "22:00-22:00",
                             "2:00-07:00",
                             "22:00-07:00-08:00",
                             "mo 22:00-07:00",
                             "mon,",
                             "mon-",
                             "mon-tue-wed",
                             "mon 25:00-26:00",
                             "mon  22:00-07:00",
                             "22:00-07:00 mon",
                             "-1:00-07:00",
                             "22:00 - 07:00",
                             "MON",
                             "22;00-07;00"}) {
        schedule s;
        BOOST_TEST(!s.add(text).has_value(), text);
        BOOST_TEST((s == schedule()), text);
    }
}

BOOST_AUTO_TEST_CASE(there_is_a_limit_of_spans) {
    schedule s;
    std::size_t added = 0;
    while (added < 1000 && s.add("22:00-07:00")) ++added;
    BOOST_TEST(added < 100u);
    BOOST_TEST(added >= 28u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
