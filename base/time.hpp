#pragma once

/// Times as cores see them: handed in, never read. Only node/io can make a `time_point` from a real
/// clock.

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace tequio::base {

/// A monotonic clock without `now()`: the shell or the simulator supplies its readings.
struct steady_clock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<steady_clock, duration>;
    static constexpr bool is_steady = true;
};

using duration = steady_clock::duration;
using time_point = steady_clock::time_point;

/// Wall time in whole seconds since 1970-01-01T00:00:00Z. For deadlines and notes, never for
/// time-outs.
struct unix_time {
    std::int64_t seconds = 0;
    auto operator<=>(const unix_time&) const = default;
};
inline constexpr std::int64_t day_seconds = 86400;

/// "2026-11-23T06:28:00Z" (RFC 3339, UTC, whole seconds).
std::string to_rfc3339(unix_time t);
/// Errors: `errc::bad_encoding` unless exactly the form that `to_rfc3339` writes.
result<unix_time> from_rfc3339(std::string_view text);

}  // namespace tequio::base
