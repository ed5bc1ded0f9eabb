// The repository keeps the mechanical rules of its style, and each rule can fail.

#include <boost/test/unit_test.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/text.hpp"
#include "tests/tidy/rules.hpp"

using namespace tequio::tidy;
namespace fs = std::filesystem;

namespace {

const fs::path root = TEQUIO_SOURCE_DIR;

/// Tracked files and those that git would track; every file, but build folders, without git.
std::vector<std::string> repository_files() {
    std::string listing;
    const std::string command = "git -C '" + root.string() +
                                "' ls-files -z --cached --others --exclude-standard 2>/dev/null";
    if (auto* pipe = ::popen(command.c_str(), "r")) {
        char buffer[65536];
        for (std::size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
            listing.append(buffer, n);
        }
        if (::pclose(pipe) != 0) listing.clear();
    }
    std::vector<std::string> out;
    for (const auto path : tequio::base::split(listing, '\0')) {
        if (!path.empty() && fs::is_regular_file(root / path)) out.emplace_back(path);
    }
    if (!out.empty()) return out;
    for (auto it = fs::recursive_directory_iterator(root); it != fs::end(it); ++it) {
        const auto name = it->path().filename().string();
        if (it->is_directory() && (name.starts_with("build") || name == ".git")) {
            it.disable_recursion_pending();
        } else if (it->is_regular_file()) {
            out.push_back(fs::relative(it->path(), root).generic_string());
        }
    }
    return out;
}

source_text load(const std::string& path) {
    std::ifstream in(root / path, std::ios::binary);
    return make_source(path, {std::istreambuf_iterator<char>(in), {}});
}

using rule = void (*)(const source_text&, findings&);

/// What `check` finds in `text` at `path`: "line rule" for each.
std::string found(rule check, const std::string& path, const std::string& text) {
    findings out;
    check(make_source(path, text), out);
    std::string lines;
    for (const auto& f : out) {
        lines += (lines.empty() ? "" : ", ") + std::to_string(f.line) + " " + f.rule +
                 (f.how == weight::talk ? " (talk)" : "");
    }
    return lines;
}

std::string repeated(const std::string& text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_repository_keeps_the_style) {
    std::vector<source_text> files;
    for (const auto& path : repository_files()) files.push_back(load(path));
    BOOST_REQUIRE_GT(files.size(), 20u);
    for (const auto& f : check_all(files)) {
        if (f.how == weight::talk) {
            std::printf("talk: %s\n", f.text().c_str());
        } else {
            BOOST_ERROR(f.text());
        }
    }
}

BOOST_AUTO_TEST_SUITE(each_rule_can_fail)

BOOST_AUTO_TEST_CASE(comments_and_literals_are_not_code) {
    BOOST_TEST(blank_comments_and_literals("a // b\nc") == "a     \nc");
    BOOST_TEST(blank_comments_and_literals("a /* b\n */ c") == "a     \n    c");
    BOOST_TEST(blank_comments_and_literals("f(\"x\\\"y\") + 'z'") == "f(      ) +    ");
    BOOST_TEST(blank_comments_and_literals("1'000'000; 'a'") == "1'000'000;    ");
    BOOST_TEST(blank_comments_and_literals("R\"q(a\n)\" )q\" b") == "     \n       b");
    BOOST_TEST(blank_comments_and_literals("#include \"a/b.hpp\"") == "#include \"a/b.hpp\"");
    BOOST_TEST(has_word("throw x;", "throw"));
    BOOST_TEST(!has_word("rethrow x; throwing y;", "throw"));
}

BOOST_AUTO_TEST_CASE(borders_between_folders) {
    const auto borders = [](const char* path, const char* text) {
        return found(check_include_borders, path, text);
    };
    BOOST_TEST(borders("ledger/a.cpp", "#include \"p2p/network.hpp\"\n") == "1 include");
    BOOST_TEST(borders("p2p/core/a.cpp", "\n#include \"training/task.hpp\"\n") == "2 include");
    BOOST_TEST(borders("training/a.hpp", "#include \"ledger/store.hpp\"\n") == "1 include");
    BOOST_TEST(borders("base/a.hpp", "#include \"ledger/store.hpp\"\n") == "1 include");
    BOOST_TEST(borders("p2p/a.hpp", "#include \"node/core/x.hpp\"\n") == "1 include");
    BOOST_TEST(borders("node/core/a.cpp", "#include \"ledger/io/sqlite.hpp\"\n") == "1 include");
    BOOST_TEST(borders("node/core/a.cpp", "#include \"tests/support/x.hpp\"\n") == "1 include");
    BOOST_TEST(borders("ledger/core/a.cpp", "#include \"entry.hpp\"\n") == "1 include");
    BOOST_TEST(borders("ledger/core/a.cpp",
                       "#include \"base/ids.hpp\"\n#include <vector>\n"
                       "#include \"ledger/core/note_lines.hpp\"\n")
                   .empty());
    BOOST_TEST(borders("node/core/a.cpp", "#include \"ledger/store.hpp\"\n").empty());
    BOOST_TEST(borders("tests/unit/a.cpp", "#include \"ledger/io/sqlite.hpp\"\n").empty());
}

BOOST_AUTO_TEST_CASE(pure_folders_touch_nothing) {
    for (const auto* header :
         {"boost/asio/io_context.hpp", "sqlite3.h", "thread", "mutex", "fstream", "random"}) {
        const auto text = "#include <" + std::string(header) + ">\n";
        for (const auto* path :
             {"ledger/core/a.cpp", "p2p/wire/a.cpp", "training/crew/a.hpp", "training/round/a.cpp",
              "training/numerics/a.cpp", "node/governor/a.cpp"}) {
            BOOST_TEST(found(check_pure_folders, path, text) == "1 pure", path << header);
        }
        BOOST_TEST(found(check_pure_folders, "ledger/io/a.cpp", text).empty());
        BOOST_TEST(found(check_pure_folders, "node/governor/probes/a.cpp", text).empty());
    }
    BOOST_TEST(found(check_pure_folders, "ledger/core/a.cpp", "#include <vector>\n").empty());
}

BOOST_AUTO_TEST_CASE(banned_words) {
    const auto words = [](const char* path, const char* text) {
        return found(check_banned_words, path, text);
    };
    BOOST_TEST(words("p2p/core/a.cpp", "auto t = std::chrono::steady_clock::now();") == "1 clock");
    BOOST_TEST(words("p2p/io/a.cpp", "auto t = std::chrono::system_clock::now();") == "1 clock");
    BOOST_TEST(words("node/io/a.cpp", "auto t = std::chrono::steady_clock::now();").empty());
    BOOST_TEST(words("node/core/a.cpp", "std::random_device r;") == "1 random");
    BOOST_TEST(words("training/a.cpp", "int x = std::rand();") == "1 random");
    BOOST_TEST(words("tests/unit/a.cpp", "std::this_thread::sleep_for(1s);") == "1 sleep");
    BOOST_TEST(words("node/io/a.cpp", "worker.detach();") == "1 detach");
    BOOST_TEST(words("training/a.cpp", "auto s = std::reduce(a, b);") == "1 order");
    BOOST_TEST(words("training/a.cpp", "#pragma omp parallel for\n") == "1 order");
    BOOST_TEST(words("training/a.cpp", "float y = std::exp(x);") == "1 libm");
    BOOST_TEST(words("training/a.cpp", "float y = powf(x, 2);") == "1 libm");
    BOOST_TEST(words("training/a.cpp", "float y = std::sqrt(x);").empty());
    BOOST_TEST(words("ledger/core/a.cpp", "throw error;") == "1 throw");
    BOOST_TEST(words("ledger/core/a.cpp", "// we throw nothing\nauto s = \"throw\";").empty());
}

BOOST_AUTO_TEST_CASE(sizes_of_files_and_functions) {
    BOOST_TEST(found(check_sizes, "p2p/a.hpp", repeated("x\n", 300)).empty());
    BOOST_TEST(found(check_sizes, "p2p/a.hpp", repeated("x\n", 301)) == "0 size (talk)");
    BOOST_TEST(found(check_sizes, "p2p/a.hpp", repeated("x\n", 501)) == "0 size");
    BOOST_TEST(found(check_sizes, "p2p/a.cpp", repeated("x\n", 601)) == "0 size (talk)");
    BOOST_TEST(found(check_sizes, "p2p/a.cpp", repeated("x\n", 1001)) == "0 size");
    BOOST_TEST(found(check_sizes, "tests/a.cpp", repeated("x\n", 1201)) == "0 size");
    const auto function = [](int lines, const std::string& head) {
        return "namespace a {\n" + head + " {\n" + repeated("    if (x) { y(); }\n", lines - 2) +
               "}\n}\n";
    };
    const auto sized = [&](int lines, const std::string& head) {
        return found(check_function_sizes, "p2p/a.cpp", function(lines, head));
    };
    BOOST_TEST(sized(70, "int f(int x)").empty());
    BOOST_TEST(sized(71, "int f(int x)") == "2 function (talk)");
    BOOST_TEST(sized(101, "int f(int x)") == "2 function");
    BOOST_TEST(sized(101, "s::s(int x) : a_{x}, b_(x)") == "2 function");
    BOOST_TEST(sized(101, "struct s").empty());
    BOOST_TEST(found(check_line_width, "p2p/a.cpp", std::string(101, 'x')) == "1 width (talk)");
    BOOST_TEST(found(check_file_size, "data.bin", std::string(256 * 1024 + 1, 'x')) == "0 bytes");
    BOOST_TEST(found(check_file_size, "data.bin", std::string(256 * 1024, 'x')).empty());
}

BOOST_AUTO_TEST_CASE(public_names_have_docstrings) {
    const auto docs = [](const char* path, const std::string& text) {
        return found(check_docstrings, path, "#pragma once\nnamespace a {\n\n" + text + "\n}\n");
    };
    BOOST_TEST(docs("p2p/a.hpp", "int f(int x);") == "4 docstring");
    BOOST_TEST(docs("p2p/a.hpp", "struct s {\n    int x;\n};") == "4 docstring");
    BOOST_TEST(docs("p2p/a.hpp", "enum class e { one };") == "4 docstring");
    BOOST_TEST(docs("p2p/a.hpp", "/// S.\nclass s {\npublic:\n\n    int f();\n};") ==
               "8 docstring");
    BOOST_TEST(docs("p2p/a.hpp", "/// F.\nint f(int x);").empty());
    BOOST_TEST(docs("p2p/a.hpp", "int f(int x);  ///< F.").empty());
    BOOST_TEST(docs("p2p/a.hpp", "/// F and g.\nint f(int x);\nint g(int x);").empty());
    BOOST_TEST(docs("p2p/a.hpp", "/// F.\nint f(int x);\n\nint g(int x);") == "7 docstring");
    BOOST_TEST(docs("p2p/a.hpp", "/// S.\nclass s {\n\n    int f();\n};").empty());
    BOOST_TEST(docs("p2p/a.hpp", "/// S.\nstruct s {\n    s();\n    ~s();\n};").empty());
    BOOST_TEST(docs("p2p/core/a.hpp", "int f(int x);").empty());
}

BOOST_AUTO_TEST_CASE(todos_and_places_on_one_machine) {
    BOOST_TEST(found(check_todos, "p2p/a.cpp", "// TODO: later\n") == "1 todo");
    BOOST_TEST(found(check_todos, "README.md", "TODO (soon)\n") == "1 todo");
    BOOST_TEST(found(check_todos, "p2p/a.cpp", "// TODO(#12): later\n").empty());
    BOOST_TEST(found(check_machine_paths, "a.sh", "cd /home/x\n") == "1 path");
    BOOST_TEST(found(check_machine_paths, "a.md", "see `/Users/x`\n") == "1 path");
    BOOST_TEST(found(check_machine_paths, "a.sh", "cd build/home/x; http://a.b/home/\n").empty());
}

BOOST_AUTO_TEST_CASE(dead_files_and_readmes) {
    const std::vector<source_text> files{
        make_source("p2p/CMakeLists.txt",
                    "tequio_library(p2p SOURCES core/live.cpp\n  ../base/far.cpp HEADERS a.hpp)"),
        make_source("p2p/core/live.cpp", "#include \"p2p/a.hpp\"\n"),
        make_source("base/far.cpp", ""),
        make_source("base/README.md", ""),
        make_source("p2p/core/dead.cpp", ""),
        make_source("p2p/a.hpp", ""),
        make_source("p2p/b.hpp", ""),
        make_source("ledger/README.md", repeated("x\n", 201)),
    };
    const auto paths = [](const findings& all) {
        std::string out;
        for (const auto& f : all) out += f.path + " " + f.rule + ";";
        return out;
    };
    findings dead, readmes;
    check_dead_files(files, dead);
    check_readmes(files, readmes);
    BOOST_TEST(paths(dead) == "p2p/core/dead.cpp dead;p2p/b.hpp dead;");
    BOOST_TEST(paths(readmes) == "ledger/README.md readme;p2p readme;");
}

BOOST_AUTO_TEST_CASE(a_line_may_break_a_rule_and_say_why) {
    const auto all = [](const std::string& text) {
        return check_all({make_source("p2p/README.md", ""),
                          make_source("p2p/CMakeLists.txt", "core/a.cpp "),
                          make_source("p2p/core/a.cpp", text)})
            .size();
    };
    BOOST_TEST(all("throw x;\n") == 1);
    BOOST_TEST(all("// tidy: allow throw: a library wants it\nthrow x;\n") == 0);
    BOOST_TEST(all("throw x;  // tidy: allow throw: a library wants it\n") == 0);
    BOOST_TEST(all("throw x;  // tidy: allow clock: wrong rule\n") == 1);
}

BOOST_AUTO_TEST_SUITE_END()
