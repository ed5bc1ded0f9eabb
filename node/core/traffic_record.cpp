#include "node/core/traffic_record.hpp"

#include "base/text.hpp"

namespace tequio::node {
namespace {

namespace chrono = std::chrono;

chrono::year_month_day date_of(base::unix_time now) {
    return chrono::floor<chrono::days>(chrono::sys_seconds{chrono::seconds{now.seconds}});
}

}  // namespace

std::string traffic_text(const traffic_sum& t) {
    return std::to_string(t.sent) + " " + std::to_string(t.received);
}

base::result<traffic_sum> parse_traffic(std::string_view text) {
    constexpr std::uint64_t bytes_max = std::uint64_t{1} << 62;
    const auto words = base::split(text, ' ');
    const auto sent = base::parse_u64(words[0]);
    const auto received = words.size() == 2 ? base::parse_u64(words[1]) : std::nullopt;
    if (!sent || !received || *sent > bytes_max || *received > bytes_max) {
        return base::fail(base::errc::bad_encoding, "not two numbers of bytes");
    }
    return traffic_sum{*sent, *received};
}

std::string traffic_record::month_of(base::unix_time now) {
    return base::to_rfc3339(now).substr(0, 7);
}

base::unix_time traffic_record::next_month(base::unix_time now) {
    const auto date = date_of(now);
    const auto next = (date.year() / date.month() + chrono::months{1}) / chrono::day{1};
    return {chrono::sys_seconds{chrono::sys_days{next}}.time_since_epoch().count()};
}

std::vector<traffic_record::change> traffic_record::add(traffic_sum more, base::unix_time now) {
    const auto key = month_of(now);
    auto& m = months_[key];
    m.sent += more.sent;
    m.received += more.received;
    std::vector<change> out;
    out.emplace_back(key, traffic_text(m));
    // "2026-11" sorts as it should. A clock that was years ahead for a while loses its month first.
    while (months_.size() > months_max) {
        const auto oldest =
            months_.begin()->first == key ? std::prev(months_.end()) : months_.begin();
        out.emplace_back(oldest->first, std::nullopt);
        months_.erase(oldest);
    }
    return out;
}

base::result<void> traffic_record::restore(std::string_view key, std::string_view text) {
    const auto malformed = [&] {
        return base::fail(base::errc::bad_encoding,
                          "the traffic of a month is malformed: " + std::string(key.substr(0, 16)) +
                              " " + std::string(text.substr(0, 64)));
    };
    const auto first = base::from_rfc3339(std::string(key) + "-01T00:00:00Z");
    const auto sum = parse_traffic(text);
    if (!first || !sum) return malformed();
    if (months_.size() < months_max) months_[std::string(key)] = *sum;
    return {};
}

traffic_sum traffic_record::month(base::unix_time now) const {
    const auto it = months_.find(month_of(now));
    return it == months_.end() ? traffic_sum{} : it->second;
}

}  // namespace tequio::node
