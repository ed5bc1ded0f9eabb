#pragma once

/// Canonical texts: lines `key value` in a fixed order. Writer and strict reader.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "base/text.hpp"
#include "training/errc.hpp"

namespace tequio::training {

/// Appends lines to a text.
class line_writer {
public:
    void line(std::string_view text) { (out_ += text) += '\n'; }
    void value(std::string_view key, std::string_view text) {
        ((out_ += key) += ' ') += text;
        out_ += '\n';
    }
    void value(std::string_view key, std::uint64_t n) { value(key, std::to_string(n)); }
    void real(std::string_view key, double x) { value(key, base::shortest(x)); }
    void append(std::string_view text) { out_ += text; }
    std::string take() { return std::move(out_); }

private:
    std::string out_;
};

/// Reads what `line_writer` wrote. The first fault sticks, and everything after it reads as zero or
/// empty; ask `failed()` once, at the end. Views point into the text. Safe on any input.
class line_reader {
public:
    /// `what` begins every message: "recipe".
    line_reader(std::string_view text, errc code, std::string_view what)
        : rest_(text), code_(code), what_(what) {}

    /// Expects exactly this line.
    void line(std::string_view expected);
    /// The value of the next line, whose key must be `key`.
    std::string_view value(std::string_view key);
    std::uint64_t integer(std::string_view key);
    std::int64_t signed_integer(std::string_view key);
    /// Finite, and in its shortest form.
    double real(std::string_view key);
    template <class Id>
    Id id(std::string_view key) {
        const auto text = value(key);
        if (failed()) return {};
        const auto parsed = base::parse_id<Id>(text);
        if (!parsed) return refuse(key, "64 hexadecimal digits"), Id{};
        return *parsed;
    }
    /// Records a fault: `what line N key: found F, allowed: A`.
    void refuse(std::string_view key, std::string_view allowed);

    bool failed() const { return failed_; }
    std::string_view rest() const { return rest_; }
    /// The recorded fault, or one about `rest()` when it is not empty.
    base::result<void> finish() const;

private:
    std::string_view next();
    std::string_view rest_;
    std::string_view found_;
    errc code_;
    std::string_view what_;
    std::uint64_t number_ = 0;
    bool failed_ = false;
    std::string fault_;
};

/// `text` for a message: in quotes, at most 60 bytes of it, control characters and bytes that are
/// not ASCII as '?', so that it can stand in a terminal.
std::string quoted(std::string_view text);

/// Well-formed UTF-8 without control characters (C0, DEL, C1), line separators and bidirectional
/// controls: what may be shown to people on one line.
bool is_printable_utf8(std::string_view text);

}  // namespace tequio::training
