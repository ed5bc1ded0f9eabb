#pragma once

/// How fast this node's uplink is, as seen: bytes a second while pieces waited for it. Pure.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/time.hpp"

namespace tequio::p2p {

/// A stretch of waiting pieces is measured from the end of the first one on: the kernel takes that
/// one at once, and passes it on later. A slow receiver makes a line look slow, nothing makes it
/// look fast, so the fastest of the last stretches counts.
class uplink_meter {
public:
    /// `bytes` of a piece were written at `now`.
    void written(base::time_point now, std::uint64_t bytes) {
        if (!since_) {
            since_ = now;
            return;
        }
        bytes_ += bytes;
        last_ = now;
        if (last_ - *since_ < stretch_longest) return;
        take();
        since_ = now;
    }
    /// No piece waits any more.
    void idle() {
        take();
        since_.reset();
    }
    /// Nothing until enough was seen.
    std::optional<std::uint64_t> bytes_per_second() const {
        if (seen_.empty()) return std::nullopt;
        return *std::max_element(seen_.begin(), seen_.end());
    }

private:
    // Guesses: long enough for a kernel's buffers not to count, and a change is noticed in a while.
    static constexpr base::duration stretch_least = std::chrono::milliseconds(200);
    static constexpr base::duration stretch_longest = std::chrono::seconds(10);
    static constexpr std::uint64_t bytes_least = 1 << 20;
    static constexpr std::size_t stretches = 8;

    void take() {
        if (since_ && bytes_ >= bytes_least && last_ - *since_ >= stretch_least) {
            const auto seconds = std::chrono::duration<double>(last_ - *since_).count();
            seen_.push_back(static_cast<std::uint64_t>(static_cast<double>(bytes_) / seconds));
            if (seen_.size() > stretches) seen_.pop_front();
        }
        bytes_ = 0;
    }

    std::optional<base::time_point> since_;  ///< the first piece of the stretch was written
    base::time_point last_;
    std::uint64_t bytes_ = 0;  ///< since then
    std::deque<std::uint64_t> seen_;
};

}  // namespace tequio::p2p
