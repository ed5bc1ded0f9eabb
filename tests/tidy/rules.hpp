#pragma once

/// The mechanical part of STYLE.md, as functions of a file's text. README.md lists the rules.

#include <string>
#include <vector>

#include "tests/tidy/source_text.hpp"

namespace tequio::tidy {

enum class weight {
    talk,  ///< printed
    stop   ///< fails the test
};

struct finding {
    std::string path;
    std::size_t line = 0;  ///< from 1; 0: the whole file
    std::string rule;
    std::string what;
    std::string instead;
    weight how = weight::stop;
    /// "path:line: what; instead [rule]"
    std::string text() const;
};
using findings = std::vector<finding>;

/// Rules on one file; each appends what it finds. A line that must break a rule says so, with its
/// reason: `tidy: allow RULE: reason` on the line or the one before.
void check_include_borders(const source_text& file, findings& out);
void check_pure_folders(const source_text& file, findings& out);
void check_banned_words(const source_text& file, findings& out);
void check_sizes(const source_text& file, findings& out);
void check_function_sizes(const source_text& file, findings& out);
void check_docstrings(const source_text& file, findings& out);
void check_todos(const source_text& file, findings& out);
void check_machine_paths(const source_text& file, findings& out);
void check_file_size(const source_text& file, findings& out);
void check_line_width(const source_text& file, findings& out);

/// Rules on the repository as a whole.
void check_dead_files(const std::vector<source_text>& files, findings& out);
void check_readmes(const std::vector<source_text>& files, findings& out);

/// Every rule on every file, without the findings that a line allows.
findings check_all(const std::vector<source_text>& files);

}  // namespace tequio::tidy
