#include "training/data/toml_document.hpp"

#define TOML_EXCEPTIONS 0
#define TOML_HEADER_ONLY 1
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <cmath>
#include <cstdio>

#include "base/text.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

std::uint64_t line_of(const toml::node& node) {
    return node.source().begin.line;
}

std::string date_time_text(const toml::node& node) {
    const auto* full = node.as_date_time();
    if (full == nullptr) return "a date or time without the other";
    const auto& d = full->get().date;
    const auto& t = full->get().time;
    const auto offset = full->get().offset;
    char out[40];
    std::snprintf(out, sizeof out, "%04u-%02u-%02uT%02u:%02u:%02u", unsigned{d.year},
                  unsigned{d.month}, unsigned{d.day}, unsigned{t.hour}, unsigned{t.minute},
                  unsigned{t.second});
    std::string text = out;
    if (t.nanosecond != 0) text += " and a fraction";
    if (!offset) return text + " without offset";
    return offset->minutes == 0 ? text + "Z" : text + " with an offset";
}

toml_value convert(const toml::node& node) {
    using kind = toml_value::kind;
    toml_value out;
    out.line = line_of(node);
    if (const auto* table = node.as_table()) {
        for (const auto& [key, value] : *table) {
            out.members.emplace_back(std::string(key.str()), convert(value));
        }
    } else if (const auto* array = node.as_array()) {
        out.type = kind::array;
        for (const auto& item : *array) out.items.push_back(convert(item));
    } else if (const auto* text = node.as_string()) {
        out.type = kind::text;
        out.text = text->get();
    } else if (const auto* integer = node.as_integer()) {
        out.type = kind::integer;
        out.integer = integer->get();
    } else if (const auto* real = node.as_floating_point()) {
        out.type = kind::real;
        out.real = real->get();
    } else if (const auto* boolean = node.as_boolean()) {
        out.type = kind::boolean;
        out.boolean = boolean->get();
    } else {
        out.type = kind::date_time;
        out.text = date_time_text(node);
    }
    return out;
}

/// As TOML would write it: a whole number keeps its point, so that it is not taken for an integer.
std::string real_text(double x) {
    if (std::isnan(x)) return "nan";
    if (std::isinf(x)) return x > 0 ? "inf" : "-inf";
    return base::shortest_real(x);
}

std::string_view trimmed_line(std::string_view text) {
    const auto first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// What stands at a faulty line: its text, and the key it seems to set, below the last header.
toml_fault fault_at(std::string_view text, std::uint64_t line) {
    toml_fault out;
    out.line = line;
    std::string section;
    std::uint64_t number = 0;
    for (const auto part : base::split(text, '\n')) {
        const auto row = trimmed_line(part);
        ++number;
        if (number == line) {
            out.found = quoted(row);
            const auto equals = row.find('=');
            if (!row.starts_with('[') && equals != std::string_view::npos) {
                const auto key = trimmed_line(row.substr(0, equals));
                out.key = (section.empty() ? "" : section + ".") + std::string(key);
            } else {
                out.key = row.starts_with('[') ? std::string(row) : section;
            }
            break;
        }
        const auto close = row.find(']');
        if (row.starts_with('[') && close != std::string_view::npos) {
            section = trimmed_line(row.substr(1, close - 1));
        }
    }
    return out;
}

}  // namespace

const toml_value* toml_value::find(std::string_view key) const {
    for (const auto& [name, value] : members) {
        if (name == key) return &value;
    }
    return nullptr;
}

std::string toml_value::shown() const {
    switch (type) {
        case kind::table:
            return "a table";
        case kind::array: {
            constexpr std::size_t shown_max = 8;
            std::string out = "[";
            for (std::size_t i = 0; i < items.size() && i < shown_max; ++i) {
                out += (i == 0 ? "" : ", ") + items[i].shown();
            }
            return out + (items.size() > shown_max ? ", ...]" : "]");
        }
        case kind::text:
            return quoted(text);
        case kind::integer:
            return std::to_string(integer);
        case kind::real:
            return real_text(real);
        case kind::boolean:
            return boolean ? "true" : "false";
        case kind::date_time:
            return text;
    }
    return "nothing";
}

std::variant<toml_value, toml_fault> parse_toml(std::string_view text) {
    const auto parsed = toml::parse(text);
    if (parsed) return convert(parsed.table());
    const auto& error = parsed.error();
    auto fault = fault_at(text, error.source().begin.line);
    std::string why(error.description());
    constexpr std::string_view preamble = "Error while parsing ";
    if (why.starts_with(preamble)) why.erase(0, preamble.size());
    if (why.find("cannot redefine existing") != std::string::npos) {
        fault.found += ", a second one";
        fault.allowed = "each key and section once";
    } else {
        fault.allowed = "TOML 1.0";
        // toml++ quotes what it saw; a control character in it must not reach a terminal.
        const auto reason = quoted(why);
        fault.allowed += " (" + reason.substr(1, reason.size() - 2) + ")";
    }
    return fault;
}

}  // namespace tequio::training
