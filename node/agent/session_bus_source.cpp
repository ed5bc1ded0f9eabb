// GNOME's idle monitor and the screen savers of the session bus; logind's lock of the system bus.

#include <cstdlib>

#include "node/agent/sources.hpp"
#include "node/governor/probes/bus_connection.hpp"

namespace tequio::node {
namespace {

using std::chrono::milliseconds;

constexpr const char* mutter = "org.gnome.Mutter.IdleMonitor";
constexpr base::duration bus_pause_max = std::chrono::seconds(60);

constexpr std::uint64_t active_milliseconds =
    std::chrono::duration_cast<milliseconds>(active_span).count();

/// GNOME's idle monitor on one connection. Two watches tell everything: one that fires each time
/// the session has been idle for `active_span`, and one that fires once, at the next input.
class idle_monitor {
public:
    idle_monitor(bus_connection& bus, const source_events& tell) : bus_(bus), tell_(tell) {}

    base::result<void> watch() {
        TEQUIO_CHECK(bus_.on_signal("type='signal',sender='" + std::string(mutter) +
                                        "',interface='" + mutter + "',member='WatchFired'",
                                    [this](sd_bus_message* m) { fired(m); }));
        return bus_.watch_name(mutter, [this](bool there) { is_there(there); });
    }

private:
    static bus_method method(const char* member) {
        return {mutter, "/org/gnome/Mutter/IdleMonitor/Core", mutter, member};
    }

    void is_there(bool there) {
        idle_watch_ = active_watch_ = 0;
        if (!there) {
            trouble("no " + std::string(mutter) + " on the session bus");
            return;
        }
        (void)bus_.call(method("AddIdleWatch"), {active_milliseconds}, [this](sd_bus_message* m) {
            if (!m || !bus_read(m, 'u', &idle_watch_)) {
                return trouble("its idle watch was refused");
            }
            compare();
        });
    }

    /// Asks how long it has been idle: at the start, and after each new watch for input, since that
    /// input may have come before the watch.
    void compare() {
        (void)bus_.call(method("GetIdletime"), {}, [this](sd_bus_message* m) {
            std::uint64_t idle = 0;
            if (!m || !bus_read(m, 't', &idle)) return trouble("it did not say the idle time");
            if (idle < active_milliseconds) return tell_.input(source_kind::gnome, source_active());
            const auto capped = milliseconds(std::min<std::uint64_t>(idle, agent_idle_max.count()));
            is_idle(probe_now() - capped);
        });
    }

    void is_idle(base::time_point last_input) {
        tell_.input(source_kind::gnome, source_idle_since(last_input));
        if (active_watch_ != 0 || asked_) return;
        asked_ = true;
        (void)bus_.call(method("AddUserActiveWatch"), {}, [this](sd_bus_message* m) {
            asked_ = false;
            if (!m || !bus_read(m, 'u', &active_watch_)) {
                return trouble("its watch for input was refused");
            }
            compare();
        });
    }

    void fired(sd_bus_message* m) {
        std::uint32_t id = 0;
        if (!bus_read(m, 'u', &id) || id == 0) return;
        if (id == active_watch_) {
            active_watch_ = 0;
            tell_.input(source_kind::gnome, source_active());
        } else if (id == idle_watch_) {
            is_idle(probe_now() - active_span);
        }
    }

    void trouble(std::string why) {
        tell_.input(source_kind::gnome, source_trouble(std::move(why)));
    }

    bus_connection& bus_;
    const source_events& tell_;
    std::uint32_t idle_watch_ = 0, active_watch_ = 0;  ///< 0: none
    bool asked_ = false;
};

/// A screen saver service: active means that the screen is covered, by which GNOME and KDE mean
/// locked.
base::result<void> watch_screen_saver(bus_connection& bus, const source_events& tell,
                                      lock_kind kind, const std::string& name,
                                      const std::string& path) {
    const auto take = [&tell, kind](sd_bus_message* m) {
        int active = 0;
        if (m && bus_read(m, 'b', &active)) {
            tell.lock(kind, active != 0);
        } else {
            tell.lock(kind, std::nullopt);
        }
    };
    TEQUIO_CHECK(bus.on_signal(
        "type='signal',sender='" + name + "',interface='" + name + "',member='ActiveChanged'",
        take));
    return bus.watch_name(name, [&bus, &tell, kind, name, path, take](bool there) {
        tell.lock(kind, std::nullopt);
        if (there) (void)bus.call({name, path, name, "GetActive"}, {}, take);
    });
}

/// Handles what comes until the connection breaks. Returns why it did; "" when told to stop.
std::string serve(bus_connection& bus, const stop_signal& stop) {
    while (!stop.raised()) {
        const auto handled = bus.handle_until(probe_now() + std::chrono::hours(1), stop);
        if (!handled) return handled.error().message();
    }
    return "";
}

base::result<void> set_up_session(bus_connection& bus, const source_events& tell,
                                  idle_monitor& monitor) {
    TEQUIO_CHECK(monitor.watch());
    TEQUIO_CHECK(watch_screen_saver(bus, tell, lock_kind::gnome_screen_saver,
                                    "org.gnome.ScreenSaver", "/org/gnome/ScreenSaver"));
    return watch_screen_saver(bus, tell, lock_kind::free_desktop_screen_saver,
                              "org.freedesktop.ScreenSaver", "/org/freedesktop/ScreenSaver");
}

/// Finds out which session is this user's own: XDG_SESSION_ID of a process inside it, otherwise the
/// one that logind calls the user's display (a user service belongs to no session).
class logind_lock {
public:
    logind_lock(bus_connection& bus, const source_events& tell) : bus_(bus), tell_(tell) {}

    base::result<void> watch() {
        // Any change of a session asks again: which one is ours may have changed as well.
        TEQUIO_CHECK(bus_.on_signal(
            "type='signal',sender='" + std::string(logind) +
                "',path_namespace='/org/freedesktop/login1/session',member='PropertiesChanged'",
            [this](sd_bus_message*) { ask(); }));
        return bus_.watch_name(logind, [this](bool there) {
            if (there) return ask();
            tell_.lock(lock_kind::logind, std::nullopt);
        });
    }

private:
    void ask() {
        const char* id = std::getenv("XDG_SESSION_ID");
        if (id && *id) {
            (void)bus_.call(
                {logind, "/org/freedesktop/login1", "org.freedesktop.login1.Manager", "GetSession"},
                {std::string(id)}, [this](sd_bus_message* m) {
                    const char* path = nullptr;
                    if (m && bus_read(m, 'o', &path)) ask_session(path);
                });
        } else {
            ask_session("/org/freedesktop/login1/session/auto");
        }
    }

    void ask_session(const std::string& path) {
        (void)bus_.get_property({logind, path, "org.freedesktop.login1.Session", "LockedHint"}, 'b',
                                [this](sd_bus_message* m) {
                                    int locked = 0;
                                    if (m && bus_read(m, 'b', &locked)) {
                                        tell_.lock(lock_kind::logind, locked != 0);
                                    } else {
                                        tell_.lock(lock_kind::logind, std::nullopt);
                                    }
                                });
    }

    bus_connection& bus_;
    const source_events& tell_;
};

}  // namespace

void watch_session_bus(const source_events& tell, const stop_signal& stop) {
    keep_trying(stop, bus_pause_max, [&] {
        auto bus = bus_connection::open(bus_connection::kind::session);
        std::string why;
        if (bus) {
            idle_monitor monitor(*bus, tell);
            const auto ready = set_up_session(*bus, tell, monitor);
            why = ready ? serve(*bus, stop) : ready.error().message();
        } else {
            why = bus.error().message();
        }
        tell.input(source_kind::gnome, source_trouble(why));
        tell.lock(lock_kind::gnome_screen_saver, std::nullopt);
        tell.lock(lock_kind::free_desktop_screen_saver, std::nullopt);
    });
}

void watch_logind_lock(const source_events& tell, const stop_signal& stop) {
    keep_trying(stop, bus_pause_max, [&] {
        auto bus = bus_connection::open(bus_connection::kind::system);
        if (bus) {
            logind_lock lock(*bus, tell);
            if (lock.watch()) (void)serve(*bus, stop);
        }
        tell.lock(lock_kind::logind, std::nullopt);
    });
}

}  // namespace tequio::node
