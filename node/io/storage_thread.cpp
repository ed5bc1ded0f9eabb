#include "node/io/storage_thread.hpp"

#include <boost/asio/post.hpp>

namespace tequio::node {

storage_thread::storage_thread(boost::asio::io_context& io)
    : io_(io), thread_([this] { loop(); }) {}

storage_thread::~storage_thread() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

void storage_thread::run(std::function<continuation()> work) {
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(std::move(work));
    }
    wake_.notify_one();
}

void storage_thread::loop() {
    for (;;) {
        std::function<continuation()> work;
        {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
            if (queue_.empty()) return;
            work = std::move(queue_.front());
            queue_.pop_front();
        }
        if (auto then = work()) boost::asio::post(io_, std::move(then));
    }
}

}  // namespace tequio::node
