#include "tests/tidy/rules.hpp"

#include <map>

namespace tequio::tidy {

std::string finding::text() const {
    return path + (line ? ":" + std::to_string(line) : "") + ": " + what + "; " + instead + " [" +
           rule + "]";
}

namespace {

bool is_allowed(const source_text& file, const finding& f) {
    const auto mark = "tidy: allow " + f.rule + ": ";
    for (auto i = f.line; i > 0 && i + 2 > f.line; --i) {
        if (file.lines[i - 1].find(mark) != std::string::npos) return true;
    }
    return false;
}

}  // namespace

findings check_all(const std::vector<source_text>& files) {
    findings all;
    std::map<std::string, const source_text*> by_path;
    for (const auto& f : files) {
        by_path[f.path] = &f;
        check_file_size(f, all);
        // The rules' own tests hold every violation there is.
        if (f.path.starts_with("tests/tidy/")) continue;
        check_include_borders(f, all);
        check_pure_folders(f, all);
        check_banned_words(f, all);
        check_sizes(f, all);
        check_function_sizes(f, all);
        check_docstrings(f, all);
        check_todos(f, all);
        check_machine_paths(f, all);
        check_line_width(f, all);
    }
    check_dead_files(files, all);
    check_readmes(files, all);
    std::erase_if(all, [&](const finding& f) {
        const auto file = by_path.find(f.path);
        return f.line != 0 && file != by_path.end() && is_allowed(*file->second, f);
    });
    return all;
}

}  // namespace tequio::tidy
