#pragma once

/// `tequio agent` beside a daemon that only listens.

#include <boost/test/unit_test.hpp>

#include "tests/support/fake_daemon.hpp"
#include "tests/support/processes.hpp"

namespace tequio::tests {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A running agent and what it reports. A test ends it with `ends_well`.
class agent_run {
public:
    /// `environment` as `child_process` takes it. Buses that it does not name are not there.
    explicit agent_run(const std::filesystem::path& folder, std::vector<std::string> environment)
        : daemon(folder / "api.sock"),
          agent(command(folder), with_bare_bus(folder, environment), folder / "agent.log") {}

    /// The next report that fits; the test fails when none comes in time.
    fake_daemon::heard wait(milliseconds limit,
                            const std::function<bool(const node::agent_report&)>& fits) {
        const auto found = daemon.wait(next_, limit, fits);
        BOOST_REQUIRE_MESSAGE(found, "no such report within "
                                         << limit.count()
                                         << " ms; the agent said: " << agent.output());
        return *found;
    }
    fake_daemon::heard wait_source(const std::string& name, milliseconds limit = seconds(10)) {
        return wait(limit, [&](const auto& r) { return r.source == name; });
    }
    fake_daemon::heard wait_idle(milliseconds least) {
        return wait(least + seconds(8), [&](const auto& r) { return r.idle >= least; });
    }
    /// The report of input; the caller has made it.
    fake_daemon::heard wait_input(milliseconds limit) {
        return wait(limit, [](const auto& r) { return r.idle < seconds(1); });
    }
    bool says(const std::string& text, milliseconds limit = seconds(10)) {
        return becomes(limit, [&] { return agent.output().find(text) != std::string::npos; });
    }
    /// Ends the agent and checks that it went at once, in order, and sent reports only.
    void ends_well() {
        BOOST_TEST(agent.end(seconds(2)) == 0, agent.output());
        for (const auto& text : daemon.wrong()) BOOST_TEST(false, "no report: " << text);
    }

private:
    static std::vector<std::string> command(const std::filesystem::path& folder) {
        return {TEQUIO_PROGRAM, "agent", "--socket", (folder / "api.sock").string()};
    }
    static std::vector<std::string> with_bare_bus(const std::filesystem::path& folder,
                                                  std::vector<std::string> environment) {
        const auto nowhere = "unix:path=" + (folder / "nowhere").string();
        for (const auto* name : {"DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS"}) {
            const auto key = std::string(name) + "=";
            bool given = false;
            for (const auto& item : environment) given = given || item.starts_with(key);
            if (!given) environment.push_back(key + nowhere);
        }
        return environment;
    }

    std::size_t next_ = 0;

public:
    fake_daemon daemon;
    child_process agent;
};

}  // namespace tequio::tests
