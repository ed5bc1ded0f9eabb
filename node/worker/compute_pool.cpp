#include "node/worker/compute_pool.hpp"

#include <algorithm>
#include <climits>

#include "base/ensure.hpp"
#include "node/worker/futex.hpp"
#include "training/arithmetic.hpp"

namespace tequio::node {
namespace {

constexpr std::uint32_t open_bit = 0x8000'0000u;

/// Bits of `share::taken` that count tasks.
constexpr unsigned taken_bits = 24;
constexpr std::uint64_t taken_mask = (std::uint64_t{1} << taken_bits) - 1;

/// Turns of a spin before sleeping: about 40 microseconds on the processors at hand, some sections'
/// distance inside a step, and less than the 50 microseconds that waking a thread can take (guess).
constexpr int spin_turns = 1000;

thread_local bool inside_section = false;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

compute_pool::compute_pool(unsigned threads, thread_gate* gate)
    : threads_(threads), gate_(gate), shares_(std::make_unique<share[]>(threads)) {
    base::ensure(threads >= 1 && threads < open_bit, "a pool has at least one thread");
    training::prepare_compute_thread();
    helpers_left_.store(threads - 1);
    helpers_.reserve(threads - 1);
    for (unsigned index = 1; index < threads; ++index) {
        helpers_.emplace_back([this, index] { help(index); });
    }
}

compute_pool::~compute_pool() {
    base::ensure(!running_.load(), "a pool is destroyed while it runs");
    stopping_.store(true);
    opened_.fetch_add(1);
    futex_wake(opened_, INT_MAX, futex_scope::process);
    // A helper may sleep on either word, and have looked at `stopping_` just before: knock until
    // all left.
    while (const auto left = helpers_left_.load()) {
        if (gate_ != nullptr) gate_->knock();
        futex_wait(helpers_left_, left, futex_scope::process, 1);
    }
    for (auto& helper : helpers_) helper.join();
}

void compute_pool::run(std::size_t tasks, training::task_ref body) {
    base::ensure(tasks < taken_mask, "tasks can be counted");
    base::ensure(!inside_section, "a task started a parallel section of its own");
    base::ensure(!running_.exchange(true, std::memory_order_acquire),
                 "two threads run sections of one pool");
    body_ = &body;
    tasks_ = tasks;
    ++number_;
    if (threads_ > 1 && tasks > 1) {
        // Sequentially consistent: either the helper that goes to sleep sees the open section, or
        // `sleepers_` below counts it.
        section_.store(open_bit, std::memory_order_seq_cst);
        opened_.fetch_add(1, std::memory_order_seq_cst);
        const auto asleep = sleepers_.load(std::memory_order_seq_cst);
        if (asleep > 0) {
            const auto wanted = std::min<std::size_t>(asleep, tasks - 1);
            futex_wake(opened_, static_cast<int>(wanted), futex_scope::process);
        }
    }
    do_tasks(0);
    close_section();
    wait_for_helpers();
    check_environment();
    running_.store(false, std::memory_order_release);
}

/// The caller of `run` at a gate that lets nobody through.
void compute_pool::park() {
    // Before the look: whoever sends a message and then knocks has changed the word.
    const auto word = gate_->word();
    if (thread_gate::threads_in(word) > 0) return;
    if (look_) look_();
    if (!abandoned()) gate_->wait_for_change(word);
}

void compute_pool::stop_at_gate() {
    if (gate_ == nullptr) return;
    while (!abandoned() && gate_->allowed() == 0) park();
}

/// Takes tasks until none is left or the gate takes this thread away. The caller (index 0) waits
/// at the gate; a helper goes back to `help`, so that the section can end without it.
void compute_pool::do_tasks(unsigned index) {
    inside_section = true;
    while (true) {
        if (abandoned()) {
            close_section();
            break;
        }
        if (gate_ != nullptr) {
            if (!gate_->open_for(index)) {
                if (index > 0) break;
                park();
                continue;
            }
        }
        std::size_t task = 0;
        if (!take_task(index, task)) {
            close_section();
            break;
        }
        (*body_)(task, index);
    }
    inside_section = false;
}

bool compute_pool::take_task(unsigned index, std::size_t& task) {
    for (unsigned i = 0; i < threads_; ++i) {
        if (take_from((index + i) % threads_, task)) return true;
    }
    return false;
}

bool compute_pool::take_from(unsigned whose, std::size_t& task) {
    const std::size_t first = tasks_ * whose / threads_;
    const std::size_t size = tasks_ * (whose + std::size_t{1}) / threads_ - first;
    auto& word = shares_[whose].taken;
    auto seen = word.load(std::memory_order_relaxed);
    while (true) {
        const auto taken = seen >> taken_bits == number_ ? seen & taken_mask : 0;
        if (taken >= size) return false;
        if (word.compare_exchange_weak(seen, (number_ << taken_bits) | (taken + 1),
                                       std::memory_order_relaxed)) {
            task = first + taken;
            return true;
        }
    }
}

void compute_pool::help(unsigned index) {
    training::prepare_compute_thread();
    while (!stopping_.load(std::memory_order_acquire)) {
        if (gate_ != nullptr) {
            const auto word = gate_->word();
            if (index >= thread_gate::threads_in(word)) {
                gate_->wait_for_change(word);
                continue;
            }
        }
        if (join_section()) {
            if (!training::compute_thread_is_fit()) training::prepare_compute_thread();
            do_tasks(index);
            check_environment();
            leave_section();
        } else {
            sleep_until_work();
        }
    }
    helpers_left_.fetch_sub(1);
    futex_wake(helpers_left_, 1, futex_scope::process);
}

bool compute_pool::join_section() {
    auto seen = section_.load(std::memory_order_relaxed);
    while ((seen & open_bit) != 0) {
        if (section_.compare_exchange_weak(seen, seen + 1, std::memory_order_acquire,
                                           std::memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

void compute_pool::leave_section() {
    const auto left = section_.fetch_sub(1, std::memory_order_seq_cst) - 1;
    if (left == 0 && caller_sleeps_.load(std::memory_order_seq_cst) != 0) {
        futex_wake(section_, 1, futex_scope::process);
    }
}

void compute_pool::close_section() {
    section_.fetch_and(~open_bit, std::memory_order_relaxed);
}

void compute_pool::sleep_until_work() {
    const auto seen = opened_.load(std::memory_order_seq_cst);
    for (int turn = 0; turn < spin_turns; ++turn) {
        if ((section_.load(std::memory_order_relaxed) & open_bit) != 0) return;
        if (stopping_.load(std::memory_order_relaxed)) return;
        relax();
    }
    sleepers_.fetch_add(1, std::memory_order_seq_cst);
    const bool open = (section_.load(std::memory_order_seq_cst) & open_bit) != 0;
    if (!open && !stopping_.load(std::memory_order_seq_cst)) {
        futex_wait(opened_, seen, futex_scope::process);
    }
    sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void compute_pool::wait_for_helpers() {
    for (int turn = 0; turn < spin_turns; ++turn) {
        if (section_.load(std::memory_order_acquire) == 0) return;
        relax();
    }
    caller_sleeps_.store(1, std::memory_order_seq_cst);
    while (const auto seen = section_.load(std::memory_order_seq_cst)) {
        futex_wait(section_, seen, futex_scope::process);
    }
    caller_sleeps_.store(0, std::memory_order_relaxed);
}

void compute_pool::restore_environment() {
    base::ensure(!running_.load(), "an environment is restored between sections");
    environment_changed_.store(false, std::memory_order_relaxed);
    abandoned_.store(false, std::memory_order_relaxed);
    training::prepare_compute_thread();
}

void compute_pool::check_environment() {
    if (!training::compute_thread_is_fit()) {
        environment_changed_.store(true, std::memory_order_relaxed);
    }
}

}  // namespace tequio::node
