#include "node/governor/probes/bus_probe.hpp"

#include <fcntl.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <atomic>
#include <string_view>
#include <thread>
#include <vector>

#include "node/governor/probes/bus_connection.hpp"

namespace tequio::node {
namespace {

constexpr const char* logind_path = "/org/freedesktop/login1";
constexpr const char* manager_interface = "org.freedesktop.login1.Manager";
constexpr const char* network_manager = "org.freedesktop.NetworkManager";
constexpr const char* network_manager_path = "/org/freedesktop/NetworkManager";
/// A desktop may change properties in bursts; all of logind is asked again at most this often.
constexpr base::duration scan_pause = std::chrono::milliseconds(100);
/// More sessions than this are not looked at: the owner is among the first.
constexpr std::size_t sessions_max = 64;

bus_method manager(const char* member) {
    return {logind, logind_path, manager_interface, member};
}

struct session_facts {
    bool active = false, remote = true, person = false, locked = false;
};

/// Reads a session's properties out of an answer to GetAll.
session_facts read_session(sd_bus_message* m) {
    session_facts out;
    if (sd_bus_message_enter_container(m, 'a', "{sv}") <= 0) return out;
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        const char *key = nullptr, *type = nullptr;
        if (!bus_read(m, 's', &key)) break;
        const std::string_view name(key);
        bool* flag = name == "Active"       ? &out.active
                     : name == "Remote"     ? &out.remote
                     : name == "LockedHint" ? &out.locked
                                            : nullptr;
        char kind = 0;
        if (sd_bus_message_peek_type(m, &kind, &type) <= 0 || kind != 'v') break;
        int value = 0;
        const char* text = nullptr;
        if (flag && std::string_view(type) == "b") {
            if (sd_bus_message_read(m, "v", "b", &value) < 0) break;
            *flag = value != 0;
        } else if (name == "Class" && std::string_view(type) == "s") {
            if (sd_bus_message_read(m, "v", "s", &text) < 0) break;
            out.person = std::string_view(text) == "user";
        } else if (sd_bus_message_skip(m, "v") < 0) {
            break;
        }
        if (sd_bus_message_exit_container(m) < 0) break;
    }
    return out;
}

/// The object paths out of an answer to ListSessions.
std::vector<std::string> read_session_paths(sd_bus_message* m) {
    std::vector<std::string> out;
    if (sd_bus_message_enter_container(m, 'a', "(susso)") <= 0) return out;
    const char *id = nullptr, *user = nullptr, *seat = nullptr, *path = nullptr;
    std::uint32_t uid = 0;
    while (out.size() < sessions_max &&
           sd_bus_message_read(m, "(susso)", &id, &uid, &user, &seat, &path) > 0) {
        out.emplace_back(path);
    }
    return out;
}

/// One reading of all of logind, put together from several answers.
struct scan {
    bus_facts facts;
    std::vector<session_facts> sessions;
    bool listed = false;      ///< logind named its sessions
    std::size_t awaited = 0;  ///< answers still to come
};

void sum_up(scan& s) {
    if (s.listed) s.facts.local_session = false;
    for (const auto& session : s.sessions) {
        if (!session.active || session.remote || !session.person) continue;
        s.facts.local_session = true;
        s.facts.locked = s.facts.locked.value_or(true) && session.locked;
    }
    if (s.facts.idle_hint != std::optional(true)) s.facts.idle_since.reset();
}

}  // namespace

struct bus_probe::impl {
    explicit impl(callbacks c) : calls(std::move(c)) {}

    void run() {
        bool said = false;
        keep_trying(stop, std::chrono::minutes(10), [&] {
            auto opened = bus_connection::open(bus_connection::kind::system);
            auto ended = opened ? watch(*opened) : base::result<void>(opened.error());
            bus = nullptr;
            forget_logind();
            found.metered.reset();
            publish();
            if (!ended && !said) {
                calls.say("system bus: " + ended.error().message() +
                          "; lock state, sleep and metered networks stay unknown");
                said = true;
            }
            if (ended) said = false;
        });
    }

    /// Until the connection breaks or the probe ends.
    base::result<void> watch(bus_connection& connection) {
        bus = &connection;
        TEQUIO_CHECK(bus->watch_name(logind, [this](bool there) { logind_is(there); }));
        TEQUIO_CHECK(bus->on_signal("type='signal',sender='" + std::string(logind) +
                                        "',path_namespace='" + logind_path + "'",
                                    [this](sd_bus_message* m) { logind_said(m); }));
        TEQUIO_CHECK(bus->watch_name(network_manager, [this](bool there) {
            if (there) return ask_metered();
            found.metered.reset();
            publish();
        }));
        TEQUIO_CHECK(bus->on_signal("type='signal',sender='" + std::string(network_manager) +
                                        "',path='" + network_manager_path +
                                        "',member='PropertiesChanged'",
                                    [this](sd_bus_message*) { ask_metered(); }));
        while (!stop.raised()) {
            const bool due = changed_since_scan && !in_hand;
            const auto until = due ? last_scan + scan_pause : probe_now() + std::chrono::hours(1);
            TEQUIO_CHECK(bus->handle_until(until, stop));
            if (changed_since_scan && !in_hand && probe_now() >= last_scan + scan_pause) look();
        }
        return {};
    }

    void logind_is(bool there) {
        forget_logind();
        if (!there) return publish();
        changed_since_scan = true;
        take_lock();
    }

    void logind_said(sd_bus_message* m) {
        if (sd_bus_message_is_signal(m, manager_interface, "PrepareForSleep") > 0) {
            int begins = 0;
            if (!bus_read(m, 'b', &begins)) return;
            found.preparing_for_sleep = begins != 0;
            if (!begins) take_lock();
            publish();
        }
        changed_since_scan = true;
    }

    void forget_logind() {
        ready_to_sleep();
        in_hand.reset();
        changed_since_scan = false;
        const auto metered = found.metered;
        found = {};
        found.metered = metered;
    }

    void take_lock() {
        (void)bus->call(manager("Inhibit"),
                        {std::string("sleep"), std::string("Tequio"),
                         std::string("puts the work in hand away"), std::string("delay")},
                        [this](sd_bus_message* m) {
                            int fd = -1;  // the message's own
                            if (!m || !bus_read(m, 'h', &fd)) return;
                            const int own = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
                            if (const int old = lock.exchange(own); old >= 0) ::close(old);
                        });
    }

    void ready_to_sleep() {
        if (const int fd = lock.exchange(-1); fd >= 0) ::close(fd);
    }

    void ask_metered() {
        (void)bus->get_property({network_manager, network_manager_path, network_manager, "Metered"},
                                'u', [this](sd_bus_message* m) {
                                    std::uint32_t value = 0;
                                    found.metered.reset();
                                    // NMMetered: 0 unknown, 1 yes, 2 no, 3 yes by guess, 4 no by
                                    // guess.
                                    if (m && bus_read(m, 'u', &value) && value >= 1 && value <= 4) {
                                        found.metered = value % 2 == 1;
                                    }
                                    publish();
                                });
    }

    /// Asks logind for everything. Answers that come after a newer scan began are dropped with
    /// theirs.
    void look() {
        last_scan = probe_now();
        changed_since_scan = false;
        auto s = in_hand = std::make_shared<scan>();
        s->awaited = 1;
        ask(s, 'b', "IdleHint", [s](sd_bus_message* m) {
            int value = 0;
            if (bus_read(m, 'b', &value)) s->facts.idle_hint = value != 0;
        });
        ask(s, 't', "IdleSinceHintMonotonic", [s](sd_bus_message* m) {
            std::uint64_t value = 0;
            if (!bus_read(m, 't', &value) || value > INT64_MAX / 1000) return;
            s->facts.idle_since =
                base::time_point(std::chrono::microseconds(static_cast<std::int64_t>(value)));
        });
        ask(s, 'b', "PreparingForSleep", [s](sd_bus_message* m) {
            int value = 0;
            if (bus_read(m, 'b', &value)) s->facts.preparing_for_sleep = value != 0;
        });
        const auto listed = bus->call(manager("ListSessions"), {}, [this, s](sd_bus_message* m) {
            if (m && in_hand == s) {
                s->listed = true;
                for (const auto& path : read_session_paths(m)) look_at(s, path);
            }
            answered(s);
        });
        if (!listed) answered(s);
    }

    void ask(const std::shared_ptr<scan>& s, char type, const char* property,
             const bus_connection::handler& take) {
        ++s->awaited;
        const auto asked =
            bus->get_property(manager(property), type, [this, s, take](sd_bus_message* m) {
                if (m) take(m);
                answered(s);
            });
        if (!asked) answered(s);
    }

    void look_at(const std::shared_ptr<scan>& s, const std::string& path) {
        ++s->awaited;
        const auto asked = bus->call({logind, path, "org.freedesktop.DBus.Properties", "GetAll"},
                                     {std::string("org.freedesktop.login1.Session")},
                                     [this, s](sd_bus_message* m) {
                                         if (m) s->sessions.push_back(read_session(m));
                                         answered(s);
                                     });
        if (!asked) answered(s);
    }

    void answered(const std::shared_ptr<scan>& s) {
        if (--s->awaited > 0 || in_hand != s) return;
        in_hand.reset();
        sum_up(*s);
        s->facts.metered = found.metered;
        // The signal is newer than any answer: a scan only finds out how things were at the start.
        if (found.preparing_for_sleep) s->facts.preparing_for_sleep = found.preparing_for_sleep;
        found = s->facts;
        publish();
    }

    void publish() {
        if (found == told) return;
        told = found;
        calls.changed(found);
    }

    callbacks calls;
    stop_signal stop;
    std::atomic<int> lock = -1;  ///< logind's inhibitor; closed by whoever takes it out
    bus_connection* bus = nullptr;
    bus_facts found, told;
    std::shared_ptr<scan> in_hand;  ///< empty: none
    bool changed_since_scan = false;
    base::time_point last_scan;
    std::thread thread;
};

bus_probe::bus_probe(callbacks calls) : impl_(std::make_unique<impl>(std::move(calls))) {
    impl_->thread = std::thread([this] { impl_->run(); });
}

bus_probe::~bus_probe() {
    impl_->stop.raise();
    impl_->thread.join();
    impl_->ready_to_sleep();
}

void bus_probe::ready_to_sleep() {
    impl_->ready_to_sleep();
}

}  // namespace tequio::node
