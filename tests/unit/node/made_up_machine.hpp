#pragma once

// A folder that looks like /, with the files a test puts there.

#include <stdlib.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <string>

namespace tequio::node {

struct made_up_machine {
    std::filesystem::path root;
    made_up_machine() {
        std::string name = (std::filesystem::temp_directory_path() / "tequio-machine.XXXXXX");
        BOOST_TEST_REQUIRE((::mkdtemp(name.data()) != nullptr));
        root = name;
    }
    made_up_machine(const made_up_machine&) = delete;
    ~made_up_machine() {
        std::error_code ec;
        std::filesystem::remove_all(root, ec);
    }
    void put(const std::string& path, const std::string& text) const {
        std::filesystem::create_directories((root / path).parent_path());
        std::ofstream(root / path) << text;
    }
    void drop(const std::string& path) const { std::filesystem::remove_all(root / path); }

    /// /proc/stat with these ticks of all processors since the start.
    void stat(std::uint64_t user, std::uint64_t nice, std::uint64_t system) const {
        put("proc/stat", "cpu  " + std::to_string(user) + " " + std::to_string(nice) + " " +
                             std::to_string(system) + " 900 5 0 3 1 0 0\ncpu0 1 2 3 4\nintr 5\n");
    }
    void process(int pid, const std::string& name, std::uint64_t user, std::uint64_t system,
                 int nice) const {
        const auto folder = "proc/" + std::to_string(pid);
        put(folder + "/comm", name + "\n");
        if (name == "tequio") put(folder + "/cmdline", std::string("tequio\0node\0-q", 14));
        put(folder + "/stat", std::to_string(pid) + " (" + name + ") S 1 1 1 0 -1 0 0 0 0 0 " +
                                  std::to_string(user) + " " + std::to_string(system) + " 0 0 20 " +
                                  std::to_string(nice) + " 1 0 100 0 0\n");
    }
};

}  // namespace tequio::node
