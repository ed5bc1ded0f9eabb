#include "tests/support/fake_services.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <future>
#include <utility>

#include "base/ensure.hpp"

namespace tequio::tests {
namespace {

using clock = std::chrono::steady_clock;

constexpr const char* configuration = R"(<!DOCTYPE busconfig PUBLIC
 "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
)";

constexpr const char* session_prefix = "/org/freedesktop/login1/session/";

/// A socket is there when it is bound, and takes connections only once it listens.
bool takes_connections(const std::filesystem::path& socket) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    const std::string path = socket.string();
    base::ensure(path.size() < sizeof where.sun_path, "the path of a private bus fits");
    std::memcpy(where.sun_path, path.data(), path.size());
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool taken = ::connect(fd, reinterpret_cast<sockaddr*>(&where), sizeof where) == 0;
    ::close(fd);
    return taken;
}

}  // namespace

private_bus::private_bus(const std::filesystem::path& folder) {
    const auto socket = folder / "bus";
    std::string text = configuration;
    text.replace(text.find('%'), 1, socket.string());
    std::ofstream(folder / "bus.conf") << text;
    address_ = "unix:path=" + socket.string();
    daemon_ = std::make_unique<child_process>(
        std::vector<std::string>{"dbus-daemon", "--nofork", "--nopidfile",
                                 "--config-file=" + (folder / "bus.conf").string()},
        std::vector<std::string>{}, folder / "bus.log");
    base::ensure(becomes(std::chrono::seconds(10), [&] { return takes_connections(socket); }),
                 "dbus-daemon listens");
}

struct fake_services::impl {
    sd_bus* bus = nullptr;
    fake_state state;
    std::uint32_t next_watch = 1;
    std::map<std::uint32_t, std::pair<std::uint64_t, bool>> idle_watches;  ///< milliseconds, fired
    std::vector<std::uint32_t> active_watches;
    std::vector<int> locks;  ///< our ends of the sleep locks

    std::uint64_t idle_milliseconds() const {
        return static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(clock::now() - state.last_input)
                .count());
    }

    void fire(std::uint32_t id) {
        sd_bus_emit_signal(bus, "/org/gnome/Mutter/IdleMonitor/Core",
                           "org.gnome.Mutter.IdleMonitor", "WatchFired", "u", id);
    }

    void look_at_time() {
        for (auto& [id, watch] : idle_watches) {
            if (watch.second || idle_milliseconds() < watch.first) continue;
            watch.second = true;
            fire(id);
        }
        std::erase_if(locks, [](int fd) {
            pollfd event{fd, POLLIN, 0};
            const bool closed = ::poll(&event, 1, 0) > 0 && (event.revents & POLLHUP);
            if (closed) ::close(fd);
            return closed;
        });
        state.locks_held = static_cast<int>(locks.size());
    }

    void touched() {
        state.last_input = clock::now();
        for (auto& [id, watch] : idle_watches) watch.second = false;
        for (const auto id : std::exchange(active_watches, {})) fire(id);
    }
};

namespace {

fake_services::impl& of(void* self, bool asked = true) {
    auto& services = *static_cast<fake_services::impl*>(self);
    services.state.calls += asked;
    return services;
}

int add_idle_watch(sd_bus_message* m, void* self, sd_bus_error*) {
    auto& s = of(self);
    std::uint64_t interval = 0;
    sd_bus_message_read(m, "t", &interval);
    s.idle_watches[s.next_watch] = {interval, s.idle_milliseconds() >= interval};
    return sd_bus_reply_method_return(m, "u", s.next_watch++);
}

int add_active_watch(sd_bus_message* m, void* self, sd_bus_error*) {
    auto& s = of(self);
    s.active_watches.push_back(s.next_watch);
    return sd_bus_reply_method_return(m, "u", s.next_watch++);
}

int get_idle_time(sd_bus_message* m, void* self, sd_bus_error*) {
    return sd_bus_reply_method_return(m, "t", of(self).idle_milliseconds());
}

int get_active(sd_bus_message* m, void* self, sd_bus_error*) {
    return sd_bus_reply_method_return(m, "b", int(of(self).state.screen_saver_active));
}

int list_sessions(sd_bus_message* m, void* self, sd_bus_error*) {
    sd_bus_message* reply = nullptr;
    sd_bus_message_new_method_return(m, &reply);
    sd_bus_message_open_container(reply, 'a', "(susso)");
    for (const auto& [id, session] : of(self).state.sessions) {
        sd_bus_message_append(reply, "(susso)", id.c_str(), 1000u, "owner", "seat0",
                              (session_prefix + id).c_str());
    }
    sd_bus_message_close_container(reply);
    const int sent = sd_bus_send(nullptr, reply, nullptr);
    sd_bus_message_unref(reply);
    return sent;
}

int get_session(sd_bus_message* m, void* self, sd_bus_error* error) {
    const char* id = nullptr;
    sd_bus_message_read(m, "s", &id);
    if (!of(self).state.sessions.contains(id)) {
        return sd_bus_error_set(error, "org.freedesktop.login1.NoSuchSession", "no such session");
    }
    return sd_bus_reply_method_return(m, "o", (session_prefix + std::string(id)).c_str());
}

int inhibit(sd_bus_message* m, void* self, sd_bus_error*) {
    const char *what = nullptr, *who = nullptr, *why = nullptr, *mode = nullptr;
    sd_bus_message_read(m, "ssss", &what, &who, &why, &mode);
    auto& s = of(self);
    int ends[2];
    if (std::string(what) != "sleep" || std::string(mode) != "delay" ||
        ::pipe2(ends, O_CLOEXEC) != 0) {
        return -EINVAL;
    }
    s.locks.push_back(ends[0]);
    ++s.state.locks_taken;
    const int sent = sd_bus_reply_method_return(m, "h", ends[1]);
    ::close(ends[1]);
    return sent;
}

int get_property(sd_bus*, const char* path, const char*, const char* property,
                 sd_bus_message* reply, void* self, sd_bus_error*) {
    const auto& state = of(self).state;
    const std::string name = property, place = path;
    if (name == "IdleSinceHintMonotonic") {
        return sd_bus_message_append(reply, "t", state.idle_since_microseconds);
    }
    if (name == "Metered") return sd_bus_message_append(reply, "u", state.metered);
    if (name == "IdleHint" && !place.starts_with(session_prefix)) {
        return sd_bus_message_append(reply, "b", int(state.idle_hint));
    }
    if (name == "PreparingForSleep") return sd_bus_message_append(reply, "b", 0);
    const auto id = place.substr(std::string(session_prefix).size());
    const auto& session = id == "auto" ? state.sessions.begin()->second : state.sessions.at(id);
    if (name == "Class") return sd_bus_message_append(reply, "s", session.kind.c_str());
    const bool value = name == "Active"       ? session.active
                       : name == "Remote"     ? session.remote
                       : name == "LockedHint" ? session.locked
                                              : false;
    return sd_bus_message_append(reply, "b", int(value));
}

int find_session(sd_bus*, const char* path, const char*, void* self, void** found, sd_bus_error*) {
    const auto& state = of(self, false).state;
    const auto id = std::string(path).substr(std::string(session_prefix).size());
    if (id == "auto" ? state.sessions.empty() : !state.sessions.contains(id)) return 0;
    *found = self;
    return 1;
}

const sd_bus_vtable idle_monitor_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("AddIdleWatch", "t", "u", add_idle_watch, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("AddUserActiveWatch", "", "u", add_active_watch, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("GetIdletime", "", "t", get_idle_time, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END};
const sd_bus_vtable screen_saver_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("GetActive", "", "b", get_active, SD_BUS_VTABLE_UNPRIVILEGED), SD_BUS_VTABLE_END};
const sd_bus_vtable manager_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("ListSessions", "", "a(susso)", list_sessions, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("GetSession", "s", "o", get_session, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Inhibit", "ssss", "h", inhibit, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("IdleHint", "b", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("IdleSinceHintMonotonic", "t", get_property, 0,
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("PreparingForSleep", "b", get_property, 0, 0),
    SD_BUS_VTABLE_END};
const sd_bus_vtable session_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Active", "b", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Remote", "b", get_property, 0, 0),
    SD_BUS_PROPERTY("Class", "s", get_property, 0, 0),
    SD_BUS_PROPERTY("IdleHint", "b", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("LockedHint", "b", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END};
const sd_bus_vtable network_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Metered", "u", get_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END};

}  // namespace

fake_services::fake_services(const std::string& address, const std::vector<std::string>& names)
    : impl_(std::make_unique<impl>()) {
    auto& bus = impl_->bus;
    base::ensure(sd_bus_new(&bus) >= 0 && sd_bus_set_address(bus, address.c_str()) >= 0 &&
                     sd_bus_set_bus_client(bus, 1) >= 0 && sd_bus_start(bus) >= 0,
                 "the private bus takes connections");
    auto* self = impl_.get();
    sd_bus_add_object_vtable(bus, nullptr, "/org/gnome/Mutter/IdleMonitor/Core",
                             "org.gnome.Mutter.IdleMonitor", idle_monitor_table, self);
    sd_bus_add_object_vtable(bus, nullptr, "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver",
                             screen_saver_table, self);
    sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/login1",
                             "org.freedesktop.login1.Manager", manager_table, self);
    sd_bus_add_fallback_vtable(bus, nullptr, "/org/freedesktop/login1/session",
                               "org.freedesktop.login1.Session", session_table, find_session, self);
    sd_bus_add_object_vtable(bus, nullptr, "/org/freedesktop/NetworkManager",
                             "org.freedesktop.NetworkManager", network_table, self);
    for (const auto& name : names) {
        base::ensure(sd_bus_request_name(bus, name.c_str(), 0) >= 0, "names are free");
    }
    thread_ = std::thread([this] { run(); });
}

fake_services::~fake_services() {
    ended_ = true;
    thread_.join();
    sd_bus_flush_close_unref(impl_->bus);
    for (const int fd : impl_->locks) ::close(fd);
}

void fake_services::run() {
    while (!ended_) {
        while (sd_bus_process(impl_->bus, nullptr) > 0) continue;
        std::queue<std::function<void()>> asked;
        {
            const std::lock_guard lock(mutex_);
            asked.swap(asked_);
        }
        for (; !asked.empty(); asked.pop()) asked.front()();
        impl_->look_at_time();
        sd_bus_flush(impl_->bus);
        pollfd event{sd_bus_get_fd(impl_->bus), POLLIN, 0};
        ::poll(&event, 1, 2);
    }
}

void fake_services::do_there(std::function<void()> what) {
    std::promise<void> done;
    {
        const std::lock_guard lock(mutex_);
        asked_.push([&] {
            what();
            done.set_value();
        });
    }
    done.get_future().wait();
}

void fake_services::change(const std::function<void(fake_state&)>& how) {
    do_there([&] { how(impl_->state); });
}

fake_state fake_services::state() {
    fake_state copy;
    do_there([&] { copy = impl_->state; });
    return copy;
}

void fake_services::change_session(const std::string& id,
                                   const std::function<void(fake_session&)>& how) {
    do_there([&] {
        how(impl_->state.sessions[id]);
        sd_bus_emit_properties_changed(impl_->bus, (session_prefix + id).c_str(),
                                       "org.freedesktop.login1.Session", "LockedHint", "Active",
                                       nullptr);
    });
}

clock::time_point fake_services::input() {
    const auto began = clock::now();
    do_there([&] { impl_->touched(); });
    return began;
}

void fake_services::set_screen_saver(bool active) {
    do_there([&] {
        impl_->state.screen_saver_active = active;
        sd_bus_emit_signal(impl_->bus, "/org/gnome/ScreenSaver", "org.gnome.ScreenSaver",
                           "ActiveChanged", "b", int(active));
    });
}

void fake_services::set_metered(std::uint32_t value) {
    do_there([&] {
        impl_->state.metered = value;
        sd_bus_emit_properties_changed(impl_->bus, "/org/freedesktop/NetworkManager",
                                       "org.freedesktop.NetworkManager", "Metered", nullptr);
    });
}

void fake_services::prepare_for_sleep(bool begins) {
    do_there([&] {
        sd_bus_emit_signal(impl_->bus, "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                           "PrepareForSleep", "b", int(begins));
    });
}

}  // namespace tequio::tests
