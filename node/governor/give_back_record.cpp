#include "node/governor/give_back_record.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/text.hpp"

namespace tequio::node {
namespace {

/// Counts beyond this are no record of ours: one event a microsecond for a day.
constexpr std::uint64_t count_max = std::uint64_t{base::day_seconds} * 1000000;
constexpr std::uint64_t longest_max_us = std::uint64_t{1} << 52;

base::error malformed_day(std::string_view what) {
    return base::fail(base::errc::bad_encoding,
                      "a day of the give-back record is malformed: " + std::string(what));
}

std::string in_milliseconds(base::duration d) {
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(d).count();
    return std::to_string(ms) + " ms";
}

}  // namespace

std::int64_t give_back_record::day_of(base::unix_time at) {
    const auto day = at.seconds / base::day_seconds;
    return at.seconds % base::day_seconds < 0 ? day - 1 : day;
}

void give_back_record::add(base::unix_time at, base::duration took) {
    const auto us = std::clamp<std::int64_t>(
        std::chrono::ceil<std::chrono::microseconds>(took).count(), 0, longest_max_us);
    auto& d = days_[day_of(at)];
    const auto* end = std::find_if(ends_ms.begin(), ends_ms.end(),
                                   [&](std::uint16_t ms) { return us <= std::int64_t{ms} * 1000; });
    auto& count = d.counts.at(static_cast<std::size_t>(end - ends_ms.begin()));
    if (count < count_max) ++count;
    d.longest_us = std::max(d.longest_us, static_cast<std::uint64_t>(us));
    bound(day_of(at));
}

void give_back_record::bound(std::int64_t newest) {
    while (days_.size() > days_max) {
        const bool first = std::abs(days_.begin()->first - newest) >=
                           std::abs(std::prev(days_.end())->first - newest);
        days_.erase(first ? days_.begin() : std::prev(days_.end()));
    }
}

base::duration give_back_record::class_end(const day& sum, double share, std::uint64_t count) {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count)));
    const base::duration longest = std::chrono::microseconds(sum.longest_us);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < ends_ms.size(); ++i) {
        seen += sum.counts[i];
        if (seen >= wanted) {
            return std::min(longest, base::duration(std::chrono::milliseconds(ends_ms[i])));
        }
    }
    return longest;
}

give_back_summary give_back_record::summary(base::unix_time now) const {
    const auto today = day_of(now);
    day sum;
    give_back_summary out;
    for (auto it = days_.upper_bound(today - days_counted); it != days_.end() && it->first <= today;
         ++it) {
        for (std::size_t i = 0; i < sum.counts.size(); ++i) sum.counts[i] += it->second.counts[i];
        sum.longest_us = std::max(sum.longest_us, it->second.longest_us);
    }
    for (std::size_t i = 0; i < sum.counts.size(); ++i) {
        const unsigned end = i < ends_ms.size() ? ends_ms[i] : 65535;
        out.count += sum.counts[i];
        if (end <= 120) out.within_120ms += sum.counts[i];
        if (end <= 250) out.within_250ms += sum.counts[i];
        if (end > 1000) out.above_1s += sum.counts[i];
    }
    if (out.count == 0) return out;
    out.p50 = class_end(sum, 0.5, out.count);
    out.p99 = class_end(sum, 0.99, out.count);
    out.longest = std::chrono::microseconds(sum.longest_us);
    return out;
}

std::string give_back_record::line(base::unix_time now) const {
    const auto s = summary(now);
    const auto days = "last " + std::to_string(days_counted) + " days: ";
    if (s.count == 0) return days + "nothing had to be given back";
    const auto percent = 100 * s.within_120ms / s.count;
    return days + "given back within 120 ms in " + std::to_string(percent) + " % of " +
           std::to_string(s.count) + (s.count == 1 ? " time" : " times") +
           (s.within_120ms == s.count ? "" : ", slowest " + in_milliseconds(s.longest));
}

std::string give_back_record::key_of(base::unix_time at) {
    return base::to_rfc3339(at).substr(0, 10);
}

std::string give_back_record::day_text(base::unix_time at) const {
    const auto found = days_.find(day_of(at));
    const auto d = found == days_.end() ? day{} : found->second;
    auto out = "1 " + std::to_string(d.longest_us);
    for (const auto count : d.counts) out += " " + std::to_string(count);
    return out;
}

base::result<void> give_back_record::restore(std::string_view key, std::string_view text) {
    const auto start = base::from_rfc3339(std::string(key) + "T00:00:00Z");
    if (!start) return malformed_day(key);
    const auto words = base::split(text, ' ');
    day d;
    if (words.size() != d.counts.size() + 2 || words[0] != "1") return malformed_day(text);
    const auto longest = base::parse_u64(words[1]);
    if (!longest || *longest > longest_max_us) return malformed_day(text);
    d.longest_us = *longest;
    for (std::size_t i = 0; i < d.counts.size(); ++i) {
        const auto count = base::parse_u64(words[i + 2]);
        if (!count || *count > count_max) return malformed_day(text);
        d.counts[i] = *count;
    }
    days_[day_of(*start)] = d;
    bound(day_of(*start));
    return {};
}

}  // namespace tequio::node
