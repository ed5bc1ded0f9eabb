#include "node/governor/release_ladder.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>

#include "base/rng.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

/// What was done, as words: tables read better so.
std::string word(const ladder_effect& e) {
    if (const auto* gate = std::get_if<set_gate>(&e)) {
        return "gate " + std::to_string(gate->threads);
    }
    if (std::holds_alternative<freeze_workers>(e)) return "freeze";
    if (std::holds_alternative<thaw_workers>(e)) return "thaw";
    if (const auto* trickle = std::get_if<set_trickle>(&e)) {
        return trickle->on ? "trickle" : "full rate";
    }
    if (const auto* told = std::get_if<tell_crews>(&e)) {
        return "crew " + std::string(release_level_name(told->level));
    }
    if (std::holds_alternative<hand_back_memory>(e)) return "memory";
    if (std::holds_alternative<release_states>(e)) return "states";
    switch (std::get<end_workers>(e).why) {
        case end_cause::nothing_in_hand:
            return "end: nothing in hand";
        case end_cause::over_limit:
            return "end: over the limit";
        default:
            return "end: memory short";
    }
}

constexpr std::uint64_t mib = 1 << 20;

/// A ladder on a clock of its own, whose workers use `use` of a core. They hold `worker` bytes, of
/// which `stays` are left once they have handed memory back, and the daemon holds `states`.
struct driven {
    release_ladder ladder;
    ladder_facts facts;
    base::time_point now{};
    double use = 0;
    std::uint64_t worker = 40 * mib, stays = 20 * mib, states = 10 * mib;
    bool handed_back = false;
    std::optional<base::time_point> dies;  ///< a killed worker needs a moment
    int judged = 0;                        ///< how often it was asked what is held

    driven() {
        facts.threads = 4;
        facts.running = facts.busy = true;
        facts.keep_bytes = 100 * mib;
        facts.held_bytes = [this] {
            ++judged;
            return (!facts.running ? 0 : handed_back ? stays : worker) + states;
        };
    }
    driven(const driven&) = delete;

    std::vector<std::string> look() {
        std::vector<ladder_effect> out;
        ladder.handle(now, facts, out);
        ladder.check();
        std::vector<std::string> words;
        for (const auto& e : out) {
            words.push_back(word(e));
            if (std::holds_alternative<hand_back_memory>(e)) handed_back = true;
            if (std::holds_alternative<end_workers>(e)) dies = now + 120ms;
            if (std::holds_alternative<release_states>(e)) states = 0;
        }
        return words;
    }
    /// Everything that happens until `later`, with the time (ms since `from`) at which it does.
    std::vector<std::string> run(base::duration later) {
        const auto from = now;
        std::vector<std::string> words;
        while (true) {
            for (const auto& w : look()) {
                words.push_back(std::to_string((now - from) / 1ms) + " " + w);
            }
            if (now >= from + later) return words;
            pass(std::min(ladder.next_deadline(), from + later) - now);
        }
    }
    void pass(base::duration time) {
        now += time;
        if (dies && now >= *dies) {
            facts.running = facts.busy = false;
            dies.reset();
        }
        const bool stands = ladder.frozen() || ladder.level() == release_level::ended;
        if (!stands)
            facts.cpu += std::chrono::nanoseconds(
                static_cast<std::int64_t>(use * static_cast<double>(time.count())));
    }
};
using words = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(release_ladder_steps)

BOOST_AUTO_TEST_CASE(nothing_happens_while_threads_may_compute) {
    driven d;
    BOOST_TEST(d.look() == words{"gate 4"}, boost::test_tools::per_element());
    d.use = 4;
    BOOST_TEST(d.run(600s).empty());
    d.facts.threads = 1;  // fewer is the gate's business alone
    BOOST_TEST(d.look() == words{"gate 1"}, boost::test_tools::per_element());
    BOOST_TEST(d.run(600s).empty());
}

BOOST_AUTO_TEST_CASE(a_worker_that_fits_stays_parked_however_long_the_pause) {
    driven d;
    d.look();
    d.facts.threads = 0;
    const words expected{"0 gate 0", "250 crew suspended", "1000 trickle", "10000 memory"};
    BOOST_TEST(d.run(72h) == expected, boost::test_tools::per_element());
    BOOST_TEST((d.ladder.next_deadline() == base::time_point::max()));
    BOOST_TEST(d.judged == 1);
    d.facts.threads = 2;
    const words back{"full rate", "crew working", "gate 2"};
    BOOST_TEST(d.look() == back, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(one_that_holds_too_much_after_paging_out_ends) {
    driven d;
    d.stays = 91 * mib;  // and the states: one more than may stay
    d.look();
    d.facts.threads = 0;
    const words expected{"0 gate 0",     "250 crew suspended", "1000 trickle",
                         "10000 memory", "12000 crew ended",   "12000 end: over the limit"};
    BOOST_TEST(d.run(72h) == expected, boost::test_tools::per_element());
    BOOST_TEST((d.ladder.next_deadline() == base::time_point::max()));
    BOOST_TEST(d.states == 10 * mib);  // what fits stays
}

BOOST_AUTO_TEST_CASE(one_that_fits_once_it_has_paged_out_stays) {
    driven d;
    d.worker = 5000 * mib;
    d.stays = 90 * mib;  // and the states: all that may stay
    d.look();
    d.facts.threads = 0;
    d.run(72h);
    BOOST_TEST((d.ladder.level() == release_level::handed_back));
}

BOOST_AUTO_TEST_CASE(one_whose_memory_still_falls_is_waited_for) {
    for (const bool fits_in_the_end : {true, false}) {
        driven d;
        const auto begin = d.now;
        d.facts.held_bytes = [&d, begin, fits_in_the_end] {
            const auto seconds = static_cast<std::uint64_t>((d.now - begin) / 1s);
            const auto floor = (fits_in_the_end ? 100 : 200) * mib;
            return std::max(floor, 4000 * mib - std::min<std::uint64_t>(seconds * 100, 4000) * mib);
        };
        d.look();
        d.facts.threads = 0;
        const auto said = d.run(600s);
        BOOST_TEST(d.judged == 0);
        const auto end = fits_in_the_end ? "10000 memory" : "39000 end: over the limit";
        BOOST_TEST(std::ranges::count(said, end) == 1);
        BOOST_TEST((d.ladder.level() == release_level::ended) == !fits_in_the_end);
    }
}

BOOST_AUTO_TEST_CASE(states_that_do_not_fit_go_once_the_worker_has_gone) {
    driven d;
    d.states = 101 * mib;
    d.look();
    d.facts.threads = 0;
    d.run(10900ms);
    const words expected{"1100 crew ended", "1100 end: over the limit", "1250 states"};
    BOOST_TEST(d.run(72h) == expected, boost::test_tools::per_element());
    BOOST_TEST(d.states == 0u);
}

BOOST_AUTO_TEST_CASE(a_lower_limit_is_judged_anew_and_a_higher_one_ends_nothing) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.run(600s);
    d.facts.keep_bytes = 200 * mib;
    BOOST_TEST(d.run(600s).empty());
    d.facts.keep_bytes = 5 * mib;
    const words expected{"1000 crew ended", "1000 end: over the limit", "1150 states"};
    BOOST_TEST(d.run(600s) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_worker_that_goes_on_is_frozen_after_a_tenth_of_a_second) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.use = 0.05;
    BOOST_TEST((d.run(900ms) == words{"0 gate 0", "100 freeze", "250 crew suspended"}));
    BOOST_TEST(d.ladder.frozen());
    d.facts.threads = 2;
    BOOST_TEST((d.look() == words{"thaw", "crew working", "gate 2"}));
}

BOOST_AUTO_TEST_CASE(threads_that_take_their_time_to_park_are_not_frozen) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.look();
    d.facts.cpu += 40ms;  // of the first 50
    BOOST_TEST((d.run(900ms) == words{"250 crew suspended"}));
}

BOOST_AUTO_TEST_CASE(one_that_begins_again_later_is_frozen_too) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.run(3s);
    d.use = 0.5;
    d.pass(1s);
    BOOST_TEST((d.look() == words{"freeze"}));
}

BOOST_AUTO_TEST_CASE(a_frozen_worker_is_thawed_to_hand_its_memory_back) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.use = 0.9;
    const words expected{"0 gate 0",   "100 freeze",   "250 crew suspended", "1000 trickle",
                         "10000 thaw", "10000 memory", "11050 freeze"};
    BOOST_TEST(d.run(600s) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_worker_with_nothing_in_hand_ends_instead_of_paging_out) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.facts.busy = false;
    const words expected{"0 gate 0",     "250 crew suspended", "1000 trickle",
                         "10000 memory", "10000 crew ended",   "10000 end: nothing in hand"};
    BOOST_TEST(d.run(600s) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(memory_pressure_ends_the_worker_at_once_and_takes_the_states) {
    for (const auto after : {0ms, 500ms, 5000ms, 30000ms, 7200000ms}) {
        driven d;
        d.look();
        d.facts.threads = 0;
        d.run(after);
        d.facts.memory_short = true;
        const auto said = d.look();
        BOOST_REQUIRE(said.size() >= 3u);
        const words end{"crew ended", "end: memory short", "states"};
        BOOST_TEST((words(said.end() - 3, said.end()) == end));
        BOOST_TEST((d.ladder.level() == release_level::ended));
        BOOST_TEST(d.run(600s).empty());
    }
}

BOOST_AUTO_TEST_CASE(memory_pressure_after_the_worker_has_gone_takes_the_states) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.facts.busy = false;
    d.run(600s);
    BOOST_TEST(d.states == 10 * mib);
    d.facts.memory_short = true;
    BOOST_TEST((d.look() == words{"states"}));
}

BOOST_AUTO_TEST_CASE(before_sleep_a_worker_is_frozen_and_goes_on_afterwards) {
    for (const auto after : {0ms, 500ms, 5000ms, 30000ms}) {
        driven d;
        d.look();
        d.facts.threads = 0;
        d.run(after);
        d.facts.sleep = true;
        BOOST_TEST(d.look().back() == "freeze");
        BOOST_TEST(d.ladder.frozen());
        BOOST_TEST(d.run(20s).empty());  // awake, and the hold of the reason not over
        d.facts.sleep = false;
        d.facts.threads = 4;
        const words back{"thaw", "full rate", "crew working", "gate 4"};
        BOOST_TEST(d.look() == back, boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(a_worker_that_waits_on_after_sleep_pages_out_then) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.facts.sleep = true;
    const words asleep{"0 gate 0", "0 crew suspended", "0 trickle", "0 freeze"};
    BOOST_TEST(d.run(30s) == asleep, boost::test_tools::per_element());
    d.facts.sleep = false;
    BOOST_TEST((d.run(600s) == words{"0 thaw", "0 memory"}));
}

BOOST_AUTO_TEST_CASE(sleep_has_no_room_for_a_worker_that_holds_too_much) {
    driven d;
    d.worker = 91 * mib;
    d.stays = 0;
    d.look();
    d.facts.threads = 0;
    d.facts.sleep = true;
    const words expected{"0 gate 0", "0 crew suspended", "0 trickle",
                         "0 freeze", "0 crew ended",     "0 end: over the limit"};
    BOOST_TEST(d.run(600s) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_way_back_undoes_what_was_done_and_no_more) {
    struct row {
        base::duration stay;
        words back;
    };
    const std::vector<row> table{
        {200ms, {"gate 3"}},
        {500ms, {"crew working", "gate 3"}},
        {2s, {"full rate", "crew working", "gate 3"}},
        {20s, {"full rate", "crew working", "gate 3"}},
        {90s, {"full rate", "crew working", "gate 3"}},
    };
    for (const auto& r : table) {
        driven d;
        d.look();
        d.facts.threads = 0;
        d.run(r.stay);
        d.facts.threads = 3;
        BOOST_TEST(d.look() == r.back, boost::test_tools::per_element());
        // And the next stay begins from the foot of the ladder.
        d.facts.threads = 0;
        BOOST_TEST((d.run(200ms) == words{"0 gate 0"}));
    }
}

BOOST_AUTO_TEST_CASE(a_node_that_starts_while_its_machine_is_in_use_begins_parked) {
    driven d;
    d.facts.threads = 0;
    d.facts.running = d.facts.busy = false;
    BOOST_TEST((d.look() == words{"gate 0"}));
    BOOST_TEST((d.ladder.level() == release_level::parked));
}

BOOST_AUTO_TEST_CASE(random_owners_never_break_an_invariant) {
    base::rng rng(7);
    driven d;
    for (int i = 0; i < 20000; ++i) {
        if (rng.chance(0.1)) d.facts.threads = static_cast<unsigned>(rng.below(3));
        if (rng.chance(0.02)) d.facts.memory_short = !d.facts.memory_short;
        if (rng.chance(0.02)) d.facts.sleep = !d.facts.sleep;
        if (rng.chance(0.02)) d.facts.keep_bytes = rng.below(60) * mib;
        if (rng.chance(0.05)) d.states = rng.below(60) * mib;
        if (rng.chance(0.2)) d.facts.running = true;
        if (rng.chance(0.1)) d.facts.busy = !d.facts.busy;
        if (rng.chance(0.1)) d.use = static_cast<double>(rng.below(100)) / 100;
        d.pass(rng.between(1ms, 2s));
        const auto before = d.ladder.level();
        d.look();
        BOOST_TEST((d.ladder.next_deadline() > d.now));
        // Need is the only thing that ends what is in hand.
        const bool needed = d.facts.memory_short || d.facts.sleep || !d.facts.busy;
        const bool fits = d.worker + d.states <= d.facts.keep_bytes;
        const bool ended =
            d.ladder.level() == release_level::ended && before < release_level::ended;
        BOOST_TEST((!ended || needed || !fits));
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
