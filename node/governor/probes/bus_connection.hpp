#pragma once

/// A D-Bus connection for watching: signals and properties, never a blocking call. sd-bus
/// (libsystemd) behind a thin face; what is its own stays in bus_connection.cpp, but for reading
/// messages.
///
/// One thread uses a connection, from opening to destruction.

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <variant>

#include "base/result.hpp"
#include "node/governor/probes/waiting.hpp"

struct sd_bus;
struct sd_bus_message;

namespace tequio::node {

/// The name that systemd-logind has on the system bus.
constexpr const char* logind = "org.freedesktop.login1";

/// One method of one object.
struct bus_method {
    std::string destination, path, interface, member;
};

class bus_connection {
public:
    enum class kind { system, session };
    /// Gets the message, which lives as long as the call.
    using handler = std::function<void(sd_bus_message*)>;
    using argument = std::variant<std::string, std::uint64_t, std::uint32_t>;

    /// Begins to connect, as DBUS_SYSTEM_BUS_ADDRESS, DBUS_SESSION_BUS_ADDRESS or the usual socket
    /// say; returns at once. Errors: `base::errc::io_failure`: there is no such bus.
    static base::result<bus_connection> open(kind which);
    bus_connection(bus_connection&&) noexcept;
    bus_connection& operator=(bus_connection&&) noexcept;
    ~bus_connection();

    /// Calls `seen` for every signal that the match rule lets through, as long as the connection
    /// lives ("type='signal',member='ActiveChanged'").
    base::result<void> on_signal(const std::string& rule, handler seen);
    /// Calls a method of a service that runs (none is started). `answered` gets the reply, or
    /// nullptr: an error, no such service, or no answer within 5 s.
    base::result<void> call(const bus_method& method, std::initializer_list<argument> arguments,
                            handler answered);
    /// `answered` gets a message at the value inside of the property's variant, or nullptr, as
    /// above and also when the property has another type than `type` (as "b").
    base::result<void> get_property(const bus_method& property, char type, handler answered);
    /// Calls `changed` with true when the service has an owner now or gets one (a new one: false
    /// first), with false when it has none.
    base::result<void> watch_name(const std::string& name, std::function<void(bool)> changed);

    /// Answers and signals until `until`; returns earlier after having handled some.
    /// Errors: the connection broke, or the bus did not greet within 5 s of opening.
    base::result<waited> handle_until(base::time_point until, const stop_signal& stop);

private:
    struct impl;
    explicit bus_connection(std::unique_ptr<impl> state);
    std::unique_ptr<impl> impl_;
};

/// Reads one value of the type that `type` names ("b" into int, "t" into uint64, "u" into uint32,
/// "s" into const char*); false when something else stands there.
bool bus_read(sd_bus_message* message, char type, void* into);

}  // namespace tequio::node
