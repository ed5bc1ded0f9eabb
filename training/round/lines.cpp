#include "training/round/lines.hpp"

#include <algorithm>

namespace tequio::training {
namespace {

constexpr std::size_t quoted_max_bytes = 60;

struct code_point {
    std::uint32_t value = 0;
    std::size_t bytes = 0;  ///< 0: malformed
};

/// The first code point of `text`, which is not empty. Source: RFC 3629 section 4.
code_point decode(std::string_view text) {
    const auto byte = [&](std::size_t i) {
        return i < text.size() ? static_cast<std::uint8_t>(text[i]) : std::uint8_t{0};
    };
    const std::uint32_t first = byte(0);
    if (first < 0x80) return {first, 1};
    const std::size_t n = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4) return {};
    std::uint32_t value = first & (0xFFu >> (n + 1));
    for (std::size_t i = 1; i < n; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3Fu);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[n] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) return {};
    return {value, n};
}

/// Could move the cursor, hide text or turn its direction: a stranger's text must not.
bool is_control(std::uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x2028 || c == 0x2029 || c == 0x200E ||
           c == 0x200F || c == 0x061C || (c >= 0x202A && c <= 0x202E) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0xFEFF;
}

}  // namespace

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text.substr(0, quoted_max_bytes)) {
        out += c >= 0x20 && c < 0x7F ? c : '?';
    }
    out += text.size() > quoted_max_bytes ? "...\"" : "\"";
    return out;
}

bool is_printable_utf8(std::string_view text) {
    while (!text.empty()) {
        const auto c = decode(text);
        if (c.bytes == 0 || is_control(c.value)) return false;
        text.remove_prefix(c.bytes);
    }
    return true;
}

std::string_view line_reader::next() {
    if (failed_) return {};
    ++number_;
    const auto end = rest_.find('\n');
    if (end == std::string_view::npos) {
        found_ = rest_;
        rest_ = {};
        return found_;
    }
    found_ = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return found_;
}

void line_reader::refuse(std::string_view key, std::string_view allowed) {
    if (failed_) return;
    failed_ = true;
    fault_ = std::string(what_) + " line " + std::to_string(number_) + " " + std::string(key) +
             ": found " + quoted(found_) + ", allowed: " + std::string(allowed);
}

void line_reader::line(std::string_view expected) {
    const bool ended = rest_.find('\n') != std::string_view::npos;
    if (next() != expected || !ended) refuse(expected, "exactly this line");
}

std::string_view line_reader::value(std::string_view key) {
    const bool ended = rest_.find('\n') != std::string_view::npos;
    const auto text = next();
    if (failed_) return {};
    if (!ended || text.size() <= key.size() || !text.starts_with(key) || text[key.size()] != ' ') {
        refuse(key, "a line '" + std::string(key) + " VALUE'");
        return {};
    }
    found_ = text.substr(key.size() + 1);
    return found_;
}

std::uint64_t line_reader::integer(std::string_view key) {
    const auto text = value(key);
    if (failed_) return 0;
    const auto n = base::parse_u64(text);
    if (!n) refuse(key, "a decimal integer");
    return n.value_or(0);
}

std::int64_t line_reader::signed_integer(std::string_view key) {
    const auto text = value(key);
    if (failed_) return 0;
    const auto n = base::parse_i64(text);
    if (!n) refuse(key, "a decimal integer");
    return n.value_or(0);
}

double line_reader::real(std::string_view key) {
    const auto text = value(key);
    if (failed_) return 0;
    const auto x = base::parse_real(text);
    if (!x || base::shortest(*x) != text) refuse(key, "a finite real in its shortest form");
    return x.value_or(0);
}

base::result<void> line_reader::finish() const {
    if (failed_) return fail(code_, fault_);
    if (!rest_.empty()) {
        return fail(code_, std::string(what_) + ": " + std::to_string(rest_.size()) +
                               " bytes after its end");
    }
    return {};
}

}  // namespace tequio::training
