#pragma once

/// What the session agent tells the daemon: the body of `PUT /api/v1/agent`. All that leaves the
/// owner's session is in this struct: no key, no title, no name of a program.
///
///     {"source":"x11","idle_ms":1234,"locked":false,"full_screen":null}

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace tequio::node {

/// The longest text of a report that is read; one by `agent_report_text` has at most 100 bytes.
inline constexpr std::size_t agent_report_max_bytes = 512;
/// The longest idleness that is told or believed; longer is told as this.
inline constexpr std::chrono::milliseconds agent_idle_max = std::chrono::hours(24 * 366);

/// The owner's session at the moment of sending.
struct agent_report {
    std::string source;               ///< who was asked: "wayland", "gnome" or "x11"
    std::chrono::milliseconds idle;   ///< since the last input; 0 means right now
    bool locked = false;              ///< the screen is locked
    std::optional<bool> full_screen;  ///< the active window fills the screen; empty: nobody knows

    bool operator==(const agent_report&) const = default;
};

/// Reads a report. Strict: an object of exactly these four keys, so that a report can carry nothing
/// else. Errors: `errc::bad_request`, saying the key, what was found and what is allowed. Pure;
/// safe on any text; no allocation before the length was checked.
base::result<agent_report> parse_agent_report(std::string_view json);

/// The text that `parse_agent_report` reads back; `idle` below 0 becomes 0, above `agent_idle_max`
/// that. The source must be one of the three.
std::string agent_report_text(const agent_report& report);

}  // namespace tequio::node
