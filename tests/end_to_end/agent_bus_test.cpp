// The session agent on a bus with GNOME's services, and on machines that have next to nothing.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/support/agent_run.hpp"
#include "tests/support/fake_services.hpp"

using namespace tequio;
using namespace std::chrono_literals;
using std::chrono::milliseconds;
using tests::agent_run;
using tests::becomes;

namespace {

const std::vector<std::string> gnome = {"org.gnome.Mutter.IdleMonitor", "org.gnome.ScreenSaver",
                                        "org.freedesktop.login1"};

struct with_bus {
    with_bus() { tests::skip_without("dbus-daemon", "dbus-daemon"); }

    std::vector<std::string> environment() const {
        return {"DBUS_SYSTEM_BUS_ADDRESS=" + bus->address(),
                "DBUS_SESSION_BUS_ADDRESS=" + bus->address(), "XDG_SESSION_ID=2"};
    }

    tests::test_folder folder;
    std::unique_ptr<tests::private_bus> bus = std::make_unique<tests::private_bus>(folder.path());
};

milliseconds after(std::chrono::steady_clock::time_point began,
                   const tests::fake_daemon::heard& h) {
    return std::chrono::duration_cast<milliseconds>(h.at - began);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(agent_bus, with_bus)

BOOST_AUTO_TEST_CASE(reports_input_that_gnome_pushes) {
    tests::fake_services services(bus->address(), gnome);
    agent_run run(folder.path(), environment());
    run.wait_source("gnome");
    run.wait_idle(1500ms);
    milliseconds best = 10s;
    for (int i = 0; i < 2; ++i) {
        const auto began = services.input();
        const auto took = after(began, run.wait_input(250ms));
        BOOST_TEST_MESSAGE("input to report: " << took.count() << " ms");
        best = std::min(best, took);
        run.wait_idle(1000ms);
    }
    BOOST_TEST(best.count() <= 20);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(knows_idleness_from_before_its_start) {
    tests::fake_services services(bus->address(), gnome);
    services.change([](auto& s) { s.last_input -= 90s; });
    agent_run run(folder.path(), environment());
    const auto first = run.wait_source("gnome");
    BOOST_TEST(first.report.idle.count() >= 90'000);
    BOOST_TEST(first.report.idle.count() < 100'000);
    services.input();
    run.wait_input(250ms);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(beats_faster_in_use_than_idle) {
    tests::fake_services services(bus->address(), gnome);
    services.change([](auto& s) { s.last_input -= 90s; });
    agent_run run(folder.path(), environment());
    const auto first = run.wait_source("gnome");
    const auto second = run.wait(8s, [](const auto&) { return true; });
    const auto pause = after(first.at, second);
    BOOST_TEST(pause.count() >= 4500);
    BOOST_TEST(pause.count() <= 6000);
    // In use: a second apart, whatever the number of inputs.
    services.input();
    run.wait_input(250ms);
    const auto before = run.daemon.count();
    const auto until = std::chrono::steady_clock::now() + 2500ms;
    while (std::chrono::steady_clock::now() < until) services.input();
    const auto count = run.daemon.count() - before;
    BOOST_TEST(count >= 2U);
    BOOST_TEST(count <= 3U);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(reports_the_lock_of_logind_and_of_the_screen_saver_at_once) {
    tests::fake_services services(bus->address(), gnome);
    services.change([](auto& s) {
        s.last_input -= 90s;
        s.sessions["2"] = {};
    });
    agent_run run(folder.path(), environment());
    BOOST_TEST(!run.wait_source("gnome").report.locked);
    const auto locked_is = [](bool value) {
        return [value](const node::agent_report& r) { return r.locked == value; };
    };
    services.change_session("2", [](auto& s) { s.locked = true; });
    run.wait(250ms, locked_is(true));
    services.change_session("2", [](auto& s) { s.locked = false; });
    run.wait(250ms, locked_is(false));
    services.set_screen_saver(true);
    run.wait(250ms, locked_is(true));
    services.set_screen_saver(false);
    run.wait(250ms, locked_is(false));
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(says_when_gnome_goes_and_goes_on_when_it_comes_back) {
    auto services = std::make_unique<tests::fake_services>(bus->address(), gnome);
    agent_run run(folder.path(), environment());
    run.wait_source("gnome");
    services.reset();
    BOOST_TEST(run.says("idle source: none"), run.agent.output());
    const auto before = run.daemon.count();
    BOOST_TEST(!becomes(1500ms, [&] { return run.daemon.count() > before + 1; }));
    services = std::make_unique<tests::fake_services>(bus->address(), gnome);
    run.wait_source("gnome", 3s);
    run.wait_idle(1000ms);
    services->input();
    run.wait_input(250ms);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(without_display_bus_and_logind_it_reports_nothing_and_stays) {
    agent_run run(folder.path(), {});
    BOOST_TEST(run.says("idle source: none"), run.agent.output());
    BOOST_TEST(run.says("WAYLAND_DISPLAY is not set"), run.agent.output());
    BOOST_TEST(run.says("no session bus"), run.agent.output());
    BOOST_TEST(run.says("DISPLAY is not set"), run.agent.output());
    BOOST_TEST(!becomes(2s, [&] { return run.daemon.count() > 0 || !run.agent.running(); }));
    BOOST_TEST(run.agent.cpu_time().count() < 200);
    run.ends_well();
}

BOOST_AUTO_TEST_CASE(waits_for_a_daemon_and_survives_its_restart) {
    tests::fake_services services(bus->address(), gnome);
    const auto socket = folder.path() / "late.sock";
    tests::child_process agent({TEQUIO_PROGRAM, "agent", "--socket", socket.string()},
                               environment(), folder.path() / "agent.log");
    const auto any = [](const auto&) { return true; };
    BOOST_TEST(becomes(
        10s, [&] { return agent.output().find("does not hear the agent") != std::string::npos; }));
    for (int life = 0; life < 2; ++life) {
        tests::fake_daemon daemon(socket);
        std::size_t next = 0;
        // The longest pause between attempts is 5 s.
        BOOST_TEST(daemon.wait(next, 8s, any).has_value(), agent.output());
    }
    BOOST_TEST(becomes(10s, [&] {
        const auto text = agent.output();
        const std::string_view line = "does not hear the agent";
        return text.find(line, text.find(line) + 1) != std::string::npos;
    }));
    BOOST_TEST(agent.end(2s) == 0);
    BOOST_TEST(agent.cpu_time().count() < 500);
}

// A user's own daemon first, then the machine's; and back when the own one is there again.
BOOST_AUTO_TEST_CASE(the_first_socket_that_can_be_opened_is_told) {
    tests::fake_services services(bus->address(), gnome);
    const auto own = folder.path() / "own.sock", machine = folder.path() / "machine.sock";
    tests::fake_daemon system(machine);
    tests::child_process agent(
        {TEQUIO_PROGRAM, "agent", "--socket", own.string(), "--socket", machine.string()},
        environment(), folder.path() / "agent.log");
    const auto any = [](const auto&) { return true; };
    std::size_t next = 0;
    BOOST_TEST(system.wait(next, 10s, any).has_value(), agent.output());
    BOOST_TEST(agent.output().find("does not hear") == std::string::npos);
    tests::fake_daemon users(own);
    std::size_t first = 0;
    BOOST_TEST(users.wait(first, 15s, any).has_value(), agent.output());
    // From then on it alone is told.
    const auto told = system.count();
    BOOST_TEST(users.wait(first, 8s, any).has_value(), agent.output());
    BOOST_TEST(system.count() == told);
    BOOST_TEST(agent.end(2s) == 0);
}

BOOST_AUTO_TEST_CASE(a_daemon_that_never_answers_does_not_hold_its_end) {
    tests::fake_services services(bus->address(), gnome);
    const auto socket = folder.path() / "silent.sock";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, socket.c_str());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BOOST_REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    BOOST_REQUIRE(::listen(fd, 1) == 0);
    tests::child_process agent({TEQUIO_PROGRAM, "agent", "--socket", socket.string()},
                               environment(), folder.path() / "agent.log");
    BOOST_TEST(
        becomes(
            10s,
            [&] { return agent.output().find("does not hear the agent") != std::string::npos; }),
        agent.output());
    BOOST_TEST(agent.end(2s) == 0);
    ::close(fd);
}

BOOST_AUTO_TEST_SUITE_END()
