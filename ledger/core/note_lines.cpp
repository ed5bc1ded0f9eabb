#include "ledger/core/note_lines.hpp"

#include "base/text.hpp"

namespace tequio::ledger {

std::string_view note_lines::take_line() {
    const auto end = rest_.find('\n');
    if (end == std::string_view::npos) {
        if (!failure_) failure_ = base::fail(errc::bad_receipt, "a line is missing at the end");
        rest_ = {};
        return {};
    }
    const auto line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
}

void note_lines::refuse(std::string_view name, std::string_view value, std::string_view allowed) {
    if (failure_) return;
    // Outside text is cut short: this sentence goes to logs.
    failure_ = base::fail(errc::bad_receipt, std::string(name) + ": found \"" +
                                                 std::string(value.substr(0, 80)) +
                                                 "\", allowed: " + std::string(allowed));
}

void note_lines::expect(std::string_view line) {
    const auto found = take_line();
    if (!failure_ && found != line) refuse("line", found, line);
}

std::string_view note_lines::field(std::string_view name) {
    const auto line = take_line();
    if (failure_) return {};
    if (!line.starts_with(name) || line.size() < name.size() + 2 || line[name.size()] != ' ') {
        refuse("line", line, std::string(name) + " and its value");
        return {};
    }
    return line.substr(name.size() + 1);
}

std::optional<std::string_view> note_lines::optional_field(std::string_view name) {
    const auto value = field(name);
    return value == "-" ? std::nullopt : std::optional(value);
}

std::uint64_t note_lines::to_number(std::string_view name, std::string_view value) {
    const auto parsed = base::parse_u64(value);
    if (!parsed) refuse(name, value, "a decimal number below 2^64");
    return parsed.value_or(0);
}

std::uint64_t note_lines::number(std::string_view name) {
    return to_number(name, field(name));
}

std::optional<std::uint64_t> note_lines::optional_number(std::string_view name) {
    const auto value = optional_field(name);
    return value ? std::optional(to_number(name, *value)) : std::nullopt;
}

base::unix_time note_lines::time(std::string_view name) {
    const auto value = field(name);
    const auto parsed = base::from_rfc3339(value);
    if (!parsed) refuse(name, value, "a UTC time like 2026-01-31T12:00:00Z");
    return parsed ? *parsed : base::unix_time{};
}

certified_key note_lines::to_key(std::string_view name, std::string_view value) {
    const auto parsed = parse_certified_key(value);
    if (!parsed) refuse(name, value, "a key and the root's signature of its certificate");
    return parsed ? *parsed : certified_key{};
}

certified_key note_lines::key(std::string_view name) {
    return to_key(name, field(name));
}

std::optional<certified_key> note_lines::optional_key(std::string_view name) {
    const auto value = optional_field(name);
    return value ? std::optional(to_key(name, *value)) : std::nullopt;
}

}  // namespace tequio::ledger
