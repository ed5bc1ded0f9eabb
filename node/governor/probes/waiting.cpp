#include "node/governor/probes/waiting.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "base/ensure.hpp"

namespace tequio::node {
namespace {

using std::chrono::milliseconds;

/// poll's time-out, rounded up so that a wait never ends just before its time and turns into a
/// spin.
int poll_milliseconds(base::time_point until) {
    const auto left = std::chrono::ceil<milliseconds>(until - probe_now());
    return static_cast<int>(
        std::clamp(left, milliseconds(0), milliseconds(24 * 3600 * 1000)).count());
}

base::error cannot_connect(const std::string& path, const std::string& why) {
    return base::fail(base::errc::io_failure, path + ": " + why);
}

}  // namespace

base::time_point probe_now() {
    // tidy: allow clock: a probe measures real time; its readings are handed to the core as values
    return base::time_point(std::chrono::steady_clock::now().time_since_epoch());
}

stop_signal::stop_signal() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    base::ensure(bool(event_), "there are descriptors for an eventfd");
}

void stop_signal::raise() {
    const std::uint64_t one = 1;
    // It cannot fail but by being raised 2^64 times.
    (void)!::write(event_.get(), &one, sizeof one);
}

bool stop_signal::raised() const {
    pollfd event{event_.get(), POLLIN, 0};
    return ::poll(&event, 1, 0) > 0;
}

waited wait_for(int fd, short events, base::time_point until, const stop_signal& stop) {
    std::array<pollfd, 2> both{pollfd{stop.fd(), POLLIN, 0}, pollfd{fd, events, 0}};
    for (;;) {
        const int timeout = poll_milliseconds(until);
        const int count = ::poll(both.data(), fd < 0 ? 1 : 2, timeout);
        if (both[0].revents != 0) return waited::stopped;
        if (count > 0) return waited::ready;
        if (count < 0 && errno != EINTR) return waited::timed_out;
        if (probe_now() >= until) return waited::timed_out;
    }
}

base::result<unique_fd> connect_unix(const std::string& path, base::time_point until,
                                     const stop_signal& stop) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) {
        return cannot_connect(path, "no path that a Unix socket can have");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() +
                                             (path.front() == '@' ? 0 : 1));
    unique_fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return cannot_connect(path, std::strerror(errno));
    for (;;) {
        if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0) return fd;
        // A full backlog; no descriptor tells when there is room again.
        if (errno != EAGAIN && errno != EINTR) return cannot_connect(path, std::strerror(errno));
        if (probe_now() >= until) return cannot_connect(path, "did not accept in time");
        if (wait_for(-1, 0, std::min(until, probe_now() + milliseconds(50)), stop) ==
            waited::stopped) {
            return cannot_connect(path, "told to stop");
        }
    }
}

void keep_trying(const stop_signal& stop, base::duration longest,
                 const std::function<void()>& attempt) {
    constexpr base::duration shortest = milliseconds(500);
    base::duration pause = shortest;
    while (!stop.raised()) {
        const auto began = probe_now();
        attempt();
        if (probe_now() - began >= std::chrono::seconds(10)) pause = shortest;
        if (wait_for(-1, 0, probe_now() + pause, stop) == waited::stopped) return;
        pause = std::min(pause * 2, longest);
    }
}

}  // namespace tequio::node
