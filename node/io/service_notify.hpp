#pragma once

/// What the daemon tells the service manager that started it (systemd, Type=notify). Without one
/// (no NOTIFY_SOCKET) everything here does nothing. Source: sd_notify(3), sd_watchdog_enabled(3).

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <string>

namespace tequio::node {

/// Belongs to the network thread: its sign of life comes from that thread's loop, so a loop that
/// hangs is a watchdog that is not fed, and the manager starts the daemon anew.
class service_notify {
public:
    /// `status` gives the state in one line; it is asked once a second while a manager listens.
    service_notify(boost::asio::io_context& io, std::function<std::string()> status);

    /// The daemon serves: READY=1, and from now on STATUS when it changes, WATCHDOG=1 twice an
    /// interval. Also the end of `reloading`.
    void ready();
    /// The configuration is being read again: RELOADING=1.
    void reloading();
    /// The daemon is on its way out: STOPPING=1. Status and signs of life go on until the end.
    void stopping();

private:
    void tell(std::string state);
    void tell_status();
    void arm();

    boost::asio::steady_timer timer_;
    std::function<std::string()> status_;
    std::string told_;
    bool listening_ = false;
    bool armed_ = false;
    std::chrono::microseconds watchdog_{0};  ///< half the manager's interval; 0: it has none
    std::chrono::steady_clock::time_point fed_;
};

}  // namespace tequio::node
