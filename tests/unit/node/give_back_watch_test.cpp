#include "node/governor/give_back_watch.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio;
using namespace std::chrono_literals;

namespace {

/// A worker with two threads on a fake clock.
struct machine {
    node::give_back_watch watch;
    base::time_point now{100s};
    base::duration cpu{5s};
    bool running = true;
    bool busy = true;

    std::optional<base::duration> facts(unsigned threads, base::duration later = 0ms,
                                        base::duration used = 0ms) {
        now += later;
        cpu += used;
        node::ladder_facts f;
        f.threads = threads;
        f.running = running;
        f.busy = busy;
        f.cpu = cpu;
        return watch.handle(now, f);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(watching_how_it_is_given_back)

BOOST_AUTO_TEST_CASE(a_worker_that_stops_at_once_took_no_time) {
    machine m;
    BOOST_TEST(!m.facts(2).has_value());
    BOOST_TEST(!m.facts(0, 100ms, 200ms).has_value());
    BOOST_TEST((m.watch.next_deadline() == m.now + 50ms));
    BOOST_TEST(!m.facts(0, 20ms).has_value());
    BOOST_TEST((m.facts(0, 30ms).value() == 0ms));
    BOOST_TEST(!m.facts(0, 50ms).has_value());  // told once
    BOOST_TEST((m.watch.next_deadline() == base::time_point::max()));
}

BOOST_AUTO_TEST_CASE(time_runs_until_the_first_still_span) {
    machine m;
    m.facts(2);
    m.facts(0, 100ms, 200ms);
    BOOST_TEST(!m.facts(0, 50ms, 80ms).has_value());
    BOOST_TEST(!m.facts(0, 50ms, 3ms).has_value());
    BOOST_TEST((m.facts(0, 50ms, 900us).value() == 100ms));
}

BOOST_AUTO_TEST_CASE(nothing_is_given_back_where_nothing_was_computed) {
    machine m;
    m.busy = false;
    m.facts(2);
    BOOST_TEST(!m.facts(0, 100ms).has_value());
    BOOST_TEST(!m.facts(0, 100ms).has_value());
    machine fresh;
    BOOST_TEST(!fresh.facts(0).has_value());
    BOOST_TEST(!fresh.facts(0, 100ms).has_value());
}

BOOST_AUTO_TEST_CASE(an_owner_who_leaves_at_once_leaves_no_time_behind) {
    machine m;
    m.facts(2);
    m.facts(0, 100ms, 200ms);
    BOOST_TEST(!m.facts(1, 20ms, 10ms).has_value());
    BOOST_TEST(!m.facts(1, 100ms, 100ms).has_value());
    // The next giving back is told as ever.
    m.facts(0, 100ms, 100ms);
    BOOST_TEST((m.facts(0, 50ms).value() == 0ms));
}

BOOST_AUTO_TEST_CASE(fewer_threads_are_no_giving_back) {
    machine m;
    m.facts(2);
    BOOST_TEST(!m.facts(1, 100ms, 150ms).has_value());
    BOOST_TEST((m.watch.next_deadline() == base::time_point::max()));
}

BOOST_AUTO_TEST_CASE(the_end_of_the_worker_is_an_end) {
    machine m;
    m.facts(2);
    m.facts(0, 100ms, 200ms);
    m.running = false;
    m.cpu = 0s;
    BOOST_TEST((m.facts(0, 30ms).value() == 30ms));
}

BOOST_AUTO_TEST_SUITE_END()
