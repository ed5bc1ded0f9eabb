// Rules on includes and words.

#include <algorithm>
#include <array>
#include <functional>
#include <set>

#include "tests/tidy/rules.hpp"

namespace tequio::tidy {
namespace {

const std::set<std::string>& libraries() {
    static const std::set<std::string> names{"base", "p2p", "training", "ledger", "node"};
    return names;
}

bool is_pure(const source_text& file) {
    if (!libraries().contains(top_folder(file.path))) return false;
    // The governor is a core whose probes, which read the machine, lie in a folder below it.
    const bool probes = is_under(file.path, "node/governor/probes");
    if (is_under(file.path, "node/governor") && !probes) return true;
    return std::ranges::any_of(std::array{"core", "wire", "crew", "round", "numerics"},
                               [&](const char* folder) { return is_under(file.path, folder); });
}

/// What stands between quotes or angle brackets of an include line; "" for another line.
std::string included(std::string_view line) {
    if (!line.starts_with("#include")) return "";
    const auto open = line.find_first_of("\"<");
    if (open == std::string_view::npos) return "";
    const auto close = line.find_first_of("\">", open + 1);
    return close == std::string_view::npos ? ""
                                           : std::string(line.substr(open + 1, close - open - 1));
}

struct banned_word {
    const char* word;
    const char* rule;
    const char* instead;
    /// Files the ban holds in.
    bool (*in)(const source_text&);
};

bool in_program(const source_text& f) {
    return libraries().contains(top_folder(f.path));
}
bool in_program_or_tests(const source_text& f) {
    return in_program(f) || top_folder(f.path) == "tests";
}
bool in_training(const source_text& f) {
    return top_folder(f.path) == "training";
}
bool where_clocks_are_not_read(const source_text& f) {
    return in_program(f) && !is_under(f.path, "node/io") && !is_under(f.path, "node/worker") &&
           !is_under(f.path, "node/cli");
}

constexpr const char* use_time = "take a base::time_point as an argument; only node/io makes one";
constexpr const char* use_rng = "use a base::rng that is handed in, or signing_key::generate";
constexpr const char* use_wait = "wait on a condition with a deadline, or use a timer";
constexpr const char* use_exact = "use training/numerics: libm differs from machine to machine";
constexpr const char* use_order = "write the sum in its fixed order (NUMERICS.md)";
constexpr const char* use_result = "return a base::result; base::ensure for our own mistakes";

const std::vector<banned_word>& banned_words() {
    static const std::vector<banned_word> words{
        {"system_clock::now", "clock", use_time, where_clocks_are_not_read},
        {"steady_clock::now", "clock", use_time, where_clocks_are_not_read},
        {"high_resolution_clock", "clock", use_time, in_program},
        {"random_device", "random", use_rng, in_program_or_tests},
        {"rand()", "random", use_rng, in_program_or_tests},
        {"srand", "random", use_rng, in_program_or_tests},
        {"sleep_for", "sleep", use_wait, in_program_or_tests},
        {"sleep_until", "sleep", use_wait, in_program_or_tests},
        {"usleep", "sleep", use_wait, in_program_or_tests},
        {"detach()", "detach", "keep the thread and join it", in_program_or_tests},
        {"std::reduce", "order", use_order, in_program},
        {"std::transform_reduce", "order", use_order, in_program},
        {"std::execution", "order", use_order, in_program},
        {"#pragma omp", "order", "use the executor of training", in_program},
        {"throw", "throw", use_result, in_program},
        {"std::exp", "libm", use_exact, in_training},
        {"std::exp2", "libm", use_exact, in_training},
        {"std::expm1", "libm", use_exact, in_training},
        {"std::log", "libm", use_exact, in_training},
        {"std::log2", "libm", use_exact, in_training},
        {"std::log10", "libm", use_exact, in_training},
        {"std::log1p", "libm", use_exact, in_training},
        {"std::tanh", "libm", use_exact, in_training},
        {"std::sin", "libm", use_exact, in_training},
        {"std::cos", "libm", use_exact, in_training},
        {"std::tan", "libm", use_exact, in_training},
        {"std::pow", "libm", use_exact, in_training},
        {"std::erf", "libm", use_exact, in_training},
        {"std::hypot", "libm", use_exact, in_training},
        {"std::cbrt", "libm", use_exact, in_training},
        {"expf", "libm", use_exact, in_training},
        {"logf", "libm", use_exact, in_training},
        {"tanhf", "libm", use_exact, in_training},
        {"sinf", "libm", use_exact, in_training},
        {"cosf", "libm", use_exact, in_training},
        {"powf", "libm", use_exact, in_training},
    };
    return words;
}

}  // namespace

void check_include_borders(const source_text& file, findings& out) {
    if (!is_code(file)) return;
    const auto own = top_folder(file.path);
    for (std::size_t i = 0; i < file.code.size(); ++i) {
        const auto target = included(file.code[i]);
        const auto folder = top_folder(target);
        const bool quoted = file.code[i].find('"') != std::string::npos;
        // Generated sources lie in the build folder.
        const bool generated = target.ends_with(".pb.h");
        if (quoted && !target.empty() && !generated && !libraries().contains(folder) &&
            folder != "tests") {
            out.push_back({file.path, i + 1, "include", "includes \"" + target + "\"",
                           "name a file of ours from the repository root, others in <>",
                           weight::stop});
        }
        if (!libraries().contains(folder) && folder != "tests") continue;
        if (own == "tests" || own == folder) continue;
        if (folder == "tests") {
            out.push_back({file.path, i + 1, "include", "includes " + target + " of the tests",
                           "move what both need into a library", weight::stop});
        } else if (own == "base" || (own != "node" && folder != "base")) {
            out.push_back({file.path, i + 1, "include", own + " includes " + folder,
                           "join the two in node/core, or move what both need into base",
                           weight::stop});
        } else if (std::ranges::count(target, '/') > 1) {
            out.push_back({file.path, i + 1, "include", target + " is private to " + folder,
                           "include a header that stands directly in " + folder, weight::stop});
        }
    }
}

void check_pure_folders(const source_text& file, findings& out) {
    if (!is_code(file) || !is_pure(file)) return;
    static const std::set<std::string> banned{
        "sqlite3.h", "thread",     "mutex",  "shared_mutex", "condition_variable",
        "fstream",   "filesystem", "random", "future",       "stop_token"};
    for (std::size_t i = 0; i < file.code.size(); ++i) {
        const auto target = included(file.code[i]);
        if (banned.contains(target) || target.starts_with("boost/asio") ||
            target.starts_with("boost/beast") || target.starts_with("openssl/ssl")) {
            out.push_back({file.path, i + 1, "pure", "a pure folder includes <" + target + ">",
                           "make it an argument, an event or an effect; io/ does the rest",
                           weight::stop});
        }
    }
}

void check_banned_words(const source_text& file, findings& out) {
    if (!is_code(file)) return;
    for (const auto& b : banned_words()) {
        if (!b.in(file)) continue;
        for (std::size_t i = 0; i < file.code.size(); ++i) {
            if (has_word(file.code[i], b.word)) {
                out.push_back({file.path, i + 1, b.rule, std::string(b.word) + " is banned here",
                               b.instead, weight::stop});
            }
        }
    }
}

void check_todos(const source_text& file, findings& out) {
    const std::string word = "TODO";
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const auto at = file.lines[i].find(word);
        if (at == std::string::npos || !has_word(file.lines[i], word)) continue;
        const auto rest = std::string_view(file.lines[i]).substr(at + word.size());
        const bool numbered =
            rest.size() > 2 && rest.starts_with("(#") && rest[2] >= '0' && rest[2] <= '9';
        if (!numbered) {
            out.push_back({file.path, i + 1, "todo", word + " without an issue",
                           "write " + word + "(#12), or do it", weight::stop});
        }
    }
}

void check_machine_paths(const source_text& file, findings& out) {
    // Written in two parts, so that this file keeps its own rule.
    static const std::array<std::string, 3> places{
        "/home"
        "/",
        "/root"
        "/",
        "/Users"
        "/"};
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
        const auto& line = file.lines[i];
        for (const auto& place : places) {
            const auto at = line.find(place);
            if (at == std::string::npos) continue;
            const char before = at == 0 ? ' ' : line[at - 1];
            // Part of a longer path or of a web address: not a place on one machine.
            if (std::isalnum(static_cast<unsigned char>(before)) || before == '.' ||
                before == '_' || before == '}' || before == '-') {
                continue;
            }
            out.push_back({file.path, i + 1, "path", "names a folder of one machine: " + place,
                           "use a path relative to the repository, or an argument", weight::stop});
        }
    }
}

}  // namespace tequio::tidy
