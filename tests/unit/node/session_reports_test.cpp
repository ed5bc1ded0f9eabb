// Several sessions report to one daemon, some of them lying: what is kept of whom, and what is
// believed of it.

#include "node/governor/session_reports.hpp"

#include <boost/test/unit_test.hpp>

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

constexpr base::time_point reports_start{1h};

agent_report report(std::chrono::milliseconds idle, bool locked = false,
                    std::optional<bool> full_screen = {}) {
    return {"x11", idle, locked, full_screen};
}

session_input session(base::duration idle, bool trusted, bool locked = false,
                      std::optional<bool> full_screen = {}) {
    return {trusted ? "wayland" : "x11", idle, 0s, locked, full_screen, trusted};
}

idle_evidence evidence(std::vector<session_input> agents) {
    idle_evidence out;
    out.agents = std::move(agents);
    return out;
}

BOOST_AUTO_TEST_SUITE(session_reports_suite)

BOOST_AUTO_TEST_CASE(each_process_has_its_last_word_until_it_is_stale) {
    session_reports r;
    r.take(reports_start, {1000, 5, true}, report(7s));
    r.take(reports_start + 1s, {1000, 5, true}, report(0s));
    r.take(reports_start + 2s, {1001, 6, false}, report(9s));
    auto heard = r.fresh(reports_start + 3s);
    BOOST_REQUIRE(heard.size() == 2u);
    BOOST_TEST((heard[0].idle == 0s && heard[0].heard_ago == 2s && heard[0].trusted));
    BOOST_TEST((heard[1].idle == 9s && heard[1].heard_ago == 1s && !heard[1].trusted));
    heard = r.fresh(reports_start + 1s + agent_fresh_max + 1ms);
    BOOST_REQUIRE(heard.size() == 1u);
    BOOST_TEST((heard[0].idle == 9s));
    BOOST_TEST(r.fresh(reports_start + 1h).empty());
}

BOOST_AUTO_TEST_CASE(one_user_cannot_push_out_the_reports_of_others) {
    session_reports r;
    r.take(reports_start, {1000, 1, true}, report(0s));
    for (std::int32_t process = 2; process < 1000; ++process) {
        r.take(reports_start + 1ms * process, {1001, process, false}, report(1h));
    }
    const auto heard = r.fresh(reports_start + 1s);
    BOOST_TEST(heard.size() == 1u + session_reports::of_user_max);
    BOOST_TEST(heard.front().trusted);
}

BOOST_AUTO_TEST_CASE(what_is_kept_is_bounded_whatever_the_number_of_users) {
    session_reports r;
    for (std::uint32_t user = 0; user < 10 * session_reports::all_max; ++user) {
        r.take(reports_start, {user, 1, false}, report(1h));
    }
    BOOST_TEST(r.fresh(reports_start).size() == session_reports::all_max);
}

// The owner touched a key 30 s ago; idle.after is longer than that.
BOOST_AUTO_TEST_CASE(nobody_takes_back_what_another_session_has_seen) {
    const auto owner = session(30s, true);
    for (const bool trusted : {false, true}) {
        for (const bool locked : {false, true}) {
            for (const auto idle : {base::duration(0s), base::duration(11s), base::duration(1h)}) {
                for (const std::optional<bool> full : {std::optional<bool>(), {false}, {true}}) {
                    auto e = evidence({owner, session(idle, trusted, locked, full)});
                    const auto b = believe(e);
                    BOOST_TEST((b.since_input.value() == std::min<base::duration>(idle, 30s)));
                    // Behind a lock less time has to pass: the owner's session is not locked.
                    BOOST_TEST(!b.locked);
                    std::reverse(e.agents.begin(), e.agents.end());
                    BOOST_TEST((believe(e).since_input == b.since_input));
                    BOOST_TEST(!believe(e).locked);
                }
            }
        }
    }
    auto film = evidence({session(1h, true, false, true), session(1h, false, false, false)});
    BOOST_TEST(believe(film).full_screen.value());
    // A film behind a lock is watched by nobody, and says nothing about the other session.
    film = evidence({session(1h, true, true, true), session(1h, true, false, false)});
    BOOST_TEST(!believe(film).full_screen.value());
}

BOOST_AUTO_TEST_CASE(a_stranger_can_make_the_machine_look_used_and_never_unused) {
    // Alone, and with all that it can say, against everything else that may be known.
    for (const bool locked : {false, true}) {
        for (const auto idle : {base::duration(0s), base::duration(1h)}) {
            auto e = evidence({session(idle, false, locked)});
            e.idle_hint = false;
            e.hint_works = true;
            BOOST_TEST((believe(e).since_input.value() == 0s));
            e.idle_hint = true;
            e.idle_for = 5min;
            BOOST_TEST((believe(e).since_input.value() == std::min<base::duration>(idle, 5min)));
            e.tty_idle = 4s;
            BOOST_TEST((believe(e).since_input.value() == std::min<base::duration>(idle, 4s)));
            BOOST_TEST(!believe(e).locked);
            e.locked = true;  // logind knows
            BOOST_TEST(believe(e).locked);
        }
    }
    // Whoever sits at the machine is believed, as before.
    auto e = evidence({session(1h, true)});
    e.idle_hint = false;
    e.hint_works = true;
    BOOST_TEST((believe(e).since_input.value() == 1h));
    BOOST_TEST(believe(e).source == "wayland");
    // Nobody else to ask: a stranger's word is better than none.
    BOOST_TEST((believe(evidence({session(1h, false)})).since_input.value() == 1h));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
