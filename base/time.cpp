#include "base/time.hpp"

#include <cstdio>

#include "base/text.hpp"

namespace tequio::base {

std::string to_rfc3339(unix_time t) {
    namespace chrono = std::chrono;
    const chrono::sys_seconds at{chrono::seconds{t.seconds}};
    const auto day = chrono::floor<chrono::days>(at);
    const chrono::year_month_day date{day};
    const chrono::hh_mm_ss clock{at - day};
    char out[40];
    std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(clock.hours().count()),
                  static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()));
    return out;
}

result<unix_time> from_rfc3339(std::string_view text) {
    namespace chrono = std::chrono;
    const auto bad = [&] {
        return fail(errc::bad_encoding,
                    "not a UTC time like 2026-01-31T12:00:00Z: " + std::string(text));
    };
    if (text.size() != 20) return bad();
    const auto number = [&](std::size_t at, std::size_t width) {
        return parse_u64(text.substr(at, width)).value_or(~std::uint64_t{0});
    };
    const auto digits = [&](std::size_t at, std::size_t width) {
        for (std::size_t i = at; i < at + width; ++i) {
            if (text[i] < '0' || text[i] > '9') return ~std::uint64_t{0};
        }
        // Leading zeros are part of the form here, so skip them before the strict parser.
        while (width > 1 && text[at] == '0') ++at, --width;
        return number(at, width);
    };
    const auto year = digits(0, 4), month = digits(5, 2), day = digits(8, 2);
    const auto hour = digits(11, 2), minute = digits(14, 2), second = digits(17, 2);
    if (year > 9999 || month > 12 || day > 31 || hour > 23 || minute > 59 || second > 59)
        return bad();
    const chrono::year_month_day date{chrono::year{static_cast<int>(year)},
                                      chrono::month{static_cast<unsigned>(month)},
                                      chrono::day{static_cast<unsigned>(day)}};
    if (!date.ok()) return bad();
    const auto days = chrono::sys_days{date}.time_since_epoch();
    const unix_time out{chrono::seconds{days}.count() +
                        static_cast<std::int64_t>(hour * 3600 + minute * 60 + second)};
    if (to_rfc3339(out) != text) return bad();
    return out;
}

}  // namespace tequio::base
