#pragma once

/// A daemon that only listens: it takes `PUT /api/v1/agent` on a Unix socket and keeps each report
/// with the moment it came.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "node/governor/agent_report.hpp"

namespace tequio::tests {

class fake_daemon {
public:
    struct heard {
        std::chrono::steady_clock::time_point at;
        node::agent_report report;
    };
    /// Listens at `socket`; the destructor stops and removes it.
    explicit fake_daemon(std::filesystem::path socket);
    ~fake_daemon();

    /// The first report from number `from` on that `fits`, waited for up to `limit`. Sets `from` to
    /// the number behind it.
    std::optional<heard> wait(std::size_t& from, std::chrono::milliseconds limit,
                              const std::function<bool(const node::agent_report&)>& fits);
    /// How many reports came so far.
    std::size_t count();
    /// Requests that were no report: their text, for the message of a failing test.
    std::vector<std::string> wrong();

private:
    void run();
    void serve(int client);

    std::filesystem::path path_;
    int listener_ = -1;
    std::atomic<bool> ended_ = false;
    std::mutex mutex_;
    std::condition_variable news_;
    std::vector<heard> heard_;
    std::vector<std::string> wrong_;
    std::thread thread_;
};

}  // namespace tequio::tests
