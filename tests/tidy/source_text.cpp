#include "tests/tidy/source_text.hpp"

#include <cctype>

#include "base/text.hpp"

namespace tequio::tidy {
namespace {

bool is_identifier(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

/// Where the literal or comment that begins at `i` ends; `i` itself when none begins there.
std::size_t end_of_blank(std::string_view text, std::size_t i) {
    const auto rest = text.substr(i);
    const auto until = [&](std::string_view mark, std::size_t from) {
        const auto at = text.find(mark, from);
        return at == std::string_view::npos ? text.size() : at + mark.size();
    };
    if (rest.starts_with("//")) {
        const auto at = text.find('\n', i);
        return at == std::string_view::npos ? text.size() : at;
    }
    if (rest.starts_with("/*")) return until("*/", i + 2);
    if (rest.starts_with("R\"") && (i == 0 || !is_identifier(text[i - 1]))) {
        const auto open = text.find('(', i);
        if (open == std::string_view::npos) return text.size();
        std::string mark(")");
        mark.append(text.substr(i + 2, open - i - 2)).append("\"");
        return until(mark, open);
    }
    const char quote = text[i];
    // An apostrophe after a digit or letter separates digits.
    if (quote != '"' && (quote != '\'' || (i > 0 && is_identifier(text[i - 1])))) return i;
    for (auto at = i + 1; at < text.size(); ++at) {
        if (text[at] == '\\') {
            ++at;
        } else if (text[at] == quote || text[at] == '\n') {
            return at + 1;
        }
    }
    return text.size();
}

}  // namespace

std::string blank_comments_and_literals(std::string_view text) {
    std::string out(text);
    for (std::size_t i = 0; i < text.size();) {
        const auto end = end_of_blank(text, i);
        if (end == i) {
            ++i;
            continue;
        }
        // The name in quotes is what an include is about.
        const bool include =
            text[i] == '"' && text.substr(text.rfind('\n', i) + 1).starts_with("#include");
        for (auto at = i; at < end && !include; ++at) {
            if (out[at] != '\n') out[at] = ' ';
        }
        i = end;
    }
    return out;
}

source_text make_source(std::string path, std::string text) {
    source_text out;
    out.path = std::move(path);
    out.text = std::move(text);
    const auto blank = blank_comments_and_literals(out.text);
    for (const auto line : base::split(out.text, '\n')) out.lines.emplace_back(line);
    for (const auto line : base::split(blank, '\n')) out.code.emplace_back(line);
    if (out.lines.back().empty()) {
        out.lines.pop_back();
        out.code.pop_back();
    }
    return out;
}

bool has_word(std::string_view line, std::string_view word) {
    for (auto at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
        const auto end = at + word.size();
        const bool left = at == 0 || !is_identifier(word.front()) || !is_identifier(line[at - 1]);
        const bool right =
            end == line.size() || !is_identifier(word.back()) || !is_identifier(line[end]);
        if (left && right) return true;
    }
    return false;
}

std::string top_folder(std::string_view path) {
    const auto slash = path.find('/');
    return slash == std::string_view::npos ? "" : std::string(path.substr(0, slash));
}

bool is_under(std::string_view path, std::string_view folder) {
    const auto with_slash = std::string(folder) + "/";
    return path.starts_with(with_slash) || path.find("/" + with_slash) != std::string_view::npos;
}

bool is_header(std::string_view path) {
    return path.ends_with(".hpp");
}

bool is_source(std::string_view path) {
    return path.ends_with(".cpp");
}

bool is_code(const source_text& file) {
    return is_header(file.path) || is_source(file.path);
}

}  // namespace tequio::tidy
