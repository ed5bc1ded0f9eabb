#include "node/worker/sandbox.hpp"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "node/worker/landlock.hpp"

namespace {

using namespace tequio::node;

/// Runs the child program and returns its exit code, 1000 + signal if it was killed.
int run_child(std::vector<std::string> words) {
    words.insert(words.begin(), TEQUIO_WORKER_CHILD);
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_t child = 0;
    BOOST_REQUIRE_EQUAL(
        ::posix_spawn(&child, arguments[0], nullptr, nullptr, arguments.data(), environ), 0);
    int status = 0;
    BOOST_REQUIRE_EQUAL(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void is_refused(const std::string& name) {
    const int code = run_child({"probe", name});
    BOOST_TEST_INFO("probe " << name);
    if (sandbox_is_relaxed() && code == 77) return;
    BOOST_TEST(code == 0);
}

int try_all(const std::string& mode) {
    const auto folder = std::filesystem::temp_directory_path() /
                        ("tequio-deeds-" + mode + "-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    const int code = run_child({"deeds", mode, folder.string()});
    std::filesystem::remove_all(folder);
    return code;
}

}  // namespace

// What is tried, one system call each, stands in forbidden_deeds.cpp: files, network, processes,
// privileges, executable memory, the kernel. The child says on stderr what was not refused.
BOOST_AUTO_TEST_CASE(every_forbidden_deed_is_refused_inside) {
    BOOST_TEST(try_all("sandbox") == 0);
}

// Without it the case above would pass for calls that fail anyway.
BOOST_AUTO_TEST_CASE(the_same_deeds_are_not_refused_outside) {
    if (sandbox_is_relaxed()) return;  // sanitizers do not expect threads made by hand
    BOOST_TEST(try_all("free") == 0);
}

BOOST_AUTO_TEST_CASE(landlock_refuses_files_and_more_without_seccomp) {
    const int code = try_all("landlock");
    if (code == 77) {
        BOOST_TEST((landlock_abi() == 0 || sandbox_is_relaxed()));
        BOOST_TEST_MESSAGE("no landlock here");
        return;
    }
    BOOST_TEST(code == 0);
}

BOOST_AUTO_TEST_CASE(landlock_versions_only_add_rights) {
    BOOST_TEST(landlock_rights_of(0).files == 0u);
    // Linux 5.13: 13 rights over files; 6.10: 16 over files; 6.7: TCP; 6.12: scopes.
    BOOST_TEST(landlock_rights_of(1).files == 0x1fffu);
    BOOST_TEST(landlock_rights_of(3).network == 0u);
    BOOST_TEST(landlock_rights_of(4).network == 3u);
    BOOST_TEST(landlock_rights_of(5).scopes == 0u);
    BOOST_TEST(landlock_rights_of(7).files == 0xffffu);
    BOOST_TEST(landlock_rights_of(7).scopes == 3u);
    for (unsigned abi = 1; abi <= landlock_abi_max; ++abi) {
        const auto before = landlock_rights_of(abi - 1), now = landlock_rights_of(abi);
        BOOST_TEST((before.files & ~now.files) == 0u);
        BOOST_TEST((before.network & ~now.network) == 0u);
        BOOST_TEST((before.scopes & ~now.scopes) == 0u);
    }
}

#ifdef __x86_64__
// Call numbers mean something else there: the filter ends the process.
BOOST_AUTO_TEST_CASE(other_entrances_to_the_kernel_are_walled_up) {
    if (sandbox_is_relaxed()) return;
    BOOST_TEST(run_child({"probe", "old_gate"}) == 1000 + SIGSYS);
    BOOST_TEST(run_child({"probe", "x32"}) == 1000 + SIGSYS);
}
#endif

BOOST_AUTO_TEST_CASE(memory_above_the_limit_is_refused) {
    is_refused("memory");
    is_refused("memory_file");
    is_refused("core");
}

BOOST_AUTO_TEST_CASE(computing_still_works) {
    BOOST_TEST(run_child({"probe", "compute"}) == 0);
}

BOOST_AUTO_TEST_CASE(unknown_probe_is_an_error_of_the_test) {
    BOOST_TEST(run_child({"probe", "no such thing"}) == 2);
}
