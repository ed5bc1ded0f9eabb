#pragma once

/// The one thread that waits for disks: SQLite and blob files. Work is done in order; what comes of
/// it is handed back to the network thread.

#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace tequio::node {

class storage_thread {
public:
    /// What runs on the network thread afterwards; may be empty.
    using continuation = std::function<void()>;

    /// `io` must outlive this and is run by the network thread.
    explicit storage_thread(boost::asio::io_context& io);
    /// Finishes everything that was handed in, then joins. Continuations may be left unrun in `io`.
    ~storage_thread();
    storage_thread(const storage_thread&) = delete;
    storage_thread& operator=(const storage_thread&) = delete;

    /// Runs `work` on the storage thread, then its continuation on the network thread.
    void run(std::function<continuation()> work);

private:
    void loop();

    boost::asio::io_context& io_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<continuation()>> queue_;
    bool stopping_ = false;
    std::thread thread_;
};

}  // namespace tequio::node
