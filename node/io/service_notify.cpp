#include "node/io/service_notify.hpp"

#include <systemd/sd-daemon.h>

#include <algorithm>
#include <cstdlib>

namespace tequio::node {
namespace {

using std::chrono::microseconds;
using std::chrono::steady_clock;

constexpr microseconds status_period = std::chrono::seconds(1);
/// A manager shows one line; what is longer was not meant for people.
constexpr std::size_t status_size_max = 500;

/// A state is lines of NAME=VALUE: a line break inside a value would begin another.
std::string one_line(std::string text) {
    std::replace_if(
        text.begin(), text.end(), [](char c) { return c == '\n' || c == '\r'; }, ' ');
    if (text.size() > status_size_max) text.resize(status_size_max);
    return text;
}

}  // namespace

service_notify::service_notify(boost::asio::io_context& io, std::function<std::string()> status)
    : timer_(io), status_(std::move(status)) {
    listening_ = std::getenv("NOTIFY_SOCKET") != nullptr;
    std::uint64_t interval = 0;
    // Positive only if the interval is meant for this process (WATCHDOG_PID).
    if (listening_ && ::sd_watchdog_enabled(0, &interval) > 0) {
        watchdog_ = microseconds(static_cast<std::int64_t>(interval / 2));
    }
}

void service_notify::tell(std::string state) {
    // A manager that cannot be told is no reason to stop working.
    if (listening_) (void)::sd_notify(0, state.c_str());
}

void service_notify::ready() {
    told_ = one_line(status_());
    tell("READY=1\nSTATUS=" + told_);
    fed_ = steady_clock::now();
    if (listening_ && !armed_) arm();
}

void service_notify::reloading() {
    // RELOADING=1 counts only with the monotonic time beside it (Type=notify-reload).
    const auto now =
        std::chrono::duration_cast<microseconds>(steady_clock::now().time_since_epoch());
    tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
}

void service_notify::stopping() {
    told_ = one_line(status_());
    tell("STOPPING=1\nSTATUS=" + told_);
}

void service_notify::tell_status() {
    auto text = one_line(status_());
    if (text == told_) return;
    told_ = std::move(text);
    tell("STATUS=" + told_);
}

void service_notify::arm() {
    armed_ = true;
    const auto period = watchdog_.count() > 0 ? std::min(watchdog_, status_period) : status_period;
    timer_.expires_after(period);
    timer_.async_wait([this, period](boost::system::error_code ec) {
        if (ec) return;
        const auto now = steady_clock::now();
        // At the latest at half the interval: rather a little early than a tick late.
        if (watchdog_.count() > 0 && now + period > fed_ + watchdog_) {
            tell("WATCHDOG=1");
            fed_ = now;
        }
        tell_status();
        arm();
    });
}

}  // namespace tequio::node
