#pragma once

/// Records of a CSV file (RFC 4180, with LF as well as CRLF at the end of a line).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace tequio::training {

/// Reads record by record. A byte order mark and blank lines are passed over. Safe on any input.
class csv_reader {
public:
    /// `file_name` stands in messages; it must outlive the reader. A record of more fields than
    /// `fields_max` is refused.
    csv_reader(std::string_view file_name, std::string_view text, std::size_t fields_max);

    /// The next record's fields, without their quotes; false at the end of the text.
    /// Errors: `errc::bad_data`, "FILE:LINE:COLUMN: ...": a quote that is not closed, or one where
    /// none may be.
    base::result<bool> next(std::vector<std::string>& fields);
    /// Where the last record began.
    std::uint64_t line() const { return record_line_; }

private:
    base::result<void> read_field(std::string& field, std::size_t column);
    base::result<void> read_quoted(std::string& field, std::size_t column);
    base::error refused(std::size_t column, const std::string& what) const;
    void skip_blank_lines();
    /// Takes one end of a line, if there is one.
    bool end_line();

    std::string_view file_name_;
    std::string_view rest_;
    std::size_t fields_max_;
    std::uint64_t line_ = 1;
    std::uint64_t record_line_ = 1;
};

}  // namespace tequio::training
