// X11: the screen saver extension's idle time, and EWMH's full-screen state.

#include <poll.h>

#include <algorithm>
#include <span>

#include "node/agent/sources.hpp"
#include "node/agent/x11_display.hpp"

namespace tequio::node {
namespace {

using std::chrono::milliseconds;

/// In use, only the end of use is waited for; idle, its return, which must be noticed at once.
constexpr base::duration poll_in_use = std::chrono::seconds(1), poll_idle = milliseconds(50);
/// States that a window may have at once; EWMH defines 13.
constexpr std::uint32_t states_max = 64;

class x11_session {
public:
    x11_session(x11_display display, const source_events& tell, const stop_signal& stop)
        : display_(std::move(display)), tell_(tell), stop_(stop) {}

    /// Until the connection breaks or the agent ends.
    base::result<void> serve() {
        TEQUIO_CHECK(ask_active_window());
        for (;;) {
            TEQUIO_TRY(const auto idle, ask_idle());
            const bool active = idle < active_span;
            say(active ? source_active() : source_idle_since(probe_now() - idle));
            // Between uses no sooner than it can have become idle.
            const auto pause = active ? std::max(poll_in_use - idle, poll_idle) : poll_idle;
            TEQUIO_TRY(const bool go_on, watch_properties(probe_now() + pause));
            if (!go_on) return {};
        }
    }

private:
    /// Idleness that only goes on is no news: telling it 20 times a second would wake the agent's
    /// loop as often. The server's clock and ours round differently, by a millisecond or two.
    void say(const input_fact& fact) {
        const bool same = told_ && told_->active == fact.active &&
                          (fact.active || std::chrono::abs(fact.last_input - told_->last_input) <
                                              milliseconds(20));
        if (same) return;
        told_ = fact;
        tell_.input(source_kind::x11, fact);
    }

    base::result<base::duration> ask_idle() {
        const auto cookie = xcb_screensaver_query_info(display_.get(), display_.root);
        xcb_flush(display_.get());
        TEQUIO_TRY(const auto info, display_.reply<xcb_screensaver_query_info_reply_t>(
                                        cookie.sequence, display_answer_limit, stop_));
        if (!info) {
            return base::fail(base::errc::io_failure, "the X server did not say the idle time");
        }
        return milliseconds(info->ms_since_user_input);
    }

    /// Handles events until `until`; false when the agent ends.
    base::result<bool> watch_properties(base::time_point until) {
        for (;;) {
            bool other_window = false, other_state = false;
            while (const auto event =
                       xcb_owned<xcb_generic_event_t>(xcb_poll_for_event(display_.get()))) {
                if ((event->response_type & 0x7f) != XCB_PROPERTY_NOTIFY) continue;
                const auto& e = reinterpret_cast<const xcb_property_notify_event_t&>(*event);
                other_window |= e.window == display_.root && e.atom == display_.active_window;
                other_state |= e.window == window_ && e.atom == display_.window_state;
            }
            if (display_.broken()) {
                return base::fail(base::errc::io_failure, "the X server went away");
            }
            if (other_window) {
                TEQUIO_CHECK(ask_active_window());
            } else if (other_state) {
                TEQUIO_CHECK(ask_state());
            } else {
                const auto how = wait_for(display_.fd(), POLLIN, until, stop_);
                if (how == waited::stopped) return false;
                if (how == waited::timed_out) return true;
            }
        }
    }

    base::result<xcb_owned<xcb_get_property_reply_t>> property(xcb_window_t window, xcb_atom_t name,
                                                               xcb_atom_t type) {
        const auto cookie = xcb_get_property(display_.get(), 0, window, name, type, 0, states_max);
        xcb_flush(display_.get());
        return display_.reply<xcb_get_property_reply_t>(cookie.sequence, display_answer_limit,
                                                        stop_);
    }

    /// The 32-bit values of a property; nothing when it is not there or of another type.
    static std::span<const std::uint32_t> values_of(
        const xcb_owned<xcb_get_property_reply_t>& answer) {
        if (!answer || answer->format != 32) return {};
        return {static_cast<const std::uint32_t*>(xcb_get_property_value(answer.get())),
                static_cast<std::size_t>(xcb_get_property_value_length(answer.get())) / 4};
    }

    base::result<void> ask_active_window() {
        TEQUIO_TRY(const auto answer,
                   property(display_.root, display_.active_window, XCB_ATOM_WINDOW));
        const auto values = values_of(answer);
        window_ = values.empty() ? 0 : values[0];
        if (values.empty()) {  // no window manager that says which window is active
            tell_.full_screen(std::nullopt);
            return {};
        }
        if (window_ == XCB_WINDOW_NONE) {
            tell_.full_screen(false);
            return {};
        }
        const std::uint32_t mask = XCB_EVENT_MASK_PROPERTY_CHANGE;
        xcb_change_window_attributes(display_.get(), window_, XCB_CW_EVENT_MASK, &mask);
        return ask_state();
    }

    base::result<void> ask_state() {
        TEQUIO_TRY(const auto answer, property(window_, display_.window_state, XCB_ATOM_ATOM));
        tell_.full_screen(std::ranges::count(values_of(answer), display_.full_screen) > 0);
        return {};
    }

    x11_display display_;
    const source_events& tell_;
    const stop_signal& stop_;
    xcb_window_t window_ = XCB_WINDOW_NONE;  ///< the active one
    std::optional<input_fact> told_;
};

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

/// Why an X server is not asked at all; "" when it is.
std::string unasked() {
    if (variable("DISPLAY").empty()) return "DISPLAY is not set";
    const auto type = variable("XDG_SESSION_TYPE");
    const bool wayland = type.empty() ? !variable("WAYLAND_DISPLAY").empty() : type == "wayland";
    return wayland ? "in a Wayland session it sees the input of its own windows only" : "";
}

}  // namespace

void watch_x11(const source_events& tell, const stop_signal& stop) {
    const auto trouble = [&](std::string why) {
        tell.input(source_kind::x11, source_trouble(std::move(why)));
        tell.full_screen(std::nullopt);
    };
    if (const auto why = unasked(); !why.empty()) return trouble(why);
    keep_trying(stop, display_pause_max, [&] {
        auto display = x11_display::open(variable("DISPLAY"), display_answer_limit, stop);
        if (!display) return trouble(display.error().message());
        const auto ended = x11_session(std::move(*display), tell, stop).serve();
        if (!ended) trouble(ended.error().message());
    });
}

}  // namespace tequio::node
