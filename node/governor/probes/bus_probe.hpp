#pragma once

/// What the services of the system bus know, without rights and without blocking: logind (who sits
/// at the machine, lock, idle hint, sleep) and NetworkManager (is the network metered).
///
/// A thread of its own watches the bus, so nothing on it can hold up the network thread; `changed`
/// is called on that thread and hands the facts over (`asio::post`). No bus, as in most containers:
/// said once, looked for again after 0.5 s, 1 s, ... 10 min, and every fact stays empty.
///
/// Source: org.freedesktop.login1(5), systemd-inhibit(1) on delay locks, NMMetered of
/// NetworkManager.

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/time.hpp"

namespace tequio::node {

/// Everything that was found out. Empty: nobody there to ask.
struct bus_facts {
    /// A person's session of this machine's own seats is in the foreground (no greeter, no SSH).
    std::optional<bool> local_session;
    /// All such sessions are locked; empty also when there is none.
    std::optional<bool> locked;
    /// logind's own idea of idleness. "true" can be believed; "false" is also what desktops that
    /// never set it leave there (KDE), and minutes late.
    std::optional<bool> idle_hint;
    /// Since when, by the monotonic clock; only while `idle_hint` is true.
    std::optional<base::time_point> idle_since;
    /// The machine is about to sleep; it waits for `ready_to_sleep` up to logind's limit (5 s).
    std::optional<bool> preparing_for_sleep;
    /// The network costs by volume, as far as NetworkManager knows or guesses.
    std::optional<bool> metered;

    bool operator==(const bus_facts&) const = default;
};

class bus_probe {
public:
    struct callbacks {
        std::function<void(const bus_facts&)> changed;  ///< first when something was found out
        std::function<void(const std::string&)> say;    ///< a line for the log; rare
    };
    /// Starts the thread. Both callbacks are called on it, until the destructor returns.
    explicit bus_probe(callbacks calls);
    ~bus_probe();

    /// Lets the machine sleep: releases the delay lock that is held from the start. It is taken
    /// again after waking up. From any thread; without a lock nothing happens.
    void ready_to_sleep();

private:
    struct impl;
    std::unique_ptr<impl> impl_;
};

}  // namespace tequio::node
