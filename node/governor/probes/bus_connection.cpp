#include "node/governor/probes/bus_connection.hpp"

#include <systemd/sd-bus.h>

#include <cstring>

namespace tequio::node {
namespace {

constexpr base::duration greeting_limit = std::chrono::seconds(5);
constexpr std::uint64_t answer_limit_microseconds = 5'000'000;

struct bus_closer {
    void operator()(sd_bus* bus) const { sd_bus_close_unref(bus); }
};
struct message_closer {
    void operator()(sd_bus_message* m) const { sd_bus_message_unref(m); }
};
using message_pointer = std::unique_ptr<sd_bus_message, message_closer>;

base::error failed(const char* what, int code) {
    return base::fail(base::errc::io_failure, std::string(what) + ": " + std::strerror(-code));
}

/// Runs a handler; C code calls it, so nothing may pass through by exception.
int run_handler(sd_bus_message* m, void* handle, sd_bus_error*) noexcept {
    const auto& seen = *static_cast<bus_connection::handler*>(handle);
    seen(sd_bus_message_is_method_error(m, nullptr) > 0 ? nullptr : m);
    return 0;
}

void drop_handler(void* handle) {
    delete static_cast<bus_connection::handler*>(handle);
}

/// Leaves the slot, and with it the handler, to the bus.
void leave_to_bus(sd_bus_slot* slot) {
    sd_bus_slot_set_destroy_callback(slot, drop_handler);
    sd_bus_slot_set_floating(slot, 1);
    sd_bus_slot_unref(slot);
}

int append(sd_bus_message* m, const bus_connection::argument& value) {
    if (const auto* text = std::get_if<std::string>(&value)) {
        return sd_bus_message_append_basic(m, 's', text->c_str());
    }
    if (const auto* wide = std::get_if<std::uint64_t>(&value)) {
        return sd_bus_message_append_basic(m, 't', wide);
    }
    return sd_bus_message_append_basic(m, 'u', &std::get<std::uint32_t>(value));
}

}  // namespace

struct bus_connection::impl {
    std::unique_ptr<sd_bus, bus_closer> bus;
    base::time_point greet_by;
    bool greeted = false;
};

bus_connection::bus_connection(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
bus_connection::bus_connection(bus_connection&&) noexcept = default;
bus_connection& bus_connection::operator=(bus_connection&&) noexcept = default;
bus_connection::~bus_connection() = default;

base::result<bus_connection> bus_connection::open(kind which) {
    sd_bus* bus = nullptr;
    const int code = which == kind::system ? sd_bus_open_system(&bus) : sd_bus_open_user(&bus);
    if (code < 0) {
        return failed(which == kind::system ? "no system bus" : "no session bus", code);
    }
    auto state = std::make_unique<impl>();
    state->bus.reset(bus);
    state->greet_by = probe_now() + greeting_limit;
    return bus_connection(std::move(state));
}

base::result<void> bus_connection::on_signal(const std::string& rule, handler seen) {
    auto handle = std::make_unique<handler>(std::move(seen));
    sd_bus_slot* slot = nullptr;
    const int code = sd_bus_add_match_async(impl_->bus.get(), &slot, rule.c_str(), run_handler,
                                            nullptr, handle.get());
    if (code < 0) return failed("D-Bus match", code);
    (void)handle.release();  // the slot's from here
    leave_to_bus(slot);
    return {};
}

base::result<void> bus_connection::call(const bus_method& method,
                                        std::initializer_list<argument> arguments,
                                        handler answered) {
    sd_bus_message* raw = nullptr;
    int code = sd_bus_message_new_method_call(impl_->bus.get(), &raw, method.destination.c_str(),
                                              method.path.c_str(), method.interface.c_str(),
                                              method.member.c_str());
    if (code < 0) return failed("D-Bus call", code);
    const message_pointer message(raw);
    code = sd_bus_message_set_auto_start(raw, 0);
    for (const auto& value : arguments) {
        if (code >= 0) code = append(raw, value);
    }
    if (code < 0) return failed("D-Bus call", code);
    auto handle = std::make_unique<handler>(std::move(answered));
    sd_bus_slot* slot = nullptr;
    code = sd_bus_call_async(impl_->bus.get(), &slot, raw, run_handler, handle.get(),
                             answer_limit_microseconds);
    if (code < 0) return failed("D-Bus call", code);
    (void)handle.release();
    leave_to_bus(slot);
    return {};
}

base::result<void> bus_connection::get_property(const bus_method& property, char type,
                                                handler answered) {
    const bus_method get{property.destination, property.path, "org.freedesktop.DBus.Properties",
                         "Get"};
    return call(get, {property.interface, property.member},
                [type, answered = std::move(answered)](sd_bus_message* m) {
                    const std::string contents(1, type);
                    const bool inside =
                        m && sd_bus_message_enter_container(m, 'v', contents.c_str()) > 0;
                    answered(inside ? m : nullptr);
                });
}

base::result<void> bus_connection::watch_name(const std::string& name,
                                              std::function<void(bool)> changed) {
    TEQUIO_CHECK(
        on_signal("type='signal',sender='org.freedesktop.DBus',"
                  "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='" +
                      name + "'",
                  [changed](sd_bus_message* m) {
                      const char *who = nullptr, *before = nullptr, *after = nullptr;
                      if (!m || sd_bus_message_read(m, "sss", &who, &before, &after) < 0) return;
                      if (*before) changed(false);
                      if (*after) changed(true);
                  }));
    return call(
        {"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner"},
        {name}, [changed](sd_bus_message* m) {
            int has = 0;
            changed(m && bus_read(m, 'b', &has) && has != 0);
        });
}

base::result<waited> bus_connection::handle_until(base::time_point until, const stop_signal& stop) {
    auto* bus = impl_->bus.get();
    bool handled = false;
    for (;;) {
        const int code = sd_bus_process(bus, nullptr);
        if (code < 0) return failed("the bus went away", code);
        handled = handled || code > 0;
        impl_->greeted = impl_->greeted || sd_bus_is_ready(bus) > 0;
        if (!impl_->greeted && probe_now() >= impl_->greet_by) {
            return base::fail(base::errc::io_failure, "the bus does not answer");
        }
        if (stop.raised()) return waited::stopped;
        if (code > 0 && probe_now() < until) continue;
        if (handled) return waited::ready;
        if (probe_now() >= until) return waited::timed_out;
        const int events = sd_bus_get_events(bus);
        std::uint64_t wake_microseconds = 0;
        if (events < 0 || sd_bus_get_timeout(bus, &wake_microseconds) < 0) {
            return base::fail(base::errc::io_failure, "the bus went away");
        }
        auto wake = impl_->greeted ? until : std::min(until, impl_->greet_by);
        // sd-bus gives a reading of CLOCK_MONOTONIC, which is probe_now's clock too.
        if (wake_microseconds != UINT64_MAX) {
            wake = std::min(wake, base::time_point(std::chrono::microseconds(
                                      static_cast<std::int64_t>(wake_microseconds))));
        }
        (void)wait_for(sd_bus_get_fd(bus), static_cast<short>(events), wake, stop);
    }
}

bool bus_read(sd_bus_message* message, char type, void* into) {
    return sd_bus_message_read_basic(message, type, into) > 0;
}

}  // namespace tequio::node
