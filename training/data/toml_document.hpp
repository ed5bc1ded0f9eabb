#pragma once

/// TOML 1.0 as a plain tree with line numbers, so that toml++ is compiled in one place only.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace tequio::training {

struct toml_value {
    enum class kind { table, array, text, integer, real, boolean, date_time };
    kind type = kind::table;
    std::uint64_t line = 1;
    std::string
        text;  ///< of a text; of a date or time what TOML wrote, in RFC 3339 where it can be
    std::int64_t integer = 0;
    double real = 0;
    bool boolean = false;
    std::vector<toml_value> items;                            ///< of an array
    std::vector<std::pair<std::string, toml_value>> members;  ///< of a table, ascending by key

    /// The member `key` of a table; nullptr when there is none or this is no table.
    const toml_value* find(std::string_view key) const;
    /// For messages: "abc", 12, 0.5, true, [1, 2], a table. Safe to print.
    std::string shown() const;
};

/// Where the text is no TOML.
struct toml_fault {
    std::uint64_t line = 1;
    std::string key;  ///< with its section, as far as the text lets one tell; may be empty
    std::string found;
    std::string allowed;
};

/// Safe on any input; nesting is limited by toml++ (256).
std::variant<toml_value, toml_fault> parse_toml(std::string_view text);

}  // namespace tequio::training
