#include "base/text.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>

namespace tequio::base {
namespace {

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

/// A non-negative decimal number with an optional fraction, followed by one of `units`.
template <std::size_t N>
std::optional<std::uint64_t> parse_with_unit(std::string_view text,
                                             const std::array<unit, N>& units) {
    const auto end = text.find_first_not_of("0123456789.");
    const auto number = text.substr(0, end);
    const auto name = end == std::string_view::npos ? std::string_view{} : text.substr(end);
    for (const auto& u : units) {
        if (u.name != name) continue;
        if (const auto whole = parse_u64(number)) {
            if (*whole > std::numeric_limits<std::uint64_t>::max() / u.factor) return std::nullopt;
            return *whole * u.factor;
        }
        const auto real = parse_real(number);
        if (!real || *real < 0) return std::nullopt;
        const double scaled = *real * static_cast<double>(u.factor);
        if (scaled >= 9.2e18) return std::nullopt;
        return static_cast<std::uint64_t>(scaled);
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> parse_u64(std::string_view text) {
    if (text.empty() || (text.size() > 1 && text[0] == '0')) return std::nullopt;
    std::uint64_t value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::optional<std::int64_t> parse_i64(std::string_view text) {
    const bool negative = text.starts_with('-');
    const auto magnitude = parse_u64(negative ? text.substr(1) : text);
    const std::uint64_t most = (std::uint64_t{1} << 63) - (negative ? 0 : 1);
    if (!magnitude || *magnitude > most || (negative && *magnitude == 0)) return std::nullopt;
    // Unsigned negation wraps to the two's complement, also for -2^63.
    return static_cast<std::int64_t>(negative ? 0 - *magnitude : *magnitude);
}

std::optional<double> parse_real(std::string_view text) {
    double value = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) {
        return std::nullopt;
    }
    return value;
}

std::string shortest(double value) {
    std::array<char, 40> out;
    const auto [end, ec] = std::to_chars(out.data(), out.data() + out.size(), value);
    return {out.data(), end};
}

std::string shortest_real(double value) {
    auto out = shortest(value);
    if (out.find_first_of(".e") == std::string::npos) out += ".0";
    return out;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    for (;;) {
        const auto at = text.find(separator);
        parts.push_back(text.substr(0, at));
        if (at == std::string_view::npos) return parts;
        text.remove_prefix(at + 1);
    }
}

std::size_t utf8_length(std::string_view text) {
    if (text.empty()) return 0;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    const unsigned second = byte(1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    const bool too_high = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || too_high ? 0 : length;
}

result<std::uint64_t> parse_size(std::string_view text) {
    static constexpr std::array<unit, 6> units{{{"", 1},
                                                {"B", 1},
                                                {"KiB", 1ull << 10},
                                                {"MiB", 1ull << 20},
                                                {"GiB", 1ull << 30},
                                                {"TiB", 1ull << 40}}};
    if (const auto value = parse_with_unit(text, units)) return *value;
    return fail(errc::bad_encoding,
                "found \"" + std::string(text) + "\", allowed: a size like 512MiB or 2GiB");
}

result<std::uint64_t> parse_rate(std::string_view text) {
    static constexpr std::array<unit, 4> units{
        {{"bit/s", 1}, {"kbit/s", 1000}, {"Mbit/s", 1000000}, {"Gbit/s", 1000000000}}};
    if (const auto value = parse_with_unit(text, units)) return *value;
    return fail(errc::bad_encoding,
                "found \"" + std::string(text) + "\", allowed: a rate like 8Mbit/s or 64kbit/s");
}

result<duration> parse_duration(std::string_view text) {
    static constexpr std::array<unit, 5> units{{{"ms", 1000000ull},
                                                {"s", 1000000000ull},
                                                {"min", 60000000000ull},
                                                {"h", 3600000000000ull},
                                                {"d", 86400000000000ull}}};
    const auto value = parse_with_unit(text, units);
    if (value && *value <= std::uint64_t{1} << 62)
        return duration{static_cast<std::int64_t>(*value)};
    return fail(errc::bad_encoding, "found \"" + std::string(text) +
                                        "\", allowed: a duration like 90s, 2min, 3h or 7d");
}

std::string human_size(std::uint64_t bytes) {
    static constexpr std::array<const char*, 5> names{"KiB", "MiB", "GiB", "TiB", "PiB"};
    if (bytes < 1024) return std::to_string(bytes) + " B";
    double value = static_cast<double>(bytes) / 1024;
    std::size_t i = 0;
    while (value >= 1024 && i + 1 < names.size()) value /= 1024, ++i;
    char out[32];
    std::snprintf(out, sizeof out, "%.1f %s", value, names[i]);
    return out;
}

std::string human_duration(duration d) {
    const auto s = std::chrono::duration_cast<std::chrono::seconds>(d).count();
    char out[48];
    if (s >= 3600) {
        std::snprintf(out, sizeof out, "%lld h %02lld min", static_cast<long long>(s / 3600),
                      static_cast<long long>(s / 60 % 60));
    } else if (s >= 60) {
        std::snprintf(out, sizeof out, "%lld min %02lld s", static_cast<long long>(s / 60),
                      static_cast<long long>(s % 60));
    } else {
        std::snprintf(out, sizeof out, "%lld s", static_cast<long long>(s));
    }
    return out;
}

}  // namespace tequio::base
