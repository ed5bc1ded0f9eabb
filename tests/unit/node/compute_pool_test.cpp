#include "node/worker/compute_pool.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <numeric>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using tequio::node::compute_pool;
using tequio::node::thread_gate;

namespace {

/// How often each task ran and each thread was used; thread-safe.
class tally {
public:
    tally(std::size_t tasks, unsigned threads) : by_task_(tasks), by_thread_(threads) {}
    void operator()(std::size_t task, unsigned thread) {
        if (by_thread_.at(thread).inside.exchange(true)) shared_ = true;
        by_task_.at(task).fetch_add(1);
        by_thread_[thread].tasks.fetch_add(1);
        by_thread_[thread].inside.store(false);
    }
    bool each_task_ran_once() const {
        return std::all_of(by_task_.begin(), by_task_.end(),
                           [](const auto& count) { return count.load() == 1; });
    }
    bool threads_were_shared() const { return shared_; }
    std::size_t tasks_of(unsigned thread) const { return by_thread_[thread].tasks.load(); }

private:
    struct one_thread {
        std::atomic<std::size_t> tasks{0};
        std::atomic<bool> inside{false};
    };
    std::vector<std::atomic<int>> by_task_;
    std::vector<one_thread> by_thread_;
    std::atomic<bool> shared_{false};
};

double processor_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Runs `body` in a child process and says which signal ended it, 0 for none.
template <class Body>
int signal_that_ends(Body body) {
    const auto child = ::fork();
    BOOST_REQUIRE_GE(child, 0);
    if (child == 0) {
        ::signal(SIGABRT, SIG_DFL);  // the test framework's own handler would report it
        ::close(STDERR_FILENO);
        body();
        ::_exit(0);
    }
    int status = 0;
    BOOST_REQUIRE_EQUAL(::waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

}  // namespace

BOOST_AUTO_TEST_CASE(runs_every_task_exactly_once) {
    for (const unsigned threads : {1u, 2u, 3u, 7u}) {
        compute_pool pool(threads);
        BOOST_TEST(pool.threads() == threads);
        for (const std::size_t tasks : {0u, 1u, 2u, 3u, 64u, 1000u}) {
            tally seen(tasks, threads);
            pool.run(tasks, seen);
            BOOST_TEST(seen.each_task_ran_once());
            BOOST_TEST(!seen.threads_were_shared());
        }
    }
}

BOOST_AUTO_TEST_CASE(what_a_section_wrote_is_visible_to_the_next) {
    compute_pool pool(3);
    // Plain memory, read by another thread than wrote it: a missing barrier is a data race.
    std::vector<std::uint64_t> values(50, 0), next(50, 0);
    constexpr int sections = 3000;
    for (int section = 0; section < sections; ++section) {
        pool.run(values.size(), [&](std::size_t task, unsigned) {
            next[task] = values[(task + 1) % values.size()] + 1;
        });
        std::swap(values, next);
    }
    const auto sum = std::accumulate(values.begin(), values.end(), std::uint64_t{0});
    BOOST_TEST(sum == values.size() * sections);
}

BOOST_AUTO_TEST_CASE(a_thread_begins_with_its_own_share_and_then_helps_others) {
    constexpr std::size_t tasks = 1000;
    compute_pool pool(2);
    std::array<std::atomic<std::size_t>, 2> begun{tasks, tasks};
    std::atomic<std::size_t> finished{0};
    tally seen(tasks, 2);
    pool.run(tasks, [&](std::size_t task, unsigned thread) {
        std::size_t nothing = tasks;
        if (begun[thread].compare_exchange_strong(nothing, task)) {
            while (begun[1 - thread].load() == tasks) std::this_thread::yield();
            // Thread 1 stays in its first task until everything else is done.
            while (thread == 1 && finished.load() < tasks - 1) std::this_thread::yield();
        }
        seen(task, thread);
        finished.fetch_add(1);
    });
    BOOST_TEST(begun[0].load() == 0u);
    BOOST_TEST(begun[1].load() == tasks / 2);
    BOOST_TEST(seen.each_task_ran_once());
    BOOST_TEST(seen.tasks_of(0) == tasks - 1);
}

BOOST_AUTO_TEST_CASE(gate_keeps_threads_above_its_number_away) {
    thread_gate gate;
    gate.allow(2);
    compute_pool pool(4, &gate);
    tally seen(5000, 4);
    pool.run(5000, seen);
    BOOST_TEST(seen.each_task_ran_once());
    BOOST_TEST(seen.tasks_of(2) == 0u);
    BOOST_TEST(seen.tasks_of(3) == 0u);
}

BOOST_AUTO_TEST_CASE(closed_gate_stops_everything_until_it_opens) {
    thread_gate gate;
    gate.allow(0);
    tally seen(100, 2);
    std::thread computing([&] {
        compute_pool pool(2, &gate);
        pool.run(100, seen);
    });
    BOOST_TEST(seen.tasks_of(0) + seen.tasks_of(1) == 0u);
    gate.allow(1);
    computing.join();
    BOOST_TEST(seen.each_task_ran_once());
    BOOST_TEST(seen.tasks_of(1) == 0u);
}

BOOST_AUTO_TEST_CASE(shrinking_gate_takes_threads_away_inside_a_section) {
    thread_gate gate;
    compute_pool pool(4, &gate);
    std::atomic<bool> shrunk{false};
    std::array<std::atomic<int>, 4> started_later{};
    pool.run(20000, [&](std::size_t task, unsigned thread) {
        if (shrunk.load()) started_later[thread].fetch_add(1);
        if (task == 50) {
            gate.allow(1);
            shrunk.store(true);
        }
    });
    // A helper may have been between the gate and its task.
    for (const unsigned helper : {1u, 2u, 3u}) BOOST_TEST(started_later[helper].load() <= 1);
}

BOOST_AUTO_TEST_CASE(a_knock_after_the_look_is_not_slept_through) {
    thread_gate gate;
    gate.allow(0);
    compute_pool pool(2, &gate);
    int looks = 0;
    pool.while_parked([&] {
        // What came after this look was told before the sleep began.
        if (++looks == 1) gate.knock();
        if (looks == 2) pool.abandon();
    });
    pool.run(2, [](std::size_t, unsigned) {});
    BOOST_TEST(looks == 2);
}

BOOST_AUTO_TEST_CASE(parked_threads_sleep_until_somebody_knocks) {
    thread_gate gate;
    gate.allow(0);
    std::atomic<int> looks{0};
    std::atomic<bool> end{false};
    std::thread computing([&] {
        compute_pool pool(3, &gate);
        pool.while_parked([&] {
            looks.fetch_add(1);
            if (end.load()) pool.abandon();
        });
        pool.run(8, [](std::size_t, unsigned) {});
    });
    ::poll(nullptr, 0, 700);  // the length of the measurement
    BOOST_TEST(looks.load() <= 1);
    end.store(true);
    gate.knock();
    computing.join();
    BOOST_TEST(looks.load() >= 1);
}

BOOST_AUTO_TEST_CASE(knocks_change_no_number) {
    thread_gate gate;
    BOOST_TEST(gate.allowed() == thread_gate::threads_max);
    for (int i = 0; i < 70000; ++i) gate.knock();  // more often than can be counted
    BOOST_TEST(gate.allowed() == thread_gate::threads_max);
    gate.allow(3);
    const auto before = gate.word();
    gate.knock();
    BOOST_TEST(gate.allowed() == 3u);
    BOOST_TEST(gate.word() != before);
    gate.allow(UINT32_MAX);
    BOOST_TEST(gate.allowed() == thread_gate::threads_max);
}

BOOST_AUTO_TEST_CASE(destroyed_while_its_threads_are_parked) {
    for (int i = 0; i < 50; ++i) {
        thread_gate gate;
        gate.allow(i % 3 == 0 ? 0 : 1);
        compute_pool pool(4, &gate);
        gate.allow(i % 2 == 0 ? 0 : 4);
    }
}

BOOST_AUTO_TEST_CASE(idle_threads_use_no_processor_time) {
    compute_pool pool(8);
    pool.run(64, [](std::size_t, unsigned) {});
    ::poll(nullptr, 0, 20);  // the spin after a section ends within this
    const auto before = processor_seconds();
    ::poll(nullptr, 0, 300);  // the length of the measurement
    BOOST_TEST(processor_seconds() - before < 0.03);
}

BOOST_AUTO_TEST_CASE(section_inside_a_section_aborts) {
    const int signal = signal_that_ends([] {
        compute_pool pool(2);
        pool.run(1, [&](std::size_t, unsigned) { pool.run(1, [](std::size_t, unsigned) {}); });
    });
    BOOST_TEST(signal == SIGABRT);
}

#if defined(__x86_64__)
BOOST_AUTO_TEST_CASE(changed_floating_point_environment_is_noticed) {
    for (const unsigned threads : {1u, 3u}) {
        const auto before = _mm_getcsr();
        compute_pool pool(threads);
        pool.run(100, [](std::size_t, unsigned) {});
        BOOST_TEST(pool.environment_ok());
        pool.run(100, [](std::size_t task, unsigned) {
            if (task == 7) _mm_setcsr(_mm_getcsr() | 0x8000);  // flush to zero
        });
        BOOST_TEST(!pool.environment_ok());
        pool.restore_environment();
        std::atomic<unsigned> spoiled = 0;
        pool.run(1000, [&](std::size_t, unsigned) {
            if (_mm_getcsr() & 0x8000) ++spoiled;
        });
        BOOST_TEST(spoiled == 0u);
        BOOST_TEST(pool.environment_ok());
        _mm_setcsr(before);
    }
}
#endif
