#pragma once

/// A source file as the rules see it: lines as written, and lines with comments and literals
/// blanked out, so that a word in a sentence is no use of it.

#include <string>
#include <string_view>
#include <vector>

namespace tequio::tidy {

struct source_text {
    std::string path;                ///< relative to the repository root
    std::string text;                ///< as written
    std::vector<std::string> lines;  ///< as written, without newlines
    std::vector<std::string> code;   ///< the same lines, comments and literals as spaces
};

source_text make_source(std::string path, std::string text);

/// `text` with comments, string and character literals replaced by spaces; newlines stay.
std::string blank_comments_and_literals(std::string_view text);

/// True when `word` stands in `line` and no identifier character touches its ends, where its own
/// ends are identifier characters.
bool has_word(std::string_view line, std::string_view word);

/// "ledger" of "ledger/core/entry.cpp"; "" of a file in the root.
std::string top_folder(std::string_view path);
/// The path has this folder somewhere above the file.
bool is_under(std::string_view path, std::string_view folder);
bool is_header(std::string_view path);
bool is_source(std::string_view path);
/// One or the other.
bool is_code(const source_text& file);

}  // namespace tequio::tidy
