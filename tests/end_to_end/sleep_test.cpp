// A machine that goes to sleep, end to end: a real node behind a logind of ours. That a machine
// sleeps is played by stopping the daemon, at the very moment at which logind would: when nobody
// holds sleep back any more.

#include <csignal>
#include <fstream>
#include <iterator>

#include "tests/support/fake_services.hpp"
#include "tests/support/working_node.hpp"

using namespace tequio;
using namespace std::chrono_literals;
using std::chrono::steady_clock;
using tests::becomes;
using tests::working_node;

namespace {

/// logind's InhibitDelayMaxSec: who holds sleep back for longer is not asked.
constexpr auto logind_waits = 5s;
/// Others' normal work on this machine keeps the nodes waiting too; that is no failure.
constexpr auto patience = 60s;

struct with_bus {
    with_bus() { tests::skip_without("dbus-daemon", "dbus-daemon"); }
    tests::test_folder folder;
};

/// The letter of /proc/PID/stat; ' ' when the process is gone.
char state_of(pid_t process) {
    std::ifstream file("/proc/" + std::to_string(process) + "/stat");
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto name_ends = text.rfind(") ");
    return name_ends == std::string::npos ? ' ' : text[name_ends + 2];
}

bool is_lane(const std::string& doing) {
    return doing.starts_with("round ") && doing.find(" lane ") != std::string::npos &&
           !doing.ends_with("parked");
}

/// A node behind a logind, and another beside it, with a job.
struct two_nodes {
    two_nodes(const std::filesystem::path& folder, int rounds, int inner_steps)
        : bus(folder),
          logind(bus.address(), {"org.freedesktop.login1"}),
          sleeper(folder, {.name = "sleeper",
                           .system_bus = bus.address(),
                           .rounds = rounds,
                           .inner_steps = inner_steps}),
          other(folder, {.name = "other", .peer = sleeper.says("listen")}) {
        BOOST_TEST(becomes(5s, [&] { return held() == 1; }));
    }

    int held() { return logind.state().locks_held; }

    /// Once both compute a lane: the machine of the first sleeps, wakes, and its worker goes on.
    void sleeps_for(std::chrono::seconds asleep) {
        const auto self = sleeper.says("node");
        BOOST_REQUIRE_MESSAGE(becomes(patience,
                                      [&] {
                                          return sleeper.worker() != 0 &&
                                                 is_lane(other.sees(self)) &&
                                                 is_lane(other.sees(other.says("node")));
                                      }),
                              sleeper.log() << other.log());
        const auto lane = sleeper.sees(self);
        const auto worker = sleeper.worker();
        BOOST_TEST(worker != 0);
        const auto began = steady_clock::now();
        logind.prepare_for_sleep(true);
        BOOST_REQUIRE(becomes(logind_waits, [&] { return held() == 0; }));
        ::kill(sleeper.daemon(), SIGSTOP);
        const auto took = steady_clock::now() - began;
        BOOST_TEST_MESSAGE("ready to sleep after "
                           << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
                           << " ms, with " << lane << " in hand");
        // A thread of the idle class comes to its stop when it is its turn.
        BOOST_TEST(becomes(patience, [&] { return state_of(worker) == 'T'; }));
        // The word was out before: nothing more can come from a machine that sleeps.
        BOOST_TEST(becomes(1s, [&] { return other.sees(self) == lane + ", parked"; }),
                   other.sees(self));
        BOOST_TEST(!becomes(asleep, [&] { return state_of(worker) != 'T'; }));
        ::kill(sleeper.daemon(), SIGCONT);
        logind.prepare_for_sleep(false);
        BOOST_TEST(becomes(5s, [&] { return held() == 1; }));
        BOOST_TEST(becomes(patience, [&] { return sleeper.computes(); }), sleeper.log());
        BOOST_TEST(sleeper.worker() == worker, "another process: the lane in hand was lost");
    }

    tests::private_bus bus;
    tests::fake_services logind;
    working_node sleeper, other;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(sleeping_machine, with_bus)

BOOST_AUTO_TEST_CASE(gives_its_lane_away_before_it_sleeps_and_goes_on_when_it_wakes) {
    two_nodes nodes(folder.path(), 1000, 100);
    // As long as it would take the others to notice by themselves, or longer.
    nodes.sleeps_for(12s);
    nodes.sleeps_for(1s);
    BOOST_TEST(nodes.logind.state().locks_taken == 3);
}

BOOST_AUTO_TEST_CASE(the_bits_do_not_notice_a_sleep) {
    two_nodes nodes(folder.path(), 2, 40);
    nodes.sleeps_for(1s);
    const auto done = [](const working_node& node) {
        const auto job = node.job();
        return job.contains("state") && job.at("state").as_string() == "done";
    };
    const auto &sleeper = nodes.sleeper, &other = nodes.other;
    BOOST_REQUIRE_MESSAGE(becomes(100s, [&] { return done(sleeper) && done(other); }),
                          sleeper.log() << other.log());
    const auto digest = sleeper.job().at("state_digest");
    BOOST_TEST(digest == other.job().at("state_digest"));
    // What one machine comes to alone.
    const auto task = std::string(sleeper.job().at("task").as_string());
    BOOST_TEST(sleeper.replayed(task) == std::string(digest.as_string()));
}

BOOST_AUTO_TEST_CASE(a_machine_without_work_does_not_hold_sleep_back) {
    const tests::private_bus bus(folder.path());
    tests::fake_services logind(bus.address(), {"org.freedesktop.login1"});
    const auto held = [&] { return logind.state().locks_held; };
    const working_node node(folder.path(), {.system_bus = bus.address(), .rounds = 0});
    for (int night = 1; night <= 3; ++night) {
        BOOST_REQUIRE(becomes(5s, [&] { return held() == 1; }));
        const auto began = steady_clock::now();
        logind.prepare_for_sleep(true);
        BOOST_TEST(becomes(1s, [&] { return held() == 0; }));
        const auto took = steady_clock::now() - began;
        BOOST_TEST_MESSAGE("ready after "
                           << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
                           << " ms");
        logind.prepare_for_sleep(false);
        BOOST_REQUIRE(becomes(5s, [&] { return logind.state().locks_taken == night + 1; }));
    }
}

BOOST_AUTO_TEST_SUITE_END()
