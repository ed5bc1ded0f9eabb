#include "node/core/schedule.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "node/core/errc.hpp"

namespace tequio::node {
namespace {

constexpr unsigned day = 24 * 60;
constexpr unsigned week = 7 * day;
constexpr std::array<std::string_view, 7> weekdays{"mon", "tue", "wed", "thu", "fri", "sat", "sun"};
constexpr std::size_t spans_max = 200;  // many more than a week has use for

std::optional<unsigned> weekday_of(std::string_view name) {
    const auto it = std::find(weekdays.begin(), weekdays.end(), name);
    if (it == weekdays.end()) return std::nullopt;
    return static_cast<unsigned>(it - weekdays.begin());
}

/// "07:30" as minutes; 24:00 only where a span may end.
std::optional<unsigned> minutes_of(std::string_view text, bool end) {
    if (text.size() != 5 || text[2] != ':') return std::nullopt;
    const auto digit = [&](std::size_t i) { return static_cast<unsigned>(text[i] - '0'); };
    for (const std::size_t i : {0, 1, 3, 4}) {
        if (digit(i) > 9) return std::nullopt;
    }
    const unsigned hours = digit(0) * 10 + digit(1), minutes = digit(3) * 10 + digit(4);
    if (minutes > 59 || hours * 60 + minutes > (end ? day : day - 1)) return std::nullopt;
    return hours * 60 + minutes;
}

/// Sets the days that "mon", "mon-fri" or "sat,sun" name; false when it names none.
bool read_days(std::string_view text, std::array<bool, 7>& out) {
    for (const auto part : base::split(text, ',')) {
        const auto ends = base::split(part, '-');
        const auto first = weekday_of(ends[0]);
        const auto last = ends.size() == 2 ? weekday_of(ends[1]) : first;
        if (!first || !last || ends.size() > 2) return false;
        for (unsigned d = *first;; d = (d + 1) % 7) {
            out[d] = true;
            if (d == *last) break;
        }
    }
    return true;
}

}  // namespace

base::result<void> schedule::add(std::string_view text) {
    const auto refused = [] {
        return fail(errc::bad_config,
                    "hours from 00:00 to 24:00 like \"22:00-07:00\", weekdays before them if you "
                    "like: \"mon-fri 18:00-08:00\", \"sat,sun\"");
    };
    const auto blank = text.find(' ');
    const bool with_days = !text.empty() && text.front() > '9';
    const auto days_text = with_days ? text.substr(0, blank) : std::string_view();
    const auto hours_text = !with_days           ? text
                            : blank == text.npos ? std::string_view()
                                                 : text.substr(blank + 1);

    std::array<bool, 7> days{};
    if (!with_days) days.fill(true);
    if (with_days && !read_days(days_text, days)) return refused();
    unsigned begin = 0, length = day;
    if (!with_days || blank != text.npos) {
        const auto ends = base::split(hours_text, '-');
        if (ends.size() != 2) return refused();
        const auto from = minutes_of(ends[0], false), to = minutes_of(ends[1], true);
        if (!from || !to || *from == *to) return refused();
        begin = *from;
        length = *to > *from ? *to - *from : day - *from + *to;
    }
    if (spans_.size() + 7 > spans_max) return fail(errc::bad_config, "at most 28 spans");
    for (unsigned d = 0; d < 7; ++d) {
        if (days[d]) spans_.push_back({d * day + begin, length});
    }
    text_ += (text_.empty() ? "" : ", ") + std::string(text);
    return {};
}

bool schedule::open_at(unsigned minute_of_week) const {
    if (spans_.empty()) return true;
    return std::any_of(spans_.begin(), spans_.end(), [&](const span& s) {
        return (minute_of_week + week - s.begin) % week < s.length;
    });
}

bool schedule::open(unsigned weekday, unsigned minute) const {
    return open_at((weekday % 7) * day + minute % day);
}

std::optional<unsigned> schedule::minutes_to_change(unsigned weekday, unsigned minute) const {
    const unsigned now = (weekday % 7) * day + minute % day;
    const bool open_now = open_at(now);
    // It can change only where a span begins or ends.
    std::optional<unsigned> nearest;
    for (const auto& s : spans_) {
        for (const unsigned edge : {s.begin % week, (s.begin + s.length) % week}) {
            const unsigned away = (edge + week - now) % week;
            if (away == 0 || open_at(edge) == open_now) continue;
            nearest = std::min(nearest.value_or(away), away);
        }
    }
    return nearest;
}

std::string schedule::text() const {
    return spans_.empty() ? "always" : text_;
}

}  // namespace tequio::node
