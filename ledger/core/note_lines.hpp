#pragma once

/// Reading the lines of our notes: "name value", in fixed order.

#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "ledger/errc.hpp"
#include "ledger/key_certificate.hpp"

namespace tequio::ledger {

/// What is said of a note that is not what it should be.
inline base::error bad_receipt(std::string_view why) {
    return base::fail(errc::bad_receipt, std::string(why));
}

/// Takes lines from the front of a text. The first thing that is not as asked is remembered and
/// every later call gives a zero value, so a parser reads all its fields and asks `failure` once.
/// Holds a view; the text must outlive it.
class note_lines {
public:
    explicit note_lines(std::string_view text) : rest_(text) {}

    /// Takes a line that must be exactly `line`.
    void expect(std::string_view line);
    /// Takes the line `name value` and gives the value, which is not empty.
    std::string_view field(std::string_view name);
    /// As `field`, nothing for the value "-".
    std::optional<std::string_view> optional_field(std::string_view name);

    template <class Id>
    Id id(std::string_view name) {
        return convert<Id>(name, field(name));
    }
    template <class Id>
    std::optional<Id> optional_id(std::string_view name) {
        const auto value = optional_field(name);
        return value ? std::optional(convert<Id>(name, *value)) : std::nullopt;
    }
    std::uint64_t number(std::string_view name);
    std::optional<std::uint64_t> optional_number(std::string_view name);
    base::unix_time time(std::string_view name);
    certified_key key(std::string_view name);
    std::optional<certified_key> optional_key(std::string_view name);

    /// What has not been taken yet.
    std::string_view rest() const { return rest_; }
    bool at_end() const { return rest_.empty(); }
    /// Records that the value of `name` is wrong.
    void refuse(std::string_view name, std::string_view value, std::string_view allowed);
    /// The first thing that was wrong, or nothing.
    const std::optional<base::error>& failure() const { return failure_; }

private:
    template <class Id>
    Id convert(std::string_view name, std::string_view value) {
        const auto parsed = base::parse_id<Id>(value);
        if (parsed) return *parsed;
        refuse(name, value, "64 lower-case hexadecimal digits");
        return {};
    }
    std::uint64_t to_number(std::string_view name, std::string_view value);
    certified_key to_key(std::string_view name, std::string_view value);
    std::string_view take_line();

    std::string_view rest_;
    std::optional<base::error> failure_;
};

}  // namespace tequio::ledger
