#pragma once

/// What this node sent and received in a calendar month (UTC), for `network.monthly_traffic`. Pure.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace tequio::node {

/// Bytes both ways.
struct traffic_sum {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t all() const { return sent + received; }
    bool operator==(const traffic_sum&) const = default;
};
/// "13 24": as it is kept.
std::string traffic_text(const traffic_sum& t);
/// Errors: `errc::bad_encoding` unless it is what `traffic_text` writes.
base::result<traffic_sum> parse_traffic(std::string_view text);

class traffic_record {
public:
    /// Where durable memory keeps it: a month, "2026-11" -> bytes sent and received, as text.
    static constexpr std::string_view bucket = "traffic";
    static constexpr std::size_t months_max = 13;

    /// One change of durable memory: the text now under that key, or none.
    using change = std::pair<std::string, std::optional<std::string>>;
    /// Counts these bytes in the month of `now`; gives what to keep.
    std::vector<change> add(traffic_sum more, base::unix_time now);
    /// Takes one kept month back. Errors: `errc::bad_encoding` for a key or text that `add` does
    /// not give; nothing is changed then.
    base::result<void> restore(std::string_view key, std::string_view text);
    traffic_sum month(base::unix_time now) const;

    /// "2026-11".
    static std::string month_of(base::unix_time now);
    /// When the month after that of `now` begins.
    static base::unix_time next_month(base::unix_time now);

private:
    std::map<std::string, traffic_sum> months_;
};

}  // namespace tequio::node
