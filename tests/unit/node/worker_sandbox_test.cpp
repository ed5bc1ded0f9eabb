#include "node/worker/sandbox.hpp"

#include <spawn.h>
#include <sys/wait.h>

#include <boost/test/unit_test.hpp>
#include <string>

#include "node/worker/cpu_protection.hpp"

namespace {

/// Runs one probe of the child program and returns its exit code, 1000 + signal if it was killed.
int probe(std::string name) {
    std::string program = TEQUIO_WORKER_CHILD, mode = "probe";
    char* arguments[] = {program.data(), mode.data(), name.data(), nullptr};
    pid_t child = 0;
    BOOST_REQUIRE_EQUAL(
        ::posix_spawn(&child, program.c_str(), nullptr, nullptr, arguments, environ), 0);
    int status = 0;
    BOOST_REQUIRE_EQUAL(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void is_refused(const std::string& name) {
    const int code = probe(name);
    BOOST_TEST_INFO("probe " << name);
    if (tequio::node::sandbox_is_relaxed() && code == 77) return;
    BOOST_TEST(code == 0);
}

}  // namespace

BOOST_AUTO_TEST_CASE(network_is_out_of_reach) {
    is_refused("socket");
    is_refused("socketpair");
}

BOOST_AUTO_TEST_CASE(files_cannot_be_opened_or_seen) {
    is_refused("open");
    is_refused("stat");
    is_refused("descriptor");
}

BOOST_AUTO_TEST_CASE(no_process_thread_or_program_can_be_started) {
    is_refused("fork");
    is_refused("thread");
    is_refused("execve");
    is_refused("code");
}

BOOST_AUTO_TEST_CASE(other_processes_are_out_of_reach) {
    is_refused("kill");
    is_refused("ptrace");
}

BOOST_AUTO_TEST_CASE(memory_above_the_limit_is_refused) {
    is_refused("memory");
    is_refused("memory_file");
    is_refused("core");
}

BOOST_AUTO_TEST_CASE(computing_still_works) {
    BOOST_TEST(probe("compute") == 0);
}

BOOST_AUTO_TEST_CASE(unknown_probe_is_an_error_of_the_test) {
    BOOST_TEST(probe("no such thing") == 2);
}

BOOST_AUTO_TEST_CASE(protection_of_others_has_a_name) {
    using tequio::node::cpu_protection;
    BOOST_TEST(cpu_protection_name(cpu_protection::autogroup) == "autogroup");
    BOOST_TEST(cpu_protection_name(cpu_protection::nice_only) == "nice-only");
    BOOST_TEST(!cpu_protection_name(tequio::node::inspect_cpu_protection()).empty());
}
