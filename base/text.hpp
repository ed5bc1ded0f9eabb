#pragma once

/// Numbers and units as people and canonical texts write them. Locale-free: std::from_chars and
/// std::to_chars.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace tequio::base {

/// Decimal digits without sign, space or leading zero; nothing else, and at most 2^64-1.
std::optional<std::uint64_t> parse_u64(std::string_view text);
/// As `parse_u64`, with an optional leading `-`.
std::optional<std::int64_t> parse_i64(std::string_view text);
/// A finite real, the whole of `text`, by std::from_chars.
std::optional<double> parse_real(std::string_view text);
/// Shortest text that `parse_real` reads back to the same bits ("0.0004" is "4e-04"; both are
/// std::to_chars' business).
std::string shortest(double value);
/// The same with a point or an exponent: "4.0", which JSON and TOML readers do not take for an
/// integer.
std::string shortest_real(double value);

/// Splits at every `separator`; "a,,b" gives three parts, "" gives one empty part.
std::vector<std::string_view> split(std::string_view text, char separator);

/// Length, 1 to 4, of the well-formed UTF-8 sequence at the start of `text` (Unicode 15, table 3-7:
/// no overlong form, no surrogate, at most U+10FFFF); 0 when there is none.
std::size_t utf8_length(std::string_view text);

/// "2GiB", "512MiB", "4KiB", "17B" or "17": powers of 1024. Errors: `errc::bad_encoding`, saying
/// what is allowed.
result<std::uint64_t> parse_size(std::string_view text);
/// "8Mbit/s", "1Gbit/s", "64kbit/s": powers of 1000, in bits a second.
result<std::uint64_t> parse_rate(std::string_view text);
/// "90s", "2min", "3h", "7d", "250ms". Errors as above.
result<duration> parse_duration(std::string_view text);

/// For people: "1.4 GiB", "3.2 MiB", "17 B".
std::string human_size(std::uint64_t bytes);
/// For people: "1 h 02 min", "3 min 20 s", "4 s".
std::string human_duration(duration d);

}  // namespace tequio::base
