#pragma once

/// The sources of a session. Each `watch_...` is the body of a thread of its own: it returns once
/// `stop` is raised, tries again with pauses when its source goes away, and blocks nobody, however
/// its source hangs. What it learns it tells through `source_events`, on its own thread.

#include <functional>

#include "node/agent/session_view.hpp"
#include "node/governor/probes/waiting.hpp"

namespace tequio::node {

/// How long a display or compositor may take to answer, and the longest pause between attempts to
/// reach it.
constexpr base::duration display_answer_limit = std::chrono::seconds(3);
constexpr base::duration display_pause_max = std::chrono::seconds(30);

/// How sources tell; may be called from several threads at once.
struct source_events {
    std::function<void(source_kind, input_fact)> input;
    std::function<void(lock_kind, std::optional<bool>)> lock;
    std::function<void(std::optional<bool>)> full_screen;
};

/// A fact of a source that does not work.
inline input_fact source_trouble(std::string why) {
    return {false, std::move(why), false, {}};
}
/// Facts of one that works: input just now, or none since `last_input`.
inline input_fact source_active() {
    return {true, {}, true, {}};
}
inline input_fact source_idle_since(base::time_point last_input) {
    return {true, {}, false, last_input};
}

/// Wayland's ext-idle-notify-v1, of WAYLAND_DISPLAY: pushed within milliseconds. Idle inhibitors (a
/// film being played) count as use, by version 1 of the protocol.
void watch_wayland(const source_events& tell, const stop_signal& stop);
/// X11's screen saver extension, of a local DISPLAY, asked once a second while in use and every 50
/// ms while idle; and whether the active window is in full screen, by properties that window
/// managers set (EWMH), pushed. Not of Xwayland, which sees only its own windows' input.
void watch_x11(const source_events& tell, const stop_signal& stop);
/// The session bus: GNOME's idle monitor (org.gnome.Mutter.IdleMonitor), pushed, and the lock by
/// org.gnome.ScreenSaver and org.freedesktop.ScreenSaver.
void watch_session_bus(const source_events& tell, const stop_signal& stop);
/// The lock as logind knows it of this user's session, on the system bus.
void watch_logind_lock(const source_events& tell, const stop_signal& stop);

}  // namespace tequio::node
