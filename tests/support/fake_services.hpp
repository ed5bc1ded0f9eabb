#pragma once

/// A bus of its own with what a desktop offers there: logind, NetworkManager, GNOME's idle monitor
/// and screen saver, as far as tequio asks them. The test moves them.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>

#include "tests/support/processes.hpp"

struct sd_bus;

namespace tequio::tests {

/// A dbus-daemon in `folder`; ended with this.
class private_bus {
public:
    explicit private_bus(const std::filesystem::path& folder);
    /// "unix:path=..."
    const std::string& address() const { return address_; }

private:
    std::string address_;
    std::unique_ptr<child_process> daemon_;
};

/// One session of the fake logind.
struct fake_session {
    bool active = true, remote = false, locked = false;
    std::string kind = "user";  ///< the property Class
};

/// What the services answer.
struct fake_state {
    std::map<std::string, fake_session> sessions;  ///< by id
    bool idle_hint = false;
    std::uint64_t idle_since_microseconds = 0;
    std::uint32_t metered = 0;
    bool screen_saver_active = false;
    std::chrono::steady_clock::time_point last_input = std::chrono::steady_clock::now();
    int locks_held = 0;   ///< sleep delay locks that are open
    int locks_taken = 0;  ///< and how many there ever were
    int calls = 0;        ///< method calls and properties asked for
};

class fake_services {
public:
    /// Connects to the bus and takes the names given ("org.freedesktop.login1", ...).
    fake_services(const std::string& address, const std::vector<std::string>& names);
    ~fake_services();

    /// Changes the state on the services' thread; nothing is signalled.
    void change(const std::function<void(fake_state&)>& how);
    /// A copy.
    fake_state state();
    /// Changes a session and signals that its properties changed.
    void change_session(const std::string& id, const std::function<void(fake_session&)>& how);
    /// The owner touches something: watches fire. Returns when.
    std::chrono::steady_clock::time_point input();
    void set_screen_saver(bool active);
    void set_metered(std::uint32_t value);
    void prepare_for_sleep(bool begins);

    struct impl;

private:
    void run();
    void do_there(std::function<void()> what);

    std::unique_ptr<impl> impl_;
    std::atomic<bool> ended_ = false;
    std::mutex mutex_;
    std::queue<std::function<void()>> asked_;
    std::thread thread_;
};

}  // namespace tequio::tests
