#pragma once

/// How quickly the machine was given back to its owner, over the last days: a histogram a day, so
/// that `status` can state what was promised and kept. Pure: times are handed in.

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"

namespace tequio::node {

/// What a few days came to. Percentiles are upper bounds: the end of the class they fall into.
struct give_back_summary {
    std::uint64_t count = 0;
    std::uint64_t within_120ms = 0;
    std::uint64_t within_250ms = 0;
    std::uint64_t above_1s = 0;
    base::duration p50{};
    base::duration p99{};
    base::duration longest{};
};

class give_back_record {
public:
    /// Where durable memory keeps it: `key_of` a day -> its `day_text`.
    static constexpr std::string_view bucket = "give_back";
    /// Days that `summary` counts, today included.
    static constexpr std::int64_t days_counted = 7;
    /// Days kept at most; beyond, the one furthest from the newest event goes.
    static constexpr std::size_t days_max = 8;

    /// One giving back: it began at `at` and took `took` (negative counts as 0).
    void add(base::unix_time at, base::duration took);
    /// The last seven days (UTC), today's included. Days after `now` do not count: a clock that was
    /// wrong once does not stay in the line.
    give_back_summary summary(base::unix_time now) const;
    /// "last 7 days: given back within 120 ms in 99 % of 214 times". The share is rounded down, so
    /// that 100 % means all.
    std::string line(base::unix_time now) const;

    /// The day of `at` as a key of durable memory, "2026-11-24".
    static std::string key_of(base::unix_time at);
    /// The day of `at` as text: "1", the longest time in microseconds, and the classes' counts.
    std::string day_text(base::unix_time at) const;
    /// Takes one day back. Errors: `errc::bad_encoding` for a key or text that the functions above
    /// do not write; the record is then unchanged.
    base::result<void> restore(std::string_view key, std::string_view text);

private:
    /// Upper ends of the classes in milliseconds, the end included; one more class lies beyond.
    /// They hold the limits that are stated: 120 ms, 250 ms and 1 s.
    static constexpr std::array<std::uint16_t, 16> ends_ms{
        5, 10, 20, 30, 40, 60, 80, 100, 120, 150, 200, 250, 350, 500, 1000, 2000};
    struct day {
        std::array<std::uint64_t, ends_ms.size() + 1> counts{};
        std::uint64_t longest_us = 0;
    };
    static std::int64_t day_of(base::unix_time at);
    static base::duration class_end(const day& sum, double share, std::uint64_t count);
    void bound(std::int64_t newest);

    std::map<std::int64_t, day> days_;  ///< by days since 1970
};

}  // namespace tequio::node
