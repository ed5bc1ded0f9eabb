#include "node/agent/session_view.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio;
using namespace std::chrono_literals;
using node::input_fact;
using node::lock_kind;
using node::session_view;
using node::source_kind;

namespace {

const base::time_point start{1000s};

input_fact active() {
    return {true, {}, true, {}};
}
input_fact idle_since(base::time_point last) {
    return {true, {}, false, last};
}
input_fact trouble(const char* why) {
    return {false, why, false, {}};
}

/// Takes the report that must be due and hands it over.
node::agent_report told(session_view& view, base::time_point now) {
    const auto report = view.due(now);
    BOOST_REQUIRE(report.has_value());
    view.sent(now, *report);
    return *report;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(session_view_rules)

BOOST_AUTO_TEST_CASE(says_nothing_while_no_source_works) {
    session_view view;
    BOOST_TEST(!view.due(start));
    BOOST_TEST(!view.next_deadline());
    view.set_input(source_kind::wayland, trouble("WAYLAND_DISPLAY is not set"));
    view.set_lock(lock_kind::logind, true);
    BOOST_TEST(!view.due(start));
    BOOST_TEST(!view.all_heard());
    view.set_input(source_kind::gnome, trouble("no bus"));
    view.set_input(source_kind::x11, trouble("DISPLAY is not set"));
    BOOST_TEST(view.all_heard());
    BOOST_TEST(
        view.describe() ==
        "none (wayland: WAYLAND_DISPLAY is not set; gnome: no bus; x11: DISPLAY is not set)");
}

BOOST_AUTO_TEST_CASE(the_most_trusted_source_that_works_counts) {
    session_view view;
    view.set_input(source_kind::x11, idle_since(start - 30s));
    BOOST_TEST(told(view, start).source == "x11");
    view.set_input(source_kind::gnome, idle_since(start - 20s));
    // Another source is a change: told at once.
    auto report = told(view, start + 50ms);
    BOOST_TEST(report.source == "gnome");
    BOOST_TEST((report.idle == 20050ms));
    view.set_input(source_kind::wayland, idle_since(start - 10s));
    BOOST_TEST(told(view, start + 100ms).source == "wayland");
    BOOST_TEST(view.describe() == "wayland");
    view.set_input(source_kind::wayland, trouble("the compositor went away"));
    BOOST_TEST(told(view, start + 150ms).source == "gnome");
    BOOST_TEST(view.describe() == "gnome (wayland: the compositor went away)");
    view.set_input(source_kind::gnome, trouble("gone"));
    view.set_input(source_kind::x11, trouble("gone"));
    BOOST_TEST(!view.due(start + 10s));
}

BOOST_AUTO_TEST_CASE(beats_once_a_second_in_use_and_once_in_five_idle) {
    session_view view;
    view.set_input(source_kind::wayland, active());
    BOOST_TEST((told(view, start).idle == 0ms));
    BOOST_TEST(!view.due(start + 999ms));
    BOOST_TEST((view.next_deadline() == start + 1s));
    BOOST_TEST((told(view, start + 1s).idle == 0ms));
    // It goes idle: told with the next beat, after which beats are rarer.
    view.set_input(source_kind::wayland, idle_since(start + 600ms));
    BOOST_TEST(!view.due(start + 1600ms));
    BOOST_TEST((told(view, start + 2s).idle == 1400ms));
    BOOST_TEST(!view.due(start + 6999ms));
    BOOST_TEST((view.next_deadline() == start + 7s));
    BOOST_TEST((told(view, start + 7s).idle == 6400ms));
}

BOOST_AUTO_TEST_CASE(input_after_idleness_is_due_at_once) {
    session_view view;
    view.set_input(source_kind::x11, idle_since(start - 60s));
    told(view, start);
    BOOST_TEST(!view.due(start + 10ms));
    view.set_input(source_kind::x11, active());
    BOOST_TEST((told(view, start + 20ms).idle == 0ms));
    // More input is no news.
    view.set_input(source_kind::x11, active());
    BOOST_TEST(!view.due(start + 30ms));
}

BOOST_AUTO_TEST_CASE(what_was_not_taken_stays_due) {
    session_view view;
    view.set_input(source_kind::x11, active());
    BOOST_TEST(view.due(start).has_value());
    BOOST_TEST(view.due(start + 1ms).has_value());
    told(view, start + 2ms);
    BOOST_TEST(!view.due(start + 3ms));
}

BOOST_AUTO_TEST_CASE(locked_when_anybody_says_so) {
    session_view view;
    view.set_input(source_kind::gnome, idle_since(start));
    BOOST_TEST(!told(view, start).locked);
    view.set_lock(lock_kind::logind, false);
    BOOST_TEST(!view.due(start + 100ms));
    view.set_lock(lock_kind::gnome_screen_saver, true);
    BOOST_TEST(told(view, start + 100ms).locked);
    view.set_lock(lock_kind::logind, true);
    view.set_lock(lock_kind::gnome_screen_saver, std::nullopt);
    BOOST_TEST(!view.due(start + 200ms));
    view.set_lock(lock_kind::logind, false);
    BOOST_TEST(!told(view, start + 200ms).locked);
}

BOOST_AUTO_TEST_CASE(full_screen_is_told_when_it_changes) {
    session_view view;
    view.set_input(source_kind::x11, idle_since(start));
    auto now = start;
    BOOST_TEST(!told(view, now).full_screen.has_value());
    for (const auto value : {std::optional(true), std::optional(false), std::optional<bool>()}) {
        view.set_full_screen(value);
        now += node::change_pause;
        BOOST_TEST((told(view, now).full_screen == value));
        BOOST_TEST(!view.due(now + 100ms));
    }
}

BOOST_AUTO_TEST_CASE(what_flickers_is_told_20_times_a_second_and_input_at_once_all_the_same) {
    session_view view;
    view.set_input(source_kind::x11, idle_since(start - 5s));
    told(view, start);
    int reports = 0;
    for (auto now = start; now < start + 1s; now += 1ms) {
        view.set_full_screen(now.time_since_epoch() % 2ms == 0ms);
        if (const auto report = view.due(now)) {
            view.sent(now, *report);
            ++reports;
        }
    }
    BOOST_TEST(reports >= 15);
    BOOST_TEST(reports <= 20);
    view.set_input(source_kind::x11, active());
    BOOST_TEST(view.due(start + 1s).has_value());
    // The last state is told although nothing changes any more.
    told(view, start + 1s);
    view.set_full_screen(std::nullopt);
    BOOST_TEST(!view.due(start + 1s + 49ms));
    BOOST_TEST((view.next_deadline() == start + 1s + 50ms));
    BOOST_TEST(!told(view, start + 1s + 50ms).full_screen.has_value());
}

BOOST_AUTO_TEST_CASE(input_from_the_future_is_input_now) {
    session_view view;
    view.set_input(source_kind::x11, idle_since(start + 5s));
    BOOST_TEST((told(view, start).idle == 0ms));
}

BOOST_AUTO_TEST_SUITE_END()
