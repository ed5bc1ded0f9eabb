// Shrinks at once, grows slowly, never flaps.

#include <boost/test/unit_test.hpp>

#include "tests/unit/node/governor_fixture.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(governor_pace_suite)

BOOST_AUTO_TEST_CASE(contention_takes_single_threads_and_gives_them_back_one_by_one) {
    governor_bench b;
    b.run(1s);
    b.signals.foreground_cpu = 1;
    BOOST_TEST(b.run(200ms).threads == 3u);
    b.signals.foreground_cpu = 3.9;
    BOOST_TEST(b.run(200ms).threads == 0u);
    b.signals.foreground_cpu = 0;
    // The second over which the steady use is measured, then 3 s, then one thread every 2.5 s.
    BOOST_TEST(b.run(2900ms).threads == 0u);
    unsigned before = 0;
    std::vector<base::duration> grew;
    const auto start = b.at.now;
    while (b.at.now - start < 15s) {
        const auto threads = b.step(50ms).threads;
        BOOST_TEST(threads >= before);
        BOOST_TEST(threads - before <= 1u);
        if (threads > before) grew.push_back(b.at.now - start);
        before = threads;
    }
    BOOST_TEST(before == 4u);
    BOOST_TEST(grew.size() == 4u);
    for (std::size_t i = 1; i < grew.size(); ++i) BOOST_TEST((grew[i] - grew[i - 1] >= 2400ms));
}

BOOST_AUTO_TEST_CASE(after_a_command_that_ran_for_a_moment_growth_waits_a_second) {
    governor_bench b;
    b.signals.processors = 2;
    b.run(1s);
    const auto moment = [&] {
        b.signals.foreground_cpu = 1;
        BOOST_TEST(b.run(150ms).threads == 1u);
        b.signals.foreground_cpu = 0;
    };
    moment();
    // Seen for the last time while the mean over 200 ms is still above the slack.
    BOOST_TEST(b.run(900ms).threads == 1u);
    BOOST_TEST(b.run(300ms).threads == 2u);
    // Again before five seconds have passed: somebody is at work.
    b.run(2s);
    moment();
    BOOST_TEST(b.run(2900ms).threads == 1u);
    BOOST_TEST(b.run(300ms).threads == 2u);
    // After a quiet time it is a moment again.
    b.run(6s);
    moment();
    BOOST_TEST(b.run(1300ms).threads == 2u);
    // What goes on is none.
    b.run(6s);
    b.signals.foreground_cpu = 1;
    BOOST_TEST(b.run(800ms).threads == 1u);
    b.signals.foreground_cpu = 0;
    BOOST_TEST(b.run(3s).threads == 1u);
    BOOST_TEST(b.run(1s).threads == 2u);
}

BOOST_AUTO_TEST_CASE(moments_over_and_over_cause_rare_turns) {
    governor_bench b;
    b.signals.processors = 2;
    b.run(1s);
    int turns = 0;
    unsigned before = b.subject.current().threads;
    for (int i = 0; i < 20 * 60; ++i) {
        b.signals.foreground_cpu = i % 30 < 4 ? 1 : 0;  // 200 ms of work every 1.5 s
        const auto threads = b.step(50ms).threads;
        turns += threads > before ? 1 : 0;
        before = threads;
    }
    BOOST_TEST(turns <= 1);
}

BOOST_AUTO_TEST_CASE(two_processors_share_with_one_busy_program) {
    governor_bench b;
    b.signals.processors = 2;
    BOOST_TEST(b.run(1s).threads == 2u);
    b.signals.foreground_cpu = 1;
    BOOST_TEST(b.run(200ms).threads == 1u);
    BOOST_TEST(b.run(10s).threads == 1u);  // a busy loop beside a desktop's hum
    b.signals.foreground_cpu = 1.2;
    BOOST_TEST(b.run(10s).threads == 1u);
    b.signals.foreground_cpu = 1.9;  // a parallel compile
    BOOST_TEST(b.run(200ms).threads == 0u);
    b.signals.foreground_cpu = 1;  // it links
    BOOST_TEST(b.run(2900ms).threads == 0u);
    BOOST_TEST(b.run(2s).threads == 1u);
}

BOOST_AUTO_TEST_CASE(bursts_and_hum_take_nothing) {
    governor_bench b;
    b.signals.processors = 2;
    b.run(1s);
    for (int i = 0; i < 100; ++i) {
        b.signals.foreground_cpu = i % 20 < 2 ? 0.8 : 0.05;  // 80 ms of work each second
        BOOST_TEST(b.step(50ms).threads == 2u);
    }
    b.signals.foreground_cpu = 0.8;  // one that goes on
    BOOST_TEST(b.run(200ms).threads == 1u);
}

BOOST_AUTO_TEST_CASE(input_holds_for_idle_after_and_then_all_comes_back) {
    governor_bench b;
    b.run(1s);
    b.signals.since_input = 0s;
    BOOST_TEST(b.step(50ms).threads == 0u);
    BOOST_TEST(b.run(119900ms).threads == 0u);
    // Two minutes without a busy processor are quiet enough for every step.
    BOOST_TEST(b.run(200ms).threads == 4u);
}

BOOST_AUTO_TEST_CASE(growth_waits_a_second_after_a_shrink) {
    governor_bench b;
    b.run(1s);
    b.subject.wish(b.at, {true, {}, false});
    b.subject.wish(b.at, {});
    BOOST_TEST(b.subject.current().threads == 0u);
    BOOST_TEST(b.run(950ms).threads == 0u);
    BOOST_TEST(b.run(100ms).threads == 4u);
}

BOOST_AUTO_TEST_CASE(a_share_of_a_big_machine_is_not_taken_by_its_other_users) {
    governor_bench b;
    b.signals.processors = 2;
    b.signals.processors_watched = 64;
    b.signals.foreground_cpu = 32;
    BOOST_TEST(b.run(3s).threads == 2u);
    b.signals.foreground_cpu = 63;
    BOOST_TEST(b.run(1s).threads == 1u);
}

BOOST_AUTO_TEST_CASE(heat_takes_threads_one_by_one_and_gives_them_back_below_5_degrees) {
    governor_bench b;
    b.run(1s);
    b.signals.celsius = 86;
    BOOST_TEST(b.step(50ms).threads == 3u);
    BOOST_TEST((b.subject.current().code == reason_code::temperature));
    BOOST_TEST(b.run(2900ms).threads == 3u);
    BOOST_TEST(b.run(200ms).threads == 2u);
    b.signals.celsius = 82;  // neither hot nor cool
    BOOST_TEST(b.run(120s).threads == 2u);
    b.signals.celsius = 79;
    BOOST_TEST(b.run(1s).threads == 3u);
    BOOST_TEST(b.run(13s).threads == 3u);
    BOOST_TEST(b.run(2s).threads == 4u);
    BOOST_TEST((b.subject.current().code == reason_code::idle));
    b.signals.celsius = 95;
    BOOST_TEST(b.step(50ms).threads == 0u);
}

BOOST_AUTO_TEST_CASE(readings_are_due_often_while_threads_run) {
    governor_bench b;
    BOOST_TEST((b.subject.next_deadline() == b.at.now));
    b.read();
    BOOST_TEST((b.subject.next_deadline() - b.at.now == 50ms));
    b.signals.since_input = 0s;
    b.step(50ms);
    BOOST_TEST((b.subject.next_deadline() - b.at.now == 1s));
}

BOOST_AUTO_TEST_CASE(no_thread_before_the_first_reading) {
    governor_bench b;
    BOOST_TEST(b.subject.current().threads == 0u);
    BOOST_TEST(!b.subject.current().reason.empty());
}

BOOST_AUTO_TEST_CASE(a_reload_to_fewer_threads_counts_at_the_next_reading) {
    governor_bench b;
    b.run(1s);
    b.config.threads = {0, 1};
    b.subject.configure(b.config);
    BOOST_TEST(b.step(50ms).threads == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
