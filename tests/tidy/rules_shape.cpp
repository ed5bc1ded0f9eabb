// Rules on sizes, docstrings and the repository as a whole.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "tests/tidy/rules.hpp"

namespace tequio::tidy {
namespace {

constexpr std::size_t file_size_max_bytes = 256 * 1024;
constexpr std::size_t readme_lines_max = 200;
constexpr std::size_t width_max = 100;
constexpr std::size_t function_talk = 70, function_stop = 100;

std::string trimmed(std::string_view s) {
    const auto first = s.find_first_not_of(" \t");
    if (first == std::string_view::npos) return "";
    return std::string(s.substr(first, s.find_last_not_of(" \t") - first + 1));
}

bool is_access(const std::string& line) {
    return line == "public:" || line == "private:" || line == "protected:";
}

/// A header that other folders may include: "ledger/store.hpp".
bool is_public_header(const source_text& file) {
    static const std::set<std::string> libraries{"base", "p2p", "training", "ledger"};
    return is_header(file.path) && libraries.contains(top_folder(file.path)) &&
           std::ranges::count(file.path, '/') == 1;
}

enum class scope { space, type, function, other };

/// What the brace after `statement` opens, in a scope of kind `in`.
scope opened_by(const std::string& statement, scope in) {
    if (in == scope::function || in == scope::other) return scope::other;
    for (const auto* word : {"namespace", "extern"}) {
        if (has_word(statement, word)) return scope::space;
    }
    const bool type = has_word(statement, "class") || has_word(statement, "struct") ||
                      has_word(statement, "union") || has_word(statement, "enum");
    const auto paren = statement.find('(');
    if (type && paren == std::string::npos) return scope::type;
    return paren != std::string::npos ? scope::function : scope::other;
}

/// Walks through a file's code and tells of every function body: name line, last line.
template <class F>
void each_function(const source_text& file, F&& tell) {
    struct open_brace {
        scope kind;
        std::size_t line;
    };
    std::vector<open_brace> stack;
    std::string statement;
    std::size_t statement_line = 0;
    for (std::size_t i = 0; i < file.code.size(); ++i) {
        if (trimmed(file.code[i]).starts_with("#")) continue;
        for (const char c : file.code[i]) {
            const auto in = stack.empty() ? scope::space : stack.back().kind;
            if (c == '{') {
                stack.push_back({opened_by(statement, in), statement_line});
                // `a_{1}` in a list of initialisers: the body is still to come.
                if (stack.back().kind != scope::function) statement.clear();
            } else if (c == '}') {
                if (stack.empty()) return;
                const auto closed = stack.back();
                stack.pop_back();
                if (closed.kind == scope::function) tell(closed.line, i);
                if (closed.kind != scope::function) statement.clear();
            } else if (c == ';') {
                statement.clear();
            } else if (in != scope::function && in != scope::other) {
                if (statement.empty() && c == ' ') continue;
                if (statement.empty()) statement_line = i;
                statement += c;
            }
        }
        if (!statement.empty()) statement += ' ';
    }
}

/// The first lines of declarations that need a docstring, with what they declare.
class declaration_reader {
public:
    explicit declaration_reader(const source_text& file) : file_(file) {}

    template <class F>
    void each_undocumented(F&& tell) {
        for (std::size_t i = 0; i < file_.code.size(); ++i) {
            const auto line = trimmed(file_.code[i]);
            if (line.empty() || line.starts_with("#") || is_access(line)) {
                if (line == "public:") hidden_ = false;
                if (line == "private:" || line == "protected:") hidden_ = true;
                // An empty code line that holds a comment keeps the group together.
                if (trimmed(file_.lines[i]).empty()) covered_ = false;
                if (trimmed(file_.lines[i]).starts_with("///")) covered_ = true;
                continue;
            }
            if (at_start_ && visible()) {
                const bool here = file_.lines[i].find("///<") != std::string::npos;
                const auto whole = statement_from(i);
                if (here) covered_ = true;
                if (!covered_ && needs_words(whole)) tell(i, trimmed(whole));
            }
            follow(line);
        }
    }

private:
    bool visible() const {
        return !hidden_ &&
               (kinds_.empty() || kinds_.back() == scope::space || kinds_.back() == scope::type);
    }
    /// The code from line `i` to the end of its statement.
    std::string statement_from(std::size_t i) const {
        std::string out;
        for (; i < file_.code.size(); ++i) {
            out += trimmed(file_.code[i]) + " ";
            if (file_.code[i].find_first_of(";{") != std::string::npos) break;
        }
        return out;
    }
    /// Types and functions need words; so does nothing that says itself what it is.
    bool needs_words(const std::string& s) const {
        for (const auto* plain : {"operator", "friend", "using", "namespace", "delete", "default",
                                  "static_assert", "~", "make_error_code", "template <>"}) {
            if (has_word(s, plain)) return false;
        }
        if (s.starts_with("}") || s.starts_with(")")) return false;
        // x() const { return x_; } is the member by another name.
        const auto body = s.find("() const { return ");
        if (body != std::string::npos && s.find("_; ", body) != std::string::npos) return false;
        const bool type = s.starts_with("class ") || s.starts_with("struct ") ||
                          s.starts_with("enum ") || s.starts_with("template");
        if (type) return s.find('{') != std::string::npos || s.find('(') != std::string::npos;
        const auto paren = s.find('(');
        const auto assign = s.find('=');
        const bool function =
            paren != std::string::npos && (assign == std::string::npos || paren < assign);
        // Members that are constructors of plain values speak for themselves.
        const bool member = !kinds_.empty() && kinds_.back() == scope::type;
        return function && !(member && is_constructor(s));
    }
    bool is_constructor(const std::string& s) const {
        const auto name = s.substr(0, s.find('('));
        const auto last = name.find_last_of(" ");
        return last == std::string::npos || trimmed(name.substr(0, last)) == "explicit";
    }
    void follow(const std::string& line) {
        for (const char c : line) {
            statement_ += c;
            const auto in = kinds_.empty() ? scope::space : kinds_.back();
            if (c == '{') {
                kinds_.push_back(opened_by(statement_, in));
                hiddens_.push_back(hidden_);
                if (kinds_.back() == scope::type) hidden_ = has_word(statement_, "class");
                if (kinds_.back() == scope::space) covered_ = false;
                statement_.clear();
            } else if (c == '}' && !kinds_.empty()) {
                kinds_.pop_back();
                hidden_ = hiddens_.back();
                hiddens_.pop_back();
                statement_.clear();
            } else if (c == ';') {
                statement_.clear();
            }
        }
        if (!statement_.empty()) statement_ += ' ';
        at_start_ = trimmed(statement_).empty();
    }

    const source_text& file_;
    std::vector<scope> kinds_;
    std::vector<bool> hiddens_;
    bool hidden_ = false, covered_ = false, at_start_ = true;
    std::string statement_;
};

struct size_limits {
    std::size_t talk, stop;
};

}  // namespace

void check_sizes(const source_text& file, findings& out) {
    if (!is_code(file)) return;
    size_limits limits{600, 1000};
    if (top_folder(file.path) == "tests") {
        limits = {800, 1200};
    } else if (is_header(file.path)) {
        limits = {300, 500};
    }
    const auto n = file.lines.size();
    if (n <= limits.talk) return;
    out.push_back(
        {file.path, 0, "size", std::to_string(n) + " lines",
         "split by protocol or by operation, at " + std::to_string(limits.talk) + " lines at most",
         n > limits.stop ? weight::stop : weight::talk});
}

void check_function_sizes(const source_text& file, findings& out) {
    if (!is_code(file)) return;
    each_function(file, [&](std::size_t first, std::size_t last) {
        const auto n = last - first + 1;
        if (n <= function_talk) return;
        out.push_back({file.path, first + 1, "function", std::to_string(n) + " lines in a function",
                       "divide it; 30 lines is the aim",
                       n > function_stop ? weight::stop : weight::talk});
    });
}

void check_docstrings(const source_text& file, findings& out) {
    if (!is_public_header(file)) return;
    declaration_reader(file).each_undocumented([&](std::size_t line, const std::string& what) {
        out.push_back({file.path, line + 1, "docstring", "no docstring: " + what.substr(0, 60),
                       "say above it, with ///, what it does, its units, errors and cost",
                       weight::stop});
    });
}

void check_file_size(const source_text& file, findings& out) {
    if (file.text.size() <= file_size_max_bytes) return;
    out.push_back({file.path, 0, "bytes", std::to_string(file.text.size()) + " bytes",
                   "keep the script that makes it, not the file", weight::stop});
}

void check_line_width(const source_text& file, findings& out) {
    if (!is_code(file)) return;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const auto& line = file.lines[i];
        // Bytes of a character after its first do not take a column.
        const auto columns = std::ranges::count_if(
            line, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
        if (static_cast<std::size_t>(columns) <= width_max) continue;
        if (line.find("http") != std::string::npos || line.starts_with("#include")) continue;
        out.push_back({file.path, i + 1, "width", std::to_string(columns) + " columns",
                       "run clang-format; break the line", weight::talk});
    }
}

void check_dead_files(const std::vector<source_text>& files, findings& out) {
    std::set<std::string> listed, included;
    for (const auto& f : files) {
        if (f.path.ends_with("CMakeLists.txt")) {
            const auto folder =
                f.path.substr(0, f.path.size() - std::string("CMakeLists.txt").size());
            std::string word;
            for (const char c : f.text + "\n") {
                if (std::isspace(static_cast<unsigned char>(c)) || c == '(' || c == ')' ||
                    c == '"') {
                    const auto relative = word.starts_with("${PROJECT_SOURCE_DIR}/")
                                              ? word.substr(word.find('/') + 1)
                                              : folder + word;
                    if (word.ends_with(".cpp")) {
                        listed.insert(
                            std::filesystem::path(relative).lexically_normal().generic_string());
                    }
                    word.clear();
                } else {
                    word += c;
                }
            }
        }
        for (const auto& line : f.code) {
            const auto open = line.find('"');
            if (!line.starts_with("#include") || open == std::string::npos) continue;
            included.insert(line.substr(open + 1, line.find('"', open + 1) - open - 1));
        }
        if (f.path.ends_with("main.cpp") && f.path.starts_with("tests/support/")) {
            listed.insert(f.path);
        }
    }
    for (const auto& f : files) {
        if (is_source(f.path) && !listed.contains(f.path)) {
            out.push_back({f.path, 0, "dead", "stands in no CMakeLists.txt",
                           "list it in the one of its folder, or remove it", weight::stop});
        }
        if (is_header(f.path) && !included.contains(f.path)) {
            out.push_back(
                {f.path, 0, "dead", "is included by no file", "use it or remove it", weight::stop});
        }
    }
}

void check_readmes(const std::vector<source_text>& files, findings& out) {
    std::set<std::string> folders, with_readme;
    for (const auto& f : files) {
        if (is_code(f) && top_folder(f.path) != "tests") folders.insert(top_folder(f.path));
        if (!f.path.ends_with("README.md")) continue;
        with_readme.insert(top_folder(f.path));
        if (f.lines.size() > readme_lines_max) {
            out.push_back({f.path, 0, "readme", std::to_string(f.lines.size()) + " lines",
                           "a README has at most 200", weight::stop});
        }
    }
    for (const auto& folder : folders) {
        if (!with_readme.contains(folder)) {
            out.push_back({folder, 0, "readme", "has no README.md",
                           "purpose, parts, numbered invariants, messages, threads, footguns",
                           weight::stop});
        }
    }
}

}  // namespace tequio::tidy
