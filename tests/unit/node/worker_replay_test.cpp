// A whole job in a worker that is killed, interrupted, given other threads: the digests never move.

#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "base/rng.hpp"
#include "node/worker/job_replay.hpp"
#include "tests/unit/node/worker_job.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::node;

namespace {

/// A folder that goes away with the test.
class scratch {
public:
    scratch() {
        std::string name = std::filesystem::temp_directory_path() / "tequio-replay-XXXXXX";
        BOOST_REQUIRE(::mkdtemp(name.data()) != nullptr);
        path_ = name;
    }
    ~scratch() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

replay_options options(const scratch& folder, unsigned threads = 1) {
    replay_options out;
    out.worker = {TEQUIO_WORKER_CHILD, threads, 0, false};
    out.folder = folder.path() / "work";
    return out;
}

std::unique_ptr<job_replay> open(const test_job& job, replay_options o) {
    auto replay = job_replay::open(job.recipe, job.blobs(), std::move(o));
    if (!replay) BOOST_FAIL(replay.error().message());
    return std::move(*replay);
}

std::vector<training::chronicle_entry> finish(job_replay& replay) {
    while (replay.entries().empty() || !replay.entries().back().closes()) {
        const auto entry = replay.next_round();
        if (!entry) BOOST_FAIL(entry.error().message());
    }
    return replay.entries();
}

std::vector<training::chronicle_entry> whole_job(const test_job& job, unsigned threads = 1) {
    scratch folder;
    return finish(*open(job, options(folder, threads)));
}

}  // namespace

BOOST_AUTO_TEST_CASE(threads_do_not_change_the_chronicle) {
    test_job job;
    const auto one = whole_job(job);
    BOOST_REQUIRE_EQUAL(one.size(), job.recipe.train.rounds + 1);
    BOOST_TEST((one == whole_job(job, 2)));
    BOOST_TEST((one == whole_job(job, 3)));
    for (std::size_t i = 0; i < one.size(); ++i) {
        const auto* before = i == 0 ? nullptr : &one[i - 1];
        BOOST_TEST(training::chronicle_entry_follows(before, one[i]).has_value());
        BOOST_TEST(one[i].validation_loss.has_value());
    }
    BOOST_TEST((one.front().state_before != one.front().state_after));
}

namespace {

/// Kills the worker of `victim` when its alarm rings, at times drawn beforehand.
struct killer {
    static inline const job_replay* victim = nullptr;
    static inline volatile sig_atomic_t kills = 0;
    static constexpr int kills_max = 20;

    static void set_alarm(std::uint64_t milliseconds) {
        itimerval timer{};
        timer.it_value.tv_usec = static_cast<suseconds_t>(1000 * milliseconds);
        ::setitimer(ITIMER_REAL, &timer, nullptr);
    }
    static void ring(int) {
        if (victim == nullptr || victim->worker_process() <= 0) return;
        ::kill(victim->worker_process(), SIGKILL);
        kills = kills + 1;
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(twenty_random_kills_change_nothing) {
    test_job job(3, 4);
    const auto expected = whole_job(job);
    const auto seed = static_cast<std::uint64_t>(::getpid());
    std::cout << "seed " << seed << "\n";
    base::rng random(seed);
    struct sigaction action {};
    action.sa_handler = &killer::ring;
    ::sigaction(SIGALRM, &action, nullptr);
    scratch folder;
    auto o = options(folder);
    o.deaths_max = 1000;
    // Asked several times an item: the alarm is set again once it rang, so kills fall anywhere.
    o.keep_going = [&](const replay_progress&) {
        itimerval left{};
        ::getitimer(ITIMER_REAL, &left);
        const bool idle = left.it_value.tv_sec == 0 && left.it_value.tv_usec == 0;
        if (idle && killer::kills < killer::kills_max) killer::set_alarm(1 + random.below(60));
        return true;
    };
    while (killer::kills < killer::kills_max) {
        const auto replay = open(job, o);
        killer::victim = replay.get();
        const auto entries = finish(*replay);
        killer::victim = nullptr;
        BOOST_TEST((entries == expected));
        replay->discard();
    }
    ::signal(SIGALRM, SIG_IGN);
}

BOOST_AUTO_TEST_CASE(interrupted_replay_goes_on_where_it_was) {
    for (const auto& job : {test_job(2, 4), test_job::synchronous(2, 4)}) {
        const auto expected = whole_job(job);
        scratch folder;
        {
            const auto replay = open(job, options(folder));
            BOOST_REQUIRE(replay->next_round());
            BOOST_REQUIRE(replay->next_round());
            BOOST_REQUIRE(replay->save());
            BOOST_REQUIRE(replay->next_round());  // finished, but its state was not saved
        }
        const auto replay = open(job, options(folder));
        BOOST_TEST(replay->round().value == 2u);
        BOOST_TEST(replay->entries().size() == 2u);
        BOOST_TEST((finish(*replay) == expected));
    }
}

BOOST_AUTO_TEST_CASE(synchronous_rounds_have_one_chronicle_however_they_are_computed) {
    const auto job = test_job::synchronous(3, 6);
    const auto expected = whole_job(job);
    BOOST_REQUIRE_EQUAL(expected.size(), job.recipe.train.rounds + 1);
    BOOST_TEST((expected == whole_job(job, 3)));
    BOOST_TEST(*expected.back().validation_loss < *expected.front().validation_loss);
}

BOOST_AUTO_TEST_CASE(a_validation_that_is_not_finite_ends_the_job_and_says_so) {
    auto job = test_job::synchronous(2, 30);
    job.recipe.train.inner.lr = 1e9;
    job.recipe.train.inner.weight_decay = 1000;
    scratch folder;
    const auto replay = open(job, options(folder));
    base::result<training::chronicle_entry> entry = replay->next_round();
    while (entry && !entry->closes()) entry = replay->next_round();
    BOOST_REQUIRE(!entry);
    BOOST_TEST(entry.error().is(training::errc::not_finite));
    BOOST_TEST(entry.error().message().find("the validation loss of round") != std::string::npos,
               entry.error().message());
}

BOOST_AUTO_TEST_CASE(stop_is_an_error_of_its_own_and_keeps_finished_lanes) {
    test_job job(4, 2);
    const auto expected = whole_job(job);
    scratch folder;
    auto o = options(folder);
    int asked = 0;
    o.keep_going = [&](const replay_progress& at) { return at.lanes_done < 2 || ++asked < 1; };
    {
        const auto replay = open(job, o);
        const auto stopped = replay->next_round();
        BOOST_REQUIRE(!stopped);
        BOOST_TEST(stopped.error().is(training::errc::stopped));
    }
    BOOST_TEST(std::filesystem::exists(o.folder / "lane-0-0"));
    BOOST_TEST((finish(*open(job, options(folder))) == expected));
}

BOOST_AUTO_TEST_CASE(damaged_files_are_computed_again) {
    test_job job(2, 3);
    const auto expected = whole_job(job);
    for (const auto* name : {"state-2", "entry-1", "entry-0", "recipe"}) {
        scratch folder;
        {
            const auto replay = open(job, options(folder));
            BOOST_REQUIRE(replay->next_round());
            BOOST_REQUIRE(replay->next_round());
            BOOST_REQUIRE(replay->save());
        }
        const auto path = folder.path() / "work" / name;
        std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
        BOOST_REQUIRE(file.is_open());
        file.seekg(20);
        const auto byte = static_cast<char>(file.get() ^ 1);
        file.seekp(20);
        file.put(byte);
        file.close();
        BOOST_TEST((finish(*open(job, options(folder))) == expected));
    }
}

BOOST_AUTO_TEST_CASE(folder_of_another_recipe_or_in_use_is_refused) {
    test_job job, other;
    other.recipe.train.seed = 2;
    scratch folder;
    const auto replay = open(job, options(folder));
    const auto second = job_replay::open(job.recipe, job.blobs(), options(folder));
    BOOST_REQUIRE(!second);
    BOOST_TEST(second.error().message().find("another replay") != std::string::npos);
    scratch owned;
    { open(job, options(owned)); }
    const auto foreign = job_replay::open(other.recipe, job.blobs(), options(owned));
    BOOST_REQUIRE(!foreign);
    BOOST_TEST(foreign.error().message().find("another recipe") != std::string::npos);
}
