// Wayland's ext-idle-notify-v1.

#include <ext-idle-notify-v1-client-protocol.h>
#include <poll.h>
#include <wayland-client.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <list>
#include <memory>

#include "node/agent/sources.hpp"

// The tables that wayland-scanner wrote, compiled here: they are C that is C++ too, and no other
// file needs them.
#include <ext-idle-notify-v1-protocol.c>

namespace tequio::node {
namespace {

struct display_closer {
    void operator()(wl_display* display) const { wl_display_disconnect(display); }
};

/// Where the compositor listens; "" when the environment names none.
std::string socket_path() {
    const char* name = std::getenv("WAYLAND_DISPLAY");
    if (!name || !*name) return "";
    if (*name == '/') return name;
    const char* folder = std::getenv("XDG_RUNTIME_DIR");
    return folder && *folder ? std::string(folder) + "/" + name : "";
}

/// One connection. The objects that it made are dropped before the display, which would leak them.
class idle_session {
public:
    idle_session(wl_display* display, const source_events& tell)
        : display_(display), tell_(tell), registry_(wl_display_get_registry(display)) {
        static const wl_registry_listener listener = {
            [](void* self, wl_registry* registry, std::uint32_t name, const char* interface,
               std::uint32_t version) {
                static_cast<idle_session*>(self)->appeared(registry, name, interface, version);
            },
            [](void* self, wl_registry*, std::uint32_t name) {
                static_cast<idle_session*>(self)->vanished(name);
            }};
        wl_registry_add_listener(registry_, &listener, this);
        static const wl_callback_listener done = {
            [](void* self, wl_callback* callback, std::uint32_t) {
                wl_callback_destroy(callback);
                static_cast<idle_session*>(self)->named_by_ = nullptr;
                static_cast<idle_session*>(self)->all_named();
            }};
        named_by_ = wl_display_sync(display_);
        wl_callback_add_listener(named_by_, &done, this);
    }
    idle_session(const idle_session&) = delete;
    idle_session& operator=(const idle_session&) = delete;
    ~idle_session() {
        for (auto& s : seats_) {
            unwatch(s);
            wl_seat_destroy(s.object);
        }
        if (notifier_) ext_idle_notifier_v1_destroy(notifier_);
        if (named_by_) wl_callback_destroy(named_by_);
        wl_registry_destroy(registry_);
    }

    /// Handles events until the connection breaks; returns why it did, "" when told to stop.
    std::string serve(const stop_signal& stop) {
        const auto answer_by = probe_now() + display_answer_limit;
        while (!stop.raised()) {
            while (wl_display_prepare_read(display_) != 0) {
                if (wl_display_dispatch_pending(display_) < 0) return broken();
            }
            const bool blocked = wl_display_flush(display_) < 0 && errno == EAGAIN;
            const auto until = named_ ? probe_now() + std::chrono::hours(1) : answer_by;
            const auto how =
                wait_for(wl_display_get_fd(display_),
                         static_cast<short>(POLLIN | (blocked ? POLLOUT : 0)), until, stop);
            if (how != waited::ready) {
                wl_display_cancel_read(display_);
                if (how == waited::stopped) return "";
                if (!named_) return "the compositor does not answer";
                continue;
            }
            if (wl_display_read_events(display_) < 0) return broken();
            if (wl_display_dispatch_pending(display_) < 0) return broken();
        }
        return "";
    }

private:
    struct seat {
        idle_session* owner;
        std::uint32_t name;
        wl_seat* object;
        ext_idle_notification_v1* notification = nullptr;
        bool idle = false;
        base::time_point last_input{};
    };

    std::string broken() const {
        return std::string("the compositor went away (") +
               std::strerror(wl_display_get_error(display_)) + ")";
    }

    void appeared(wl_registry* registry, std::uint32_t name, const char* interface,
                  std::uint32_t version) {
        if (std::strcmp(interface, wl_seat_interface.name) == 0) {
            auto* object = static_cast<wl_seat*>(
                wl_registry_bind(registry, name, &wl_seat_interface, std::min(version, 1u)));
            seats_.push_back({this, name, object});
            if (notifier_) watch(seats_.back());
            if (notifier_ && named_) say();
        } else if (std::strcmp(interface, ext_idle_notifier_v1_interface.name) == 0 && !notifier_) {
            notifier_ = static_cast<ext_idle_notifier_v1*>(
                wl_registry_bind(registry, name, &ext_idle_notifier_v1_interface, 1));
            notifier_name_ = name;
            for (auto& s : seats_) watch(s);
        }
    }

    void vanished(std::uint32_t name) {
        if (notifier_ && name == notifier_name_) {
            ext_idle_notifier_v1_destroy(notifier_);
            notifier_ = nullptr;
            for (auto& s : seats_) unwatch(s);
        }
        for (auto it = seats_.begin(); it != seats_.end(); ++it) {
            if (it->name != name) continue;
            unwatch(*it);
            wl_seat_destroy(it->object);
            seats_.erase(it);
            break;
        }
        if (named_) say();
    }

    void all_named() {
        named_ = true;
        say();
    }

    void watch(seat& s) {
        static const ext_idle_notification_v1_listener listener = {
            [](void* self, ext_idle_notification_v1*) { changed(self, true); },
            [](void* self, ext_idle_notification_v1*) { changed(self, false); }};
        constexpr auto span = std::chrono::duration_cast<std::chrono::milliseconds>(active_span);
        s.notification = ext_idle_notifier_v1_get_idle_notification(
            notifier_, static_cast<std::uint32_t>(span.count()), s.object);
        ext_idle_notification_v1_add_listener(s.notification, &listener, &s);
    }

    static void unwatch(seat& s) {
        if (s.notification) ext_idle_notification_v1_destroy(s.notification);
        s.notification = nullptr;
        s.idle = false;
    }

    static void changed(void* handle, bool idle) {
        auto& s = *static_cast<seat*>(handle);
        s.idle = idle;
        if (idle) s.last_input = probe_now() - active_span;
        s.owner->say();
    }

    void say() {
        if (!notifier_) return trouble("the compositor lacks ext-idle-notify-v1");
        if (seats_.empty()) return trouble("the compositor has no seat");
        base::time_point last = base::time_point::min();
        for (const auto& s : seats_) {
            if (!s.idle) return tell_.input(source_kind::wayland, source_active());
            last = std::max(last, s.last_input);
        }
        tell_.input(source_kind::wayland, source_idle_since(last));
    }

    void trouble(std::string why) {
        tell_.input(source_kind::wayland, source_trouble(std::move(why)));
    }

    wl_display* display_;
    const source_events& tell_;
    wl_registry* registry_;
    wl_callback* named_by_ = nullptr;
    ext_idle_notifier_v1* notifier_ = nullptr;
    std::uint32_t notifier_name_ = 0;
    std::list<seat> seats_;  ///< a list: listeners hold addresses
    bool named_ = false;     ///< the compositor has named all it offers
};

std::string watch_compositor(const std::string& path, const source_events& tell,
                             const stop_signal& stop) {
    auto socket = connect_unix(path, probe_now() + display_answer_limit, stop);
    if (!socket) return socket.error().message();
    const std::unique_ptr<wl_display, display_closer> display(
        wl_display_connect_to_fd(socket->release()));
    if (!display) return "out of memory";
    return idle_session(display.get(), tell).serve(stop);
}

}  // namespace

void watch_wayland(const source_events& tell, const stop_signal& stop) {
    const auto path = socket_path();
    if (path.empty()) {
        // What the environment of a process says does not change: nothing to wait for.
        return tell.input(source_kind::wayland, source_trouble("WAYLAND_DISPLAY is not set"));
    }
    keep_trying(stop, display_pause_max, [&] {
        tell.input(source_kind::wayland, source_trouble(watch_compositor(path, tell, stop)));
    });
}

}  // namespace tequio::node
