// The session agent in a Wayland session whose compositor lacks ext-idle-notify-v1: Weston 10, as
// Debian 12 has it.

#include "tests/support/agent_run.hpp"
#include "tests/support/fake_services.hpp"
#include "tests/support/working_node.hpp"

using namespace tequio;
using namespace std::chrono_literals;
using tests::agent_run;

BOOST_AUTO_TEST_CASE(weston_lacks_the_protocol_and_the_next_source_counts) {
    tests::skip_without("weston", "weston");
    tests::skip_without("dbus-daemon", "dbus-daemon");
    const tests::test_folder folder;
    const auto socket = folder.path() / "wayland-7";
    std::vector<std::string> environment = {"WAYLAND_DISPLAY=wayland-7",
                                            "XDG_RUNTIME_DIR=" + folder.path().string()};
    tests::child_process weston(
        {"weston", "--backend=headless-backend.so", "--socket=wayland-7", "--no-config"},
        {"XDG_RUNTIME_DIR=" + folder.path().string()}, folder.path() / "weston.log");
    BOOST_REQUIRE_MESSAGE(tests::becomes(20s, [&] { return std::filesystem::exists(socket); }),
                          weston.output());
    agent_run alone(folder.path(), environment);
    BOOST_TEST(alone.says("idle source: none (wayland: the compositor lacks ext-idle-notify-v1"),
               alone.agent.output());
    alone.ends_well();
    tests::private_bus bus(folder.path());
    tests::fake_services services(bus.address(), {"org.gnome.Mutter.IdleMonitor"});
    environment.push_back("DBUS_SESSION_BUS_ADDRESS=" + bus.address());
    agent_run run(folder.path(), environment);
    run.wait_source("gnome");
    BOOST_TEST(run.says("idle source: gnome (wayland: the compositor lacks ext-idle-notify-v1)"),
               run.agent.output());
    run.ends_well();
    // All the way: beside Weston, GNOME's word takes the machine back from a node at work.
    tests::check_input_takes_the_machine_back(folder.path(), environment, "gnome",
                                              [&] { return services.input(); });
}
