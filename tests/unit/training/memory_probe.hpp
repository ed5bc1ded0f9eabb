#pragma once

/// How much memory something takes at most, asked of the system in a process of its own, which has
/// no past peak.

#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <fstream>
#include <string>

namespace tequio::training {

/// A line of /proc/self/status in bytes.
inline std::uint64_t status_bytes(const std::string& name) {
    std::ifstream in("/proc/self/status");
    std::string word;
    while (in >> word) {
        std::uint64_t kilobytes = 0;
        if (word == name + ":" && in >> kilobytes) return kilobytes * 1024;
    }
    return 0;
}

/// What `measure`, which returns bytes, says in a child process.
template <class Measure>
std::uint64_t peak_bytes_alone(Measure measure) {
    int ends[2];
    BOOST_REQUIRE_EQUAL(::pipe(ends), 0);
    const auto child = ::fork();
    BOOST_REQUIRE_GE(child, 0);
    if (child == 0) {
        const std::uint64_t bytes = measure();
        const bool told = ::write(ends[1], &bytes, sizeof bytes) == sizeof bytes;
        ::_exit(told ? 0 : 1);
    }
    std::uint64_t bytes = 0;
    BOOST_REQUIRE_EQUAL(::read(ends[0], &bytes, sizeof bytes), ssize_t{sizeof bytes});
    int status = 0;
    BOOST_REQUIRE_EQUAL(::waitpid(child, &status, 0), child);
    BOOST_REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ::close(ends[0]);
    ::close(ends[1]);
    return bytes;
}

}  // namespace tequio::training
