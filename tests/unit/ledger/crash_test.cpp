// A writer that is killed at any moment loses nothing that it acknowledged.

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>

#include "base/rng.hpp"
#include "ledger/show.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

/// Appends batches for ever; after each, writes the size of the ledger to `acknowledged`.
[[noreturn]] void append_for_ever(const std::string& path, int acknowledged) {
    auto s = store::open(path, alice.owner(), noon);
    if (!s) ::_exit(3);
    for (std::uint64_t lane = (*s)->size();; lane += 4) {
        std::vector<store_write> writes;
        for (std::uint64_t i = 0; i < 4; ++i) {
            writes.push_back(append_note{
                signed_receipt(unchecked_facts(alice, 0, lane + i), alice, bob).encode()});
        }
        if (!(*s)->commit(writes)) ::_exit(4);
        const std::uint64_t size = (*s)->size();
        if (::write(acknowledged, &size, sizeof size) != sizeof size) ::_exit(5);
    }
}

/// When the writer dies: so long after it began, or after its first acknowledgement.
struct death {
    bool after_first = false;
    std::chrono::microseconds wait{};
};

/// Runs the writer, kills it, gives the last size it acknowledged.
std::uint64_t run_and_kill(const std::string& path, death when) {
    int ends[2];
    BOOST_REQUIRE(::pipe(ends) == 0);
    const auto child = ::fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        ::close(ends[0]);
        append_for_ever(path, ends[1]);
    }
    ::close(ends[1]);
    std::uint64_t last = 0, size = 0;
    if (when.after_first) {
        // A loaded machine may need long to get here.
        BOOST_REQUIRE(::read(ends[0], &last, sizeof last) == sizeof last);
    }
    // The moment of death is the random variable here, so this waits by the clock.
    const timespec pause{0, static_cast<long>(when.wait.count()) * 1000};
    ::nanosleep(&pause, nullptr);
    ::kill(child, SIGKILL);
    int status = 0;
    BOOST_REQUIRE(::waitpid(child, &status, 0) == child);
    BOOST_REQUIRE_MESSAGE(WIFSIGNALED(status),
                          "the writer ended by itself, with exit code " << WEXITSTATUS(status));
    while (::read(ends[0], &size, sizeof size) == sizeof size) last = size;
    ::close(ends[0]);
    return last;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_killed_writer_loses_nothing_it_acknowledged) {
    const char* given = std::getenv("TEQUIO_SEED");
    const std::uint64_t seed =
        given ? std::strtoull(given, nullptr, 10) : static_cast<std::uint64_t>(::getpid());
    BOOST_TEST_MESSAGE("seed " << seed);
    BOOST_TEST_CONTEXT("repeat with TEQUIO_SEED=" << seed) {
        base::rng random(seed);
        const scratch_folder folder;
        const auto path = folder.file("ledger.db");
        std::uint64_t acknowledged = 0;
        for (int i = 0; i < 20; ++i) {
            const auto said = run_and_kill(
                path, {i % 2 == 1, std::chrono::microseconds(500 + random.below(40000))});
            acknowledged = std::max(acknowledged, said);
            // Killed before it made the file: nothing was acknowledged either.
            if (!std::filesystem::exists(path) || acknowledged == 0) continue;
            const auto report = verify_store(path);
            BOOST_REQUIRE_MESSAGE(report, report.error().message());
            BOOST_REQUIRE_MESSAGE(report->ok(), report_text(*report));
            BOOST_REQUIRE_GE(report->entries, acknowledged);
            acknowledged = report->entries;
        }
        BOOST_TEST(acknowledged > 1u);
        const auto s = store::open(path, alice.owner(), noon);
        BOOST_REQUIRE_MESSAGE(s, s.error().message());
        BOOST_TEST((*s)->size() >= acknowledged);
    }
}
