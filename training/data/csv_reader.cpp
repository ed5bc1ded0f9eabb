#include "training/data/csv_reader.hpp"

#include <algorithm>

#include "training/data/byte_order_mark.hpp"
#include "training/errc.hpp"

namespace tequio::training {

csv_reader::csv_reader(std::string_view file_name, std::string_view text, std::size_t fields_max)
    : file_name_(file_name), rest_(without_byte_order_mark(text)), fields_max_(fields_max) {}

base::error csv_reader::refused(std::size_t column, const std::string& what) const {
    return fail(errc::bad_data, std::string(file_name_) + ":" + std::to_string(record_line_) + ":" +
                                    std::to_string(column) + ": " + what);
}

bool csv_reader::end_line() {
    const std::size_t length = rest_.starts_with("\r\n") ? 2 : rest_.starts_with('\n') ? 1 : 0;
    rest_.remove_prefix(length);
    if (length != 0) ++line_;
    return length != 0;
}

void csv_reader::skip_blank_lines() {
    while (end_line()) {
    }
}

base::result<void> csv_reader::read_quoted(std::string& field, std::size_t column) {
    rest_.remove_prefix(1);
    for (;;) {
        const auto quote = rest_.find('"');
        if (quote == std::string_view::npos) {
            return refused(column,
                           "found a quote without its end, allowed: fields in quotes that "
                           "end in one");
        }
        const auto part = rest_.substr(0, quote);
        for (const char c : part) line_ += c == '\n' ? 1 : 0;
        field += part;
        rest_.remove_prefix(quote + 1);
        if (!rest_.starts_with('"')) break;
        field += '"';
        rest_.remove_prefix(1);
    }
    const bool ends =
        rest_.empty() || rest_.front() == ',' || rest_.front() == '\n' || rest_.starts_with("\r\n");
    if (ends) return {};
    return refused(column,
                   "found text after a field in quotes, allowed: a comma or the line's "
                   "end; a quote inside a field is written twice");
}

base::result<void> csv_reader::read_field(std::string& field, std::size_t column) {
    field.clear();
    if (rest_.starts_with('"')) return read_quoted(field, column);
    const auto end = std::min(rest_.find_first_of(",\n\""), rest_.size());
    if (end < rest_.size() && rest_[end] == '"') {
        return refused(column,
                       "found a quote inside a field, allowed: quotes around the whole "
                       "field");
    }
    field = rest_.substr(0, end);
    const bool line_ends = end < rest_.size() && rest_[end] == '\n';
    rest_.remove_prefix(end);
    // Windows ends a line with CR LF, and a file perhaps with CR alone.
    if (field.ends_with('\r') && (line_ends || rest_.empty())) field.pop_back();
    return {};
}

base::result<bool> csv_reader::next(std::vector<std::string>& fields) {
    skip_blank_lines();
    if (rest_.empty()) return false;
    record_line_ = line_;
    for (std::size_t column = 1;; ++column) {
        if (column > fields_max_) {
            return refused(column, "found more than " + std::to_string(fields_max_) +
                                       " fields, allowed: that many");
        }
        // Strings are used again: most records have the same fields.
        if (fields.size() < column) fields.emplace_back();
        TEQUIO_CHECK(read_field(fields[column - 1], column));
        if (!rest_.starts_with(',')) {
            fields.resize(column);
            break;
        }
        rest_.remove_prefix(1);
    }
    end_line();
    return true;
}

}  // namespace tequio::training
