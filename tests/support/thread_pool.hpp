#pragma once

/// An executor with threads of its own, for tests: persistent, condition variables, no spinning.

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "training/executor.hpp"
#include "training/numerics/environment.hpp"

namespace tequio::tests {

/// `threads` - 1 threads beside the caller's. Tasks are taken from a shared counter.
class thread_pool final : public training::executor {
public:
    explicit thread_pool(unsigned threads) : threads_(threads) {
        for (unsigned i = 1; i < threads; ++i) {
            workers_.emplace_back([this, i] { work(i); });
        }
    }
    ~thread_pool() override {
        {
            const std::lock_guard lock(mutex_);
            stopping_ = true;
        }
        wake_.notify_all();
        for (auto& worker : workers_) worker.join();
    }
    unsigned threads() const override { return threads_; }
    void run(std::size_t tasks, training::task_ref body) override {
        if (threads_ == 1 || tasks <= 1) {
            for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
            return;
        }
        {
            const std::lock_guard lock(mutex_);
            body_ = &body;
            tasks_ = tasks;
            next_ = 0;
            busy_ = threads_ - 1;
            ++generation_;
        }
        wake_.notify_all();
        take(0);
        std::unique_lock lock(mutex_);
        done_.wait(lock, [this] { return busy_ == 0; });
    }

private:
    void take(unsigned thread) {
        for (std::size_t task = next_++; task < tasks_; task = next_++) (*body_)(task, thread);
    }
    void work(unsigned thread) {
        training::numerics::set_float_environment();
        std::uint64_t seen = 0;
        std::unique_lock lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
            if (stopping_) return;
            seen = generation_;
            lock.unlock();
            take(thread);
            lock.lock();
            if (--busy_ == 0) done_.notify_one();
        }
    }

    const unsigned threads_;
    std::mutex mutex_;
    std::condition_variable wake_, done_;
    bool stopping_ = false;
    std::uint64_t generation_ = 0;
    unsigned busy_ = 0;
    const training::task_ref* body_ = nullptr;
    std::size_t tasks_ = 0;
    std::atomic<std::size_t> next_ = 0;
    std::vector<std::thread> workers_;
};

}  // namespace tequio::tests
