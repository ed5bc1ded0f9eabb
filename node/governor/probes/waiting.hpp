#pragma once

/// Waiting that always ends: on a descriptor, until a deadline, and no longer than its owner wants.
/// A source of the owner's presence may hang for ever (a stale X socket accepts and never answers),
/// so whatever watches one has a thread of its own and waits here only.

#include <functional>
#include <string>

#include "base/result.hpp"
#include "base/time.hpp"
#include "node/io/files.hpp"

namespace tequio::node {

/// The monotonic clock that deadlines of probes count by; it stands still while the machine sleeps.
base::time_point probe_now();

/// Ends every wait of the threads that were given it. Raised once, from any thread.
class stop_signal {
public:
    /// Aborts when the system has no descriptor left.
    stop_signal();
    stop_signal(const stop_signal&) = delete;
    stop_signal& operator=(const stop_signal&) = delete;
    void raise();
    bool raised() const;
    /// Readable once raised.
    int fd() const { return event_.get(); }

private:
    unique_fd event_;
};

/// How a wait ended.
enum class waited { ready, timed_out, stopped };

/// Waits until one of `events` (poll's POLLIN, POLLOUT) or an error is there on `fd`, `until` came,
/// or `stop` was raised, which wins. `fd` -1: waits for the time alone.
waited wait_for(int fd, short events, base::time_point until, const stop_signal& stop);

/// Connects to a Unix stream socket; `path` beginning with '@' names an abstract one. The
/// descriptor is non-blocking. Errors: `base::errc::io_failure`; "did not accept" when `until` came
/// first (a full backlog blocks an ordinary connect for ever).
base::result<unique_fd> connect_unix(const std::string& path, base::time_point until,
                                     const stop_signal& stop);

/// Calls `attempt` until `stop` is raised. After each return it waits, 0.5 s at first, twice as
/// long each time up to `longest`; an attempt that lasted 10 s starts over from 0.5 s.
void keep_trying(const stop_signal& stop, base::duration longest,
                 const std::function<void()>& attempt);

}  // namespace tequio::node
