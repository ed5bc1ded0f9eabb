#pragma once

/// How the daemon's log looks (`log.format`).

#include <cstdint>
#include <string>
#include <string_view>

namespace tequio::node {

/// Whatever is no UTF-8 becomes U+FFFD, byte by byte: JSON may not hold it.
std::string as_utf8(std::string_view bytes);

/// One line of the log as a JSON object, without a newline: `time` (RFC 3339, UTC, milliseconds),
/// `level`, `message`. The message goes through
/// `as_utf8`.
std::string json_log_line(std::int64_t unix_milliseconds, std::string_view level,
                          std::string_view message);

/// From the next line on the log is "text" or "json".
void set_log_format(const std::string& format);

}  // namespace tequio::node
