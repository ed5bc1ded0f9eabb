// A table: every reason, what it leaves, what it says, and how it ends.

#include <boost/test/unit_test.hpp>
#include <functional>
#include <set>

#include "tests/unit/node/governor_fixture.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

struct reason_case {
    reason_code code;
    const char* name;
    unsigned threads;   ///< of 4 that it leaves
    const char* words;  ///< in its line
    std::function<void(governor_bench&)> begin;
    std::function<void(governor_bench&)> end;
    base::duration held;  ///< how long it goes on after `end`
    bool in_use = false;
};

void wish(governor_bench& b, bool paused, bool draining) {
    b.subject.wish(b.at, {paused, {}, draining});
}

const std::vector<reason_case>& reasons() {
    static const std::vector<reason_case> table{
        {reason_code::paused_by_owner, "paused_by_owner", 0, "paused by its owner",
         [](auto& b) { wish(b, true, false); }, [](auto& b) { wish(b, false, false); }, 0s},
        {reason_code::draining, "draining", 4, "takes no more; 4 of 4 threads",
         [](auto& b) { wish(b, false, true); }, [](auto& b) { wish(b, false, false); }, 0s},
        {reason_code::sleep, "sleep", 0, "about to sleep",
         [](auto& b) { b.signals.preparing_for_sleep = true; },
         [](auto& b) { b.signals.preparing_for_sleep = false; }, 3s},
        {reason_code::schedule, "schedule", 0, "(22:00-07:00)",
         [](auto& b) {
             BOOST_TEST(b.config.hours.add("22:00-07:00").has_value());
             b.subject.configure(b.config);
         },
         [](auto& b) { b.at.local_minutes = 22 * 60; }, 0s},
        {reason_code::on_battery, "on_battery", 0, "power.on_battery",
         [](auto& b) { b.signals.on_battery = true; },
         [](auto& b) { b.signals.on_battery = false; }, 3s},
        {reason_code::temperature, "temperature", 0, "91 C at the processor",
         [](auto& b) { b.signals.celsius = 91; }, [](auto& b) { b.signals.celsius.reset(); }, 0s},
        {reason_code::memory_pressure, "memory_pressure", 0, "memory",
         [](auto& b) { b.signals.memory_available_bytes = std::uint64_t{100} << 20; },
         [](auto& b) { b.signals.memory_available_bytes = std::uint64_t{6} << 30; }, 60s},
        {reason_code::program_running, "program_running", 0, "mpv runs (idle.programs)",
         [](auto& b) {
             b.config.idle_programs = {"mpv"};
             b.subject.configure(b.config);
             b.signals.listed_program = "mpv";
         },
         [](auto& b) { b.signals.listed_program.reset(); }, 3s, true},
        {reason_code::full_screen, "full_screen", 0, "fills the screen",
         [](auto& b) { b.signals.full_screen = true; },
         [](auto& b) { b.signals.full_screen = false; }, 3s, true},
        {reason_code::user_active, "user_active", 0, "input seen by x11",
         [](auto& b) { b.signals.since_input = 0s; }, [](auto&) {}, 120s, true},
        {reason_code::cpu_busy, "cpu_busy", 2, "others use 2 of 4 processors",
         [](auto& b) { b.signals.foreground_cpu = 2; },
         [](auto& b) { b.signals.foreground_cpu = 0; }, 4s},
        {reason_code::io_pressure, "io_pressure", 4, "wait for disks",
         [](auto& b) { b.signals.io_stall = 0.9; }, [](auto& b) { b.signals.io_stall = 0; }, 4s},
        {reason_code::metered, "metered", 4, "metered", [](auto& b) { b.signals.metered = true; },
         [](auto& b) { b.signals.metered = false; }, 3s},
    };
    return table;
}

BOOST_AUTO_TEST_SUITE(governor_reasons_suite)

BOOST_AUTO_TEST_CASE(each_reason_takes_what_it_says_at_once_and_ends) {
    for (const auto& r : reasons()) {
        BOOST_TEST_CONTEXT(r.name) {
            governor_bench b;
            BOOST_TEST(b.run(3s).threads == 4u);
            BOOST_TEST((b.subject.current().code == reason_code::idle));
            r.begin(b);
            // One reading; what is measured over time takes that time.
            const auto a = b.step(r.code == reason_code::io_pressure ? 1s
                                  : r.code == reason_code::cpu_busy  ? 200ms
                                                                     : 100ms);
            BOOST_TEST((a.code == r.code));
            BOOST_TEST(reason_code_name(a.code) == r.name);
            BOOST_TEST(a.threads == r.threads);
            BOOST_TEST(a.in_use == r.in_use);
            BOOST_TEST(a.reason.find(r.words) != std::string::npos, a.reason);
            BOOST_TEST(a.since.seconds >= b.at.wall.seconds - 1);
            BOOST_TEST(b.subject.history().back().reason == a.reason);
            r.end(b);
            if (r.held > 100ms) {
                BOOST_TEST((b.run(r.held - 150ms - (r.held == 4s ? 1s : 0s)).code == r.code));
            }
            BOOST_TEST((b.run(300ms + (r.held == 4s ? 1s : 0s)).code == reason_code::idle));
            BOOST_TEST(b.run(15s).threads == 4u);
        }
    }
}

BOOST_AUTO_TEST_CASE(every_code_is_in_the_table_or_tested_by_itself) {
    std::set<reason_code> tested{reason_code::idle, reason_code::unprotected};
    std::set<std::string_view> names;
    for (const auto& r : reasons()) tested.insert(r.code);
    for (int i = 0; i <= static_cast<int>(reason_code::idle); ++i) {
        const auto code = static_cast<reason_code>(i);
        BOOST_TEST(tested.contains(code), reason_code_name(code));
        BOOST_TEST(names.insert(reason_code_name(code)).second);
    }
}

BOOST_AUTO_TEST_CASE(the_strongest_reason_is_shown_and_all_are_listed) {
    governor_bench b;
    b.run(3s);
    b.signals.since_input = 0s;
    b.signals.on_battery = true;
    b.signals.metered = true;
    const auto a = b.step(50ms);
    BOOST_TEST((a.code == reason_code::on_battery));
    BOOST_TEST((a.all == std::vector{reason_code::on_battery, reason_code::user_active,
                                     reason_code::metered}));
    BOOST_TEST(a.upload_bytes_per_second == 8'000u);
}

BOOST_AUTO_TEST_CASE(in_use_has_limits_of_its_own) {
    node_config c;
    c.in_use_threads = {0, 2};
    c.in_use_memory = {0.25, {}};
    governor_bench b(c);
    b.run(1s);
    BOOST_TEST(b.subject.current().memory_bytes == std::uint64_t{4} << 30);
    b.signals.since_input = 0s;
    auto a = b.step(50ms);
    BOOST_TEST(a.threads == 2u);
    BOOST_TEST(a.in_use);
    BOOST_TEST(a.memory_bytes == std::uint64_t{2} << 30);
    BOOST_TEST(a.reason == "in use: input seen by x11; 2 of 4 threads");
    // Others' use takes what it needs of the four processors, not of the two threads.
    b.signals.foreground_cpu = 1;
    b.signals.since_input = 0s;
    BOOST_TEST(b.step(100ms).threads == 2u);
    b.signals.foreground_cpu = 3;
    BOOST_TEST(b.run(200ms).threads == 1u);
}

BOOST_AUTO_TEST_CASE(threads_go_on_growing_up_to_the_limit_in_use_while_keys_are_pressed) {
    node_config c;
    c.in_use_threads = {0, 2};
    governor_bench b(c);
    b.subject.wish(b.at, {true, {}, false});
    b.signals.since_input = 0s;
    BOOST_TEST(b.step(50ms).threads == 0u);
    b.subject.wish(b.at, {});
    for (int i = 0; i < 200; ++i) {
        b.signals.since_input = 0s;
        b.step(50ms);
    }
    BOOST_TEST(b.subject.current().threads == 2u);
}

BOOST_AUTO_TEST_CASE(without_protection_nothing_runs_in_use) {
    node_config c;
    c.in_use_threads = {0, 2};
    governor_bench b(c, false);
    BOOST_TEST(b.run(1s).threads == 4u);
    b.signals.since_input = 0s;
    const auto a = b.step(50ms);
    BOOST_TEST((a.code == reason_code::unprotected));
    BOOST_TEST(a.threads == 0u);
    BOOST_TEST(a.reason.find("tequio doctor") != std::string::npos);
    BOOST_TEST((a.all == std::vector{reason_code::unprotected, reason_code::user_active}));
    b.subject.set_protection(true);
    BOOST_TEST((b.run(6s).code == reason_code::user_active));
    BOOST_TEST(b.subject.current().threads == 2u);
}

BOOST_AUTO_TEST_CASE(without_protection_any_contention_takes_all_threads) {
    governor_bench b({}, false);
    b.run(1s);
    b.signals.foreground_cpu = 1;
    const auto a = b.step(200ms);
    BOOST_TEST((a.code == reason_code::unprotected));
    BOOST_TEST(a.threads == 0u);
}

BOOST_AUTO_TEST_CASE(a_pause_ends_by_itself_and_says_when) {
    governor_bench b;
    b.run(1s);
    const base::unix_time until{b.at.wall.seconds + 7200};
    b.subject.wish(b.at, {true, until, false});
    BOOST_TEST(b.subject.current().threads == 0u);
    BOOST_TEST((b.subject.current().until == until));
    BOOST_TEST(b.subject.current().reason == "paused by its owner");
    b.run(2s);
    b.at.wall.seconds += 7200;
    BOOST_TEST((b.step(1s).code == reason_code::idle));
    BOOST_TEST(b.subject.current().threads == 4u);
}

BOOST_AUTO_TEST_CASE(draining_says_what_holds_it_up) {
    governor_bench b;
    b.run(1s);
    b.subject.wish(b.at, {false, {}, true});
    b.signals.since_input = 0s;
    const auto a = b.step(50ms);
    BOOST_TEST((a.code == reason_code::draining));
    BOOST_TEST(a.threads == 0u);
    BOOST_TEST(a.reason.find("input seen by x11; 0 of 4 threads") != std::string::npos, a.reason);
}

BOOST_AUTO_TEST_CASE(until_is_the_end_of_what_ends_by_itself) {
    node_config c;
    BOOST_TEST(c.hours.add("22:00-07:00").has_value());
    governor_bench b(c);
    b.at.wall = {1'700'000'000 / 60 * 60 + 20};
    auto a = b.read();
    BOOST_TEST(a.until.value().seconds == b.at.wall.seconds - 20 + 10 * 3600);
    governor_bench d;
    d.signals.since_input = 30s;
    a = d.read();
    BOOST_TEST(a.until.value().seconds == d.at.wall.seconds + 90);
}

BOOST_AUTO_TEST_CASE(behind_a_locked_screen_idleness_comes_soon) {
    governor_bench b;
    b.signals.screen_locked = true;
    b.signals.full_screen = true;  // a screen saver
    b.signals.since_input = 9s;
    BOOST_TEST((b.read().code == reason_code::user_active));
    BOOST_TEST((b.run(1100ms).code == reason_code::idle));
    BOOST_TEST(b.subject.current().threads == 3u);
    BOOST_TEST(b.run(1s).threads == 4u);
}

BOOST_AUTO_TEST_CASE(others_in_a_control_group_with_a_quota_take_its_processors) {
    governor_bench b;
    b.signals.processors = 2;
    b.signals.processors_watched = 8;
    b.signals.quota = 2.5;
    // Half a processor is beyond what two threads use of the quota, and as much again is slack.
    b.signals.group_foreground = 0.7;
    BOOST_TEST(b.run(3s).threads == 2u);
    b.signals.group_foreground = 1.5;
    auto a = b.run(1s);
    BOOST_TEST(a.threads == 1u);
    BOOST_TEST((a.code == reason_code::cpu_busy));
    BOOST_TEST(a.reason.starts_with("others use 1 of 2 processors of this control group"));
    b.signals.group_foreground = 0;
    BOOST_TEST(b.run(3s).threads == 1u);
    BOOST_TEST(b.run(2s).threads == 2u);
    // What others use elsewhere on the machine leaves more than the quota.
    b.signals.foreground_cpu = 5;
    BOOST_TEST(b.run(1s).threads == 2u);
    b.signals.foreground_cpu = 8;
    BOOST_TEST(b.run(1s).threads == 0u);
}

BOOST_AUTO_TEST_CASE(others_use_leaves_the_threads_that_it_may_not_take) {
    governor_tuning tuning;
    tuning.cpu_busy_leaves = 1;
    governor_bench b({}, true, tuning);
    b.signals.processors = 4;
    BOOST_TEST(b.run(1s).threads == 4u);
    b.signals.foreground_cpu = 2;
    BOOST_TEST(b.run(1s).threads == 2u);
    for (const double used : {3.0, 4.0, 4000.0}) {
        b.signals.foreground_cpu = used;
        BOOST_TEST(b.run(1s).threads == 1u);
    }
    BOOST_TEST((b.subject.current().code == reason_code::cpu_busy));
    b.signals.foreground_cpu = 0;
    BOOST_TEST(b.run(15s).threads == 4u);
}

BOOST_AUTO_TEST_CASE(a_full_control_group_gives_back_what_others_could_not_get) {
    governor_bench b;
    b.signals.processors = 1;
    b.signals.processors_watched = 2;
    b.signals.quota = 1;
    BOOST_TEST(b.run(1s).threads == 1u);
    // Throttled by our own use alone: nobody wants anything.
    b.signals.group_throttled = true;
    BOOST_TEST(b.run(1s).threads == 1u);
    // One thread of others beside ours gets half of one processor.
    b.signals.group_foreground = 0.5;
    BOOST_TEST(b.run(200ms).threads == 0u);
    BOOST_TEST((b.subject.current().code == reason_code::cpu_busy));
    // Without a quota neither counts.
    governor_bench c;
    c.signals.group_foreground = 4;
    c.signals.group_throttled = true;
    BOOST_TEST(c.run(1s).threads == 4u);
}

BOOST_AUTO_TEST_CASE(absent_sources_stop_nothing) {
    governor_bench b;
    governor_signals bare;
    bare.processors = 4;
    b.signals = bare;
    const auto a = b.run(1s);
    BOOST_TEST((a.code == reason_code::idle));
    BOOST_TEST(a.threads == 4u);
    BOOST_TEST(a.reason == "idle, by cpu-only; 4 of 4 threads");
    BOOST_TEST(a.memory_bytes >= std::uint64_t{64} << 20);
}

BOOST_AUTO_TEST_CASE(owners_can_switch_reasons_off) {
    node_config c;
    c.work_on_battery = true;
    c.metered_bits.reset();
    governor_bench b(c);
    b.signals.on_battery = true;
    b.signals.metered = true;
    b.signals.listed_program = "mpv";  // no longer listed
    const auto a = b.run(1s);
    BOOST_TEST((a.code == reason_code::idle));
    BOOST_TEST(a.upload_bytes_per_second == 0u);
}

BOOST_AUTO_TEST_CASE(memory_stalls_count_where_memory_is_scarce) {
    governor_bench b;
    b.run(1s);
    // Our own pages come back after a pause: others have enough.
    b.signals.memory_stall = 0.5;
    BOOST_TEST((b.run(3s).code == reason_code::idle));
    b.signals.memory_available_bytes = std::uint64_t{1} << 30;
    BOOST_TEST((b.step(50ms).code == reason_code::memory_pressure));
}

BOOST_AUTO_TEST_CASE(memory_pressure_that_recurs_holds_twice_as_long) {
    governor_bench b;
    b.run(1s);
    const auto press = [&] {
        b.signals.memory_available_bytes = std::uint64_t{100} << 20;
        b.step(50ms);
        b.signals.memory_available_bytes = std::uint64_t{6} << 30;
    };
    press();
    BOOST_TEST((b.run(59s).code == reason_code::memory_pressure));
    BOOST_TEST((b.run(2s).code == reason_code::idle));
    press();
    BOOST_TEST((b.run(119s).code == reason_code::memory_pressure));
    BOOST_TEST((b.run(2s).code == reason_code::idle));
    b.run(11min);
    press();
    BOOST_TEST((b.run(61s).code == reason_code::idle));
}

BOOST_AUTO_TEST_CASE(history_is_bounded_and_newest_last) {
    governor_bench b;
    for (std::size_t i = 0; i < governor_history_max; ++i) {
        b.subject.wish(b.at, {true, {}, false});
        b.step(1s);
        b.subject.wish(b.at, {});
        b.step(1s);
    }
    BOOST_TEST(b.subject.history().size() == governor_history_max);
    BOOST_TEST(b.subject.history().back().at.seconds >= b.at.wall.seconds - 1);
    BOOST_TEST(b.subject.history().front().at.seconds < b.subject.history().back().at.seconds);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
