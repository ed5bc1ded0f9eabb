// The daemon's watcher of the system bus against a private bus with made-up services.

#include "node/governor/probes/bus_probe.hpp"

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "tests/support/fake_services.hpp"

using namespace tequio;
using namespace std::chrono_literals;
using node::bus_facts;
using tests::becomes;

namespace {

const std::vector<std::string> desktop = {"org.freedesktop.login1",
                                          "org.freedesktop.NetworkManager"};

/// A probe, and what it said.
class watched {
public:
    explicit watched(const std::string& address) {
        ::setenv("DBUS_SYSTEM_BUS_ADDRESS", address.c_str(), 1);
        probe = std::make_unique<node::bus_probe>(
            node::bus_probe::callbacks{[this](const bus_facts& facts) {
                                           const std::lock_guard lock(mutex_);
                                           facts_ = facts;
                                           ++changes_;
                                       },
                                       [this](const std::string& line) {
                                           const std::lock_guard lock(mutex_);
                                           said_.push_back(line);
                                       }});
    }
    bus_facts facts() {
        const std::lock_guard lock(mutex_);
        return facts_;
    }
    int changes() {
        const std::lock_guard lock(mutex_);
        return changes_;
    }
    std::vector<std::string> said() {
        const std::lock_guard lock(mutex_);
        return said_;
    }

private:
    std::mutex mutex_;
    bus_facts facts_;
    int changes_ = 0;
    std::vector<std::string> said_;

public:
    std::unique_ptr<node::bus_probe> probe;  ///< last: its thread uses the rest
};

struct with_bus {
    with_bus() { tests::skip_without("dbus-daemon", "dbus-daemon"); }
    tests::test_folder folder;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(bus_probe, with_bus)

BOOST_AUTO_TEST_CASE(without_a_bus_it_says_so_once_and_knows_nothing) {
    watched w("unix:path=" + (folder.path() / "nothing").string());
    BOOST_TEST(becomes(5s, [&] { return !w.said().empty(); }));
    // The first further attempts come after 0.5 and 1.5 s.
    BOOST_TEST(!becomes(2s, [&] { return w.said().size() > 1; }));
    BOOST_TEST((w.facts() == bus_facts{}));
    BOOST_TEST(w.changes() == 0);
    BOOST_TEST(w.said()[0].find("system bus") != std::string::npos, w.said()[0]);
    w.probe->ready_to_sleep();
}

BOOST_AUTO_TEST_CASE(a_bus_without_services_leaves_everything_unknown) {
    const tests::private_bus bus(folder.path());
    watched w(bus.address());
    BOOST_TEST(!becomes(1s, [&] { return w.changes() > 0 || !w.said().empty(); }));
    // And they are seen when they come.
    tests::fake_services services(bus.address(), desktop);
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session == std::optional(false); }));
    BOOST_TEST(!w.facts().metered.has_value());
}

BOOST_AUTO_TEST_CASE(tells_whether_a_person_sits_at_the_machine) {
    const tests::private_bus bus(folder.path());
    tests::fake_services services(bus.address(), desktop);
    services.change([](auto& s) {
        s.sessions["c1"] = {true, false, false, "greeter"};
        s.sessions["9"] = {true, true, false, "user"};
    });
    watched w(bus.address());
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session.has_value(); }));
    // A greeter and somebody over SSH are no owner at the machine.
    BOOST_TEST((w.facts().local_session == std::optional(false)));
    BOOST_TEST(!w.facts().locked.has_value());
    services.change_session("2", [](auto& s) { s.locked = true; });
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session == std::optional(true); }));
    BOOST_TEST((w.facts().locked == std::optional(true)));
    services.change_session("2", [](auto& s) { s.locked = false; });
    BOOST_TEST(becomes(5s, [&] { return w.facts().locked == std::optional(false); }));
    services.change_session("2", [](auto& s) { s.active = false; });
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session == std::optional(false); }));
}

BOOST_AUTO_TEST_CASE(tells_the_idle_hint_and_since_when) {
    const tests::private_bus bus(folder.path());
    tests::fake_services services(bus.address(), desktop);
    watched w(bus.address());
    BOOST_TEST(becomes(5s, [&] { return w.facts().idle_hint == std::optional(false); }));
    BOOST_TEST(!w.facts().idle_since.has_value());
    services.change([](auto& s) {
        s.idle_hint = true;
        s.idle_since_microseconds = 42'000'000;
    });
    services.change_session("2", [](auto&) {});
    BOOST_TEST(becomes(5s, [&] { return w.facts().idle_hint == std::optional(true); }));
    BOOST_TEST((w.facts().idle_since == std::optional(base::time_point(42s))));
}

BOOST_AUTO_TEST_CASE(holds_sleep_back_until_told_and_again_after_waking) {
    const tests::private_bus bus(folder.path());
    tests::fake_services services(bus.address(), desktop);
    watched w(bus.address());
    const auto held = [&] { return services.state().locks_held; };
    BOOST_TEST(becomes(5s, [&] { return held() == 1; }));
    BOOST_TEST(becomes(5s, [&] { return w.facts().preparing_for_sleep == std::optional(false); }));
    services.prepare_for_sleep(true);
    BOOST_TEST(becomes(5s, [&] { return w.facts().preparing_for_sleep == std::optional(true); }));
    BOOST_TEST(held() == 1);
    w.probe->ready_to_sleep();
    BOOST_TEST(becomes(5s, [&] { return held() == 0; }));
    services.prepare_for_sleep(false);
    BOOST_TEST(becomes(5s, [&] { return held() == 1; }));
    BOOST_TEST(services.state().locks_taken == 2);
    BOOST_TEST(becomes(5s, [&] { return w.facts().preparing_for_sleep == std::optional(false); }));
    w.probe.reset();
    BOOST_TEST(becomes(5s, [&] { return held() == 0; }));
}

BOOST_AUTO_TEST_CASE(tells_what_network_manager_knows_or_guesses) {
    const tests::private_bus bus(folder.path());
    tests::fake_services services(bus.address(), desktop);
    watched w(bus.address());
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session.has_value(); }));
    for (const auto& [value, means] : std::vector<std::pair<std::uint32_t, std::optional<bool>>>{
             {1, true}, {2, false}, {3, true}, {4, false}, {0, std::nullopt}, {7, std::nullopt}}) {
        services.set_metered(value == 7 ? 1 : value);
        if (value == 7) services.set_metered(7);  // from something to what nobody has defined
        BOOST_TEST(becomes(5s, [&, m = means] { return w.facts().metered == m; }), value);
    }
}

BOOST_AUTO_TEST_CASE(forgets_with_the_services_and_learns_again) {
    const tests::private_bus bus(folder.path());
    auto services = std::make_unique<tests::fake_services>(bus.address(), desktop);
    services->change([](auto& s) {
        s.sessions["2"] = {};
        s.metered = 1;
    });
    watched w(bus.address());
    const auto knows = [&] {
        return w.facts().local_session == std::optional(true) &&
               w.facts().metered == std::optional(true);
    };
    BOOST_TEST(becomes(5s, knows));
    services.reset();
    BOOST_TEST(becomes(5s, [&] { return w.facts() == bus_facts{}; }));
    services = std::make_unique<tests::fake_services>(bus.address(), desktop);
    services->change([](auto& s) { s.sessions["2"] = {}; });
    services->change_session("2", [](auto&) {});
    services->set_metered(3);
    BOOST_TEST(becomes(5s, knows));
    BOOST_TEST(w.said().empty());
}

BOOST_AUTO_TEST_CASE(outlives_the_bus) {
    auto bus = std::make_unique<tests::private_bus>(folder.path());
    auto services = std::make_unique<tests::fake_services>(bus->address(), desktop);
    watched w(bus->address());
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session.has_value(); }));
    services.reset();
    bus.reset();
    std::filesystem::remove(folder.path() / "bus");
    BOOST_TEST(becomes(5s, [&] { return w.facts() == bus_facts{} && w.said().size() == 1; }));
    bus = std::make_unique<tests::private_bus>(folder.path());
    services = std::make_unique<tests::fake_services>(bus->address(), desktop);
    BOOST_TEST(becomes(10s, [&] { return w.facts().local_session.has_value(); }));
}

BOOST_AUTO_TEST_CASE(a_storm_of_signals_is_no_storm_of_questions) {
    const tests::private_bus bus(folder.path());
    tests::fake_services services(bus.address(), desktop);
    services.change([](auto& s) { s.sessions["2"] = {}; });
    watched w(bus.address());
    BOOST_TEST(becomes(5s, [&] { return w.facts().local_session.has_value(); }));
    const int before = services.state().calls;
    const auto began = std::chrono::steady_clock::now();
    int signals = 0;
    while (std::chrono::steady_clock::now() - began < 1s) {
        services.change_session("2", [&](auto& s) { s.locked = ++signals % 2 == 0; });
    }
    // A scan asks five things, at most ten times a second; emitting reads two properties here.
    const int asked = services.state().calls - before - 2 * signals;
    BOOST_TEST_MESSAGE(signals << " signals, " << asked << " questions");
    BOOST_TEST(signals > 50);
    BOOST_TEST(asked <= 9 * 13);
    const auto last = services.state().sessions["2"].locked;
    BOOST_TEST(becomes(5s, [&] { return w.facts().locked == std::optional(last); }));
}

BOOST_AUTO_TEST_SUITE_END()
