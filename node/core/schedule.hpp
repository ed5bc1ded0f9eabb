#pragma once

/// The hours in which an owner lends the machine: "22:00-07:00", "mon-fri 18:00-08:00", "sat,sun".
/// Pure arithmetic on local weekdays and minutes; whoever reads the clock converts time zones.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace tequio::node {

/// Minutes of a week from Monday 00:00 local time; a span may run over midnight and over Sunday.
class schedule {
public:
    /// Always open.
    schedule() = default;

    /// Adds a span: optional weekdays ("mon", "mon-fri", "sat,sun", "fri-mon"), optional hours
    /// ("22:00-07:00", "00:00-24:00"), at least one of them. Hours that end before they begin end
    /// on the next day; the weekdays are those on which a span begins. After the first span the
    /// schedule is open only within spans.
    /// Errors: `errc::bad_config` with what is allowed; the schedule is then unchanged.
    base::result<void> add(std::string_view text);

    /// Whether the minute 0..1439 of `weekday` 0..6 (Monday first) lies within a span.
    bool open(unsigned weekday, unsigned minute) const;
    /// Minutes until `open` changes; nothing when it never does.
    std::optional<unsigned> minutes_to_change(unsigned weekday, unsigned minute) const;
    /// As its owner wrote it, spans separated by ", "; "always" when there is none.
    std::string text() const;

    bool operator==(const schedule&) const = default;

private:
    struct span {
        unsigned begin = 0;   ///< minute of the week
        unsigned length = 0;  ///< minutes, at most a day
        bool operator==(const span&) const = default;
    };
    bool open_at(unsigned minute_of_week) const;
    std::vector<span> spans_;
    std::string text_;
};

}  // namespace tequio::node
