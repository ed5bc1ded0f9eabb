#include "node/governor/release_ladder.hpp"

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
    return std::holds_alternative<hand_back_memory>(e) ? "memory" : "end";
}

/// A ladder on a clock of its own, whose workers use `use` of a core.
struct driven {
    release_ladder ladder;
    ladder_facts facts{.threads = 4, .running = true, .busy = true};
    base::time_point now{};
    double use = 0;

    std::vector<std::string> look() {
        std::vector<ladder_effect> out;
        ladder.handle(now, facts, out);
        ladder.check();
        std::vector<std::string> words;
        for (const auto& e : out) words.push_back(word(e));
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

BOOST_AUTO_TEST_CASE(each_step_comes_at_its_time) {
    driven d;
    d.look();
    d.facts.threads = 0;
    const words expected{"0 gate 0",     "1000 trickle",     "1000 crew suspended",
                         "10000 memory", "60000 crew ended", "60000 end"};
    BOOST_TEST(d.run(3600s) == expected, boost::test_tools::per_element());
    BOOST_TEST((d.ladder.next_deadline() == base::time_point::max()));
}

BOOST_AUTO_TEST_CASE(a_worker_that_goes_on_is_frozen_after_a_tenth_of_a_second) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.use = 0.05;
    BOOST_TEST((d.run(900ms) == words{"0 gate 0", "100 freeze"}));
    BOOST_TEST(d.ladder.frozen());
    d.facts.threads = 2;
    BOOST_TEST((d.look() == words{"thaw", "gate 2"}));
}

BOOST_AUTO_TEST_CASE(threads_that_take_their_time_to_park_are_not_frozen) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.look();
    d.facts.cpu += 40ms;  // of the first 50
    BOOST_TEST(d.run(900ms).empty());
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
    const words expected{"0 gate 0",   "100 freeze",   "1000 trickle", "1000 crew suspended",
                         "10000 thaw", "10000 memory", "11050 freeze", "60000 crew ended",
                         "60000 end"};
    BOOST_TEST(d.run(61s) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_worker_with_nothing_in_hand_ends_instead_of_paging_out) {
    driven d;
    d.look();
    d.facts.threads = 0;
    d.facts.busy = false;
    const words expected{"0 gate 0",     "1000 trickle",     "1000 crew suspended",
                         "10000 memory", "10000 crew ended", "10000 end"};
    BOOST_TEST(d.run(61s) == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(memory_pressure_and_sleep_end_the_worker_at_once) {
    for (const auto after : {0ms, 500ms, 5000ms, 30000ms}) {
        driven d;
        d.look();
        d.facts.threads = 0;
        d.run(after);
        d.facts.urgent = true;
        const auto said = d.look();
        BOOST_REQUIRE(said.size() >= 2u);
        BOOST_TEST(said.back() == "end");
        BOOST_TEST(said[said.size() - 2] == "crew ended");
        BOOST_TEST((d.ladder.level() == release_level::ended));
    }
}

BOOST_AUTO_TEST_CASE(the_way_back_undoes_what_was_done_and_no_more) {
    struct row {
        base::duration stay;
        words back;
    };
    const std::vector<row> table{
        {500ms, {"gate 3"}},
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
        BOOST_TEST((d.run(900ms) == words{"0 gate 0"}));
    }
}

BOOST_AUTO_TEST_CASE(a_node_that_starts_while_its_machine_is_in_use_begins_parked) {
    driven d;
    d.facts = {};
    BOOST_TEST((d.look() == words{"gate 0"}));
    BOOST_TEST((d.ladder.level() == release_level::parked));
}

BOOST_AUTO_TEST_CASE(random_owners_never_break_an_invariant) {
    base::rng rng(7);
    driven d;
    for (int i = 0; i < 20000; ++i) {
        if (rng.chance(0.1)) d.facts.threads = static_cast<unsigned>(rng.below(3));
        if (rng.chance(0.02)) d.facts.urgent = !d.facts.urgent;
        if (rng.chance(0.1)) d.facts.busy = !d.facts.busy;
        if (rng.chance(0.1)) d.use = static_cast<double>(rng.below(100)) / 100;
        d.pass(rng.between(1ms, 2s));
        d.look();
        BOOST_TEST((d.ladder.next_deadline() > d.now));
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
