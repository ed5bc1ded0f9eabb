// Random signals against what must always hold. The checks here know nothing of the governor's
// state: they look at the configuration, the signals and the allowances alone.

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <iostream>

#include "base/rng.hpp"
#include "tests/unit/node/governor_fixture.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t root_seed = 20261124;

node_config random_config(base::rng& rng) {
    node_config c;
    c.threads = rng.below(2) == 0 ? limit{1.0, {}} : limit{0, 1 + rng.below(6)};
    c.in_use_threads = rng.below(2) == 0 ? limit{0, {}} : limit{0, rng.below(4)};
    c.idle_after = std::chrono::seconds(1 + rng.below(20));
    c.work_on_battery = rng.below(4) == 0;
    c.idle_programs = {"mpv"};
    if (rng.below(3) == 0) BOOST_TEST(c.hours.add("12:01-12:04").has_value());
    return c;
}

/// One step of a walk: each signal changes now and then.
void vary(base::rng& rng, governor_signals& s) {
    const auto sometimes = [&](std::uint64_t n) { return rng.below(n) == 0; };
    if (sometimes(60)) s.since_input = base::duration::zero();
    if (sometimes(300)) s.since_input = sometimes(2) ? std::optional<base::duration>() : 1min;
    if (sometimes(10)) {
        s.foreground_cpu = static_cast<double>(rng.below(60)) / 10 * (sometimes(3) ? 1 : 0.05);
    }
    if (sometimes(200)) s.on_battery = sometimes(2);
    if (sometimes(100)) s.celsius = 70.0 + static_cast<double>(rng.below(25));
    if (sometimes(300)) s.memory_available_bytes = std::uint64_t{rng.below(8192)} << 20;
    if (sometimes(100)) s.memory_stall = static_cast<double>(rng.below(30)) / 100;
    if (sometimes(100)) s.io_stall = static_cast<double>(rng.below(100)) / 100;
    if (sometimes(200)) s.full_screen = sometimes(2);
    if (sometimes(200)) s.screen_locked = sometimes(2);
    if (sometimes(200)) s.metered = sometimes(2);
    if (sometimes(200)) s.preparing_for_sleep = sometimes(3);
    if (sometimes(200)) {
        s.listed_program = sometimes(2) ? std::optional<std::string>("mpv") : std::nullopt;
    }
    // What a broken probe could say.
    if (sometimes(500)) s.foreground_cpu = sometimes(2) ? std::nan("") : -3;
    if (sometimes(500)) s.celsius = std::nan("");
}

bool has(const allowance& a, reason_code code) {
    return std::find(a.all.begin(), a.all.end(), code) != a.all.end();
}

/// What the signals of this very reading demand, whatever was before.
void check_at_once(const governor_bench& b, const owner_wish& wish, const allowance& a) {
    const auto& s = b.signals;
    const auto limit = b.config.threads.of(s.processors, 1);
    const auto in_use = b.config.in_use_threads.of(s.processors, 0);
    BOOST_TEST(a.threads <= limit);
    const bool input = s.since_input && *s.since_input < b.config.idle_after && !s.screen_locked;
    if (input) {
        BOOST_TEST(has(a, reason_code::user_active));
        BOOST_TEST(a.threads <= in_use);
        BOOST_TEST(a.in_use);
    }
    if (s.listed_program || (s.full_screen.value_or(false) && !s.screen_locked)) {
        BOOST_TEST(a.threads <= in_use);
    }
    if (wish.paused) BOOST_TEST(a.threads == 0u);
    if (wish.draining) BOOST_TEST(has(a, reason_code::draining));
    if (s.preparing_for_sleep) BOOST_TEST(a.threads == 0u);
    if (s.on_battery.value_or(false) && !b.config.work_on_battery) BOOST_TEST(a.threads == 0u);
    if (!b.config.hours.open(b.at.weekday, b.at.local_minutes)) BOOST_TEST(a.threads == 0u);
    if (s.celsius && *s.celsius >= b.config.celsius_max + 5) BOOST_TEST(a.threads == 0u);
    if (s.metered.value_or(false)) BOOST_TEST(a.upload_bytes_per_second == 8'000u);
    if (!b.protection && (input || s.listed_program)) BOOST_TEST(a.threads == 0u);
}

/// The reason shown is true now, or was within the time it is held.
struct truth {
    std::map<reason_code, base::time_point> seen;
    void note(const governor_bench& b, const owner_wish& wish, const governor_signals& s) {
        const auto now = b.at.now;
        if (wish.paused) seen[reason_code::paused_by_owner] = now;
        if (wish.draining) seen[reason_code::draining] = now;
        if (s.preparing_for_sleep) seen[reason_code::sleep] = now;
        if (!b.config.hours.open(b.at.weekday, b.at.local_minutes)) {
            seen[reason_code::schedule] = now;
        }
        if (s.on_battery.value_or(false)) seen[reason_code::on_battery] = now;
        if (s.celsius && *s.celsius >= b.config.celsius_max) seen[reason_code::temperature] = now;
        if (s.memory_stall > 0 ||
            s.memory_available_bytes.value_or(s.memory_bytes) < std::uint64_t{1} << 30) {
            seen[reason_code::memory_pressure] = now;
        }
        if (s.listed_program) seen[reason_code::program_running] = now;
        if (s.full_screen.value_or(false)) seen[reason_code::full_screen] = now;
        if (s.since_input) seen[reason_code::user_active] = now - *s.since_input;
        if (s.foreground_cpu > 0.25) seen[reason_code::cpu_busy] = now;
        if (s.io_stall > 0.1) seen[reason_code::io_pressure] = now;
        if (s.metered.value_or(false)) seen[reason_code::metered] = now;
    }
    /// Some time during `held` before now.
    void check(const governor_bench& b, reason_code code) const {
        using enum reason_code;
        if (code == unprotected) BOOST_TEST(!b.protection);
        if (code == idle || code == unprotected) return;
        base::duration held = 5s;
        if (code == paused_by_owner || code == draining || code == schedule) held = 0s;
        if (code == user_active) held = b.config.idle_after;
        if (code == memory_pressure) held = 16min;
        if (code == temperature) held = 1h;  // one thread every 15 s, while it is cool
        BOOST_TEST_CONTEXT(reason_code_name(code)) {
            BOOST_TEST_REQUIRE(seen.contains(code));
            BOOST_TEST((b.at.now - seen.at(code) <= held + 1s));
        }
    }
};

BOOST_AUTO_TEST_CASE(random_signals_never_break_the_rules) {
    std::cout << "seed " << root_seed << "; repeat: property_node\n";
    std::size_t turns_in_all = 0;
    for (std::uint64_t round = 0; round < 60; ++round) {
        base::rng rng(root_seed + round);
        governor_bench b(random_config(rng), rng.below(4) != 0);
        b.signals.processors = 1 + static_cast<unsigned>(rng.below(8));
        owner_wish wish;
        truth known;
        std::vector<base::time_point> turns;
        int direction = 0;
        unsigned threads = 0;
        std::optional<base::time_point> shrunk;
        const auto follow = [&](unsigned now_threads) {
            const int way = now_threads > threads ? 1 : now_threads < threads ? -1 : 0;
            if (way > 0 && shrunk) BOOST_TEST((b.at.now - *shrunk >= 1s));
            if (way < 0) shrunk = b.at.now;
            if (way != 0 && way != direction) turns.push_back(b.at.now);
            if (way != 0) direction = way;
            threads = now_threads;
        };
        for (int i = 0; i < 4000; ++i) {
            vary(rng, b.signals);
            if (rng.below(300) == 0) {
                wish.paused = rng.below(2) == 0;
                wish.draining = rng.below(4) == 0;
                b.subject.wish(b.at, wish);
                b.subject.check();
                known.note(b, wish, b.signals);
                follow(b.subject.current().threads);
            }
            const auto span = threads > 0 ? 50ms : rng.below(2) == 0 ? 1000ms : 50ms;
            b.at.local_minutes = 12 * 60 + static_cast<unsigned>(b.at.wall.seconds / 60 % 10);
            const auto a = b.step(span);
            known.note(b, wish, b.signals);
            BOOST_TEST_CONTEXT("round " << round << " step " << i << ": " << a.reason) {
                check_at_once(b, wish, a);
                for (const auto code : a.all) known.check(b, code);
                follow(a.threads);
            }
        }
        // Full turns (less and more again) come at less than 1 Hz.
        for (std::size_t i = 2; i < turns.size(); ++i) {
            BOOST_TEST((turns[i] - turns[i - 2] >= 1s));
        }
        turns_in_all += turns.size();
        BOOST_TEST(b.subject.history().size() > 4u);
    }
    // The walk goes somewhere.
    BOOST_TEST(turns_in_all > 400u);
}

BOOST_AUTO_TEST_CASE(a_quiet_machine_gets_all_threads_back_whatever_was_before) {
    for (std::uint64_t round = 0; round < 40; ++round) {
        base::rng rng(root_seed * 3 + round);
        governor_bench b(random_config(rng));
        b.config.hours = {};
        b.subject.configure(b.config);
        for (int i = 0; i < 500; ++i) {
            vary(rng, b.signals);
            b.step(50ms);
        }
        b.signals = governor_bench::quiet();
        // The longest hold is that of memory pressure, 16 min.
        b.run(17min);
        const auto a = b.subject.current();
        BOOST_TEST((a.code == reason_code::idle), a.reason);
        BOOST_TEST(a.threads == b.config.threads.of(4, 1));
        BOOST_TEST(a.all.size() == 1u);
    }
}

}  // namespace
}  // namespace tequio::node
