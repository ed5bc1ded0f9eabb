#pragma once

/// A Wayland compositor without a screen: one seat and ext-idle-notify-v1, with input when the test
/// says so. Debian 12 has no small compositor that speaks the protocol.

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <thread>

namespace tequio::tests {

class fake_compositor {
public:
    enum class kind {
        usual,
        plain,   ///< lacks ext-idle-notify-v1
        silent,  ///< accepts clients and never answers them
    };
    /// Listens at `socket`.
    explicit fake_compositor(const std::filesystem::path& socket, kind what = kind::usual);
    ~fake_compositor();

    /// The owner touches something; returns when clients were told.
    std::chrono::steady_clock::time_point input();

private:
    struct impl;
    void run();

    std::unique_ptr<impl> impl_;
    std::atomic<bool> ended_ = false;
    std::atomic<int> inputs_asked_ = 0, inputs_done_ = 0;
    std::thread thread_;
};

}  // namespace tequio::tests
