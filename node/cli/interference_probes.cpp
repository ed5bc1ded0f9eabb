#include "node/cli/interference_probes.hpp"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <numeric>
#include <thread>

#include "base/rng.hpp"
#include "node/cli/child_process.hpp"
#include "node/cli/context.hpp"
#include "node/cli/measure.hpp"
#include "node/cli/statistics.hpp"

namespace tequio::node {
namespace {

using clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using probe_samples = base::result<std::vector<double>>;

constexpr auto frame = microseconds(16667);
constexpr double frame_ms = 16.667;

double seconds_between(clock::time_point start, clock::time_point end) {
    return std::chrono::duration<double>(end - start).count();
}
clock::time_point end_of(const probe_turn& turn) {
    return clock::now() +
           std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(turn.seconds));
}

/// Blocks until then, with the timer's own precision.
void await(clock::time_point moment) {
    const auto ns = std::chrono::nanoseconds(moment.time_since_epoch()).count();
    const timespec at{ns / 1000000000, ns % 1000000000};
    while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) == EINTR) continue;
}

double thread_seconds() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// Uses the processor until this thread has had that much of it.
void work_for(double seconds) {
    const double end = thread_seconds() + seconds;
    while (thread_seconds() < end) continue;
}

/// The processors that this process may use.
std::vector<int> processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> out;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
        for (int i = 0; i < CPU_SETSIZE; ++i) {
            if (CPU_ISSET(i, &set)) out.push_back(i);
        }
    }
    if (out.empty()) out.push_back(0);
    return out;
}

void pin(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
}

/// Runs `body(index)` in `count` threads of their own: nothing of what they set stays behind.
template <class Body>
void in_threads(std::size_t count, Body body) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back([&body, i] { body(i); });
    for (auto& thread : threads) thread.join();
}

/// A timer of 1 ms: how late the thread runs, in microseconds.
probe_samples wake_up(const probe_turn& turn) {
    std::vector<double> late;
    const auto where = processors();
    in_threads(1, [&](std::size_t) {
        // Pinned, as the tools for this do it: the processor's owner must get it back, not another.
        pin(where[turn.index % where.size()]);
        ::prctl(PR_SET_TIMERSLACK, 1UL);
        const auto end = end_of(turn);
        auto due = clock::now() + milliseconds(1);
        while (due < end && !interrupted()) {
            await(due);
            const auto now = clock::now();
            late.push_back(1e6 * seconds_between(due, now));
            while (due <= now) due += milliseconds(1);
        }
    });
    if (late.empty()) late.push_back(0);
    return late;
}

/// A pause of 20 to 50 ms as between keys, then 5 ms of work: milliseconds until it is done.
probe_samples keystroke(const probe_turn& turn) {
    std::vector<double> took;
    base::rng draw(turn.index);
    const auto end = end_of(turn);
    do {
        const auto due = clock::now() + draw.between(milliseconds(20), milliseconds(50));
        await(due);
        work_for(0.005);
        took.push_back(1e3 * seconds_between(due, clock::now()));
    } while (clock::now() < end && !interrupted());
    return took;
}

/// 8 ms of work 60 times a second: milliseconds from a frame's start until it is drawn.
probe_samples frames(const probe_turn& turn) {
    std::vector<double> took;
    const auto end = end_of(turn);
    auto due = clock::now() + frame;
    do {
        await(due);
        work_for(0.008);
        const auto now = clock::now();
        took.push_back(1e3 * seconds_between(due, now));
        do due += frame;
        while (due <= now);
    } while (due < end && !interrupted());
    return took;
}

/// Asks once in 3.3 ms, each answer being 1 ms of work of another thread: 30 % load for each
/// processor. Microseconds from when a question was due to its answer.
std::vector<double> ask(int socket, const probe_turn& turn) {
    std::vector<double> took;
    const auto end = end_of(turn);
    auto due = clock::now() + microseconds(3333);
    while (due < end && !interrupted()) {
        await(due);
        char word = 1;
        if (::write(socket, &word, 1) != 1 || ::read(socket, &word, 1) != 1) break;
        took.push_back(1e6 * seconds_between(due, clock::now()));
        due += microseconds(3333);
    }
    return took;
}

probe_samples request(const probe_turn& turn) {
    const auto pairs = processors().size();
    std::vector<std::array<int, 2>> sockets(pairs, {-1, -1});
    for (auto& s : sockets) {
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s.data()) != 0) {
            return base::fail(base::errc::io_failure, "no socket for the probe \"request\"");
        }
    }
    std::vector<std::vector<double>> took(pairs);
    in_threads(2 * pairs, [&](std::size_t i) {
        const auto& s = sockets[i / 2];
        if (i % 2 == 0) {
            took[i / 2] = ask(s[0], turn);
            ::close(s[0]);
            return;
        }
        char word = 0;
        while (::read(s[1], &word, 1) == 1) {
            work_for(0.001);
            if (::write(s[1], &word, 1) != 1) break;
        }
        ::close(s[1]);
    });
    std::vector<double> all;
    for (const auto& part : took) all.insert(all.end(), part.begin(), part.end());
    if (all.empty()) all.push_back(0);
    return all;
}

/// A thread on each processor that never waits: which part of it each gets.
probe_samples share(const probe_turn& turn) {
    const auto where = processors();
    std::vector<double> part(where.size());
    in_threads(where.size(), [&](std::size_t i) {
        pin(where[i]);
        const auto start = clock::now();
        const auto end = end_of(turn);
        const double before = thread_seconds();
        while (clock::now() < end && !interrupted()) continue;
        part[i] = (thread_seconds() - before) / seconds_between(start, clock::now());
    });
    return part;
}

/// a = b + s * c on all processors over arrays that no cache of today holds: GB/s of each round.
/// Source: McCalpin, STREAM.
probe_samples triad(const probe_turn& turn) {
    constexpr std::size_t size = std::size_t{1} << 22;  // 32 MiB each
    const auto threads = processors().size();
    std::vector<double> a(size, 1), b(size, 2), c(size, 3), rates;
    const auto end = end_of(turn);
    do {
        const auto start = clock::now();
        in_threads(threads, [&](std::size_t t) {
            double* __restrict to = a.data();
            const double *x = b.data(), *y = c.data();
            for (std::size_t i = t * size / threads; i < (t + 1) * size / threads; ++i) {
                to[i] = x[i] + 3 * y[i];
            }
        });
        rates.push_back(3 * sizeof(double) * static_cast<double>(size) /
                        seconds_between(start, clock::now()) / 1e9);
    } while (clock::now() < end && !interrupted());
    // One sample a turn: rounds are no events that anybody waits for.
    return std::vector<double>{quantile(std::move(rates), 0.5)};
}

/// Follows a cycle through 32 MiB in random order (Sattolo 1986): nanoseconds a step, where caches
/// and memory are shared with others.
probe_samples chase(const probe_turn& turn) {
    constexpr std::size_t line = 16;  // 64 bytes of 4
    constexpr std::size_t lines = std::size_t{1} << 19;
    std::vector<std::uint32_t> next(line * lines);
    std::vector<std::uint32_t> order(lines);
    std::iota(order.begin(), order.end(), 0U);
    base::rng draw(1);
    for (std::size_t i = lines - 1; i > 0; --i) std::swap(order[i], order[draw.below(i)]);
    for (std::size_t i = 0; i < lines; ++i) {
        next[line * order[i]] = static_cast<std::uint32_t>(line * order[(i + 1) % lines]);
    }
    constexpr std::uint64_t steps = 1 << 16;
    std::uint32_t at = 0;
    std::vector<double> took;
    const auto end = end_of(turn);
    do {
        const auto start = clock::now();
        for (std::uint64_t i = 0; i < steps; ++i) at = next[at];
        took.push_back(1e9 * seconds_between(start, clock::now()) / static_cast<double>(steps));
    } while (clock::now() < end && !interrupted());
    volatile const std::uint32_t end_of_walk = at;  // a walk whose end nobody reads is left out
    (void)end_of_walk;
    return std::vector<double>{quantile(std::move(took), 0.5)};
}

/// Commands whose time counts run in a process group of their own, but in our session.
base::result<child_process> start_shell(const std::string& command) {
    child_options shell;
    shell.arguments = {"/bin/sh", "-c", command};
    return child_process::start(shell);
}

/// Seconds until all of `commands`, started together, have ended well.
probe_samples time_of(const std::vector<std::string>& commands) {
    constexpr auto patience = std::chrono::hours(2);
    std::vector<child_process> running;
    const auto start = clock::now();
    for (const auto& command : commands) {
        TEQUIO_TRY(auto child, start_shell(command));
        running.push_back(std::move(child));
    }
    for (std::size_t i = 0; i < running.size(); ++i) {
        const auto status = running[i].wait(patience);
        if (!status) return ends_with(exit_code::interrupted, "interrupted");
        if (*status == 0) continue;
        return ends_with(exit_code::failure, "the build ended with status " +
                                                 std::to_string(*status) + ": " + commands[i]);
    }
    return std::vector<double>{seconds_between(start, clock::now())};
}

std::string shell_loop(std::uint64_t turns) {
    return "i=0; while [ $i -lt " + std::to_string(turns) + " ]; do i=$((i + 1)); done";
}

probe_samples build(const probe_options& options) {
    if (!options.build.empty()) return time_of({options.build});
    return time_of(std::vector<std::string>(processors().size(), shell_loop(options.build_loops)));
}

probe_figure at(std::string_view name, double share) {
    return {name, probe_figure::kind::quantile, share};
}

}  // namespace

double probe_figure::of(const std::vector<double>& values) const {
    if (how == kind::quantile) return quantile(values, value);
    const auto count = static_cast<double>(
        std::count_if(values.begin(), values.end(), [&](double v) { return v > value; }));
    return how == kind::above ? count : scale * count / static_cast<double>(values.size());
}

base::result<std::uint64_t> calibrated_build_loops(double seconds) {
    constexpr std::uint64_t tried = 100000;
    std::vector<double> took;
    for (int i = 0; i < 3; ++i) {
        TEQUIO_TRY(const auto one, time_of({shell_loop(tried)}));
        took.push_back(one.front());
    }
    const double best = std::max(1e-3, quantile(took, 0));
    return std::max<std::uint64_t>(1000, static_cast<std::uint64_t>(tried * seconds / best));
}

std::vector<interference_probe> interference_probes(const probe_options& options) {
    using enum probe_figure::kind;
    using enum interference_probe::comparison;
    const auto middle = at("median", 0.5);
    return {
        {"wake-up",
         "us",
         {at("p99", 0.99), at("p50", 0.5), at("p99.9", 0.999), at("max", 1)},
         difference,
         wake_up},
        {"keystroke",
         "ms",
         {at("p99", 0.99), at("p95", 0.95), {"frames_missed", above, frame_ms}},
         difference,
         keystroke},
        {"frames",
         "ms",
         {{"missed_per_minute", above_share, frame_ms, 3600}, at("p99", 0.99)},
         difference,
         frames},
        {"request", "us", {at("p99", 0.99), at("p50", 0.5)}, ratio, request},
        {"share", "of a processor", {middle, at("least", 0)}, ratio, share},
        {"triad", "GB/s", {middle}, ratio, triad},
        {"chase", "ns", {middle}, ratio, chase},
        {"build", "s", {middle}, ratio, [options](const probe_turn&) { return build(options); }},
    };
}

}  // namespace tequio::node
