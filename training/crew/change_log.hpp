#pragma once

/// What changed last, numbered: who looks after every event looks at that alone.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>

namespace tequio::training::crew_protocol {

template <class Item>
class change_log {
public:
    /// Numbers rise. Of many changes the oldest are not kept.
    void note(std::uint64_t number, const Item& item) {
        if (kept_.size() == kept_max) {
            forgotten_ = kept_.front().first;
            kept_.pop_front();
        }
        kept_.emplace_back(number, item);
    }
    /// Anything may have changed up to this number.
    void forget(std::uint64_t number) {
        kept_.clear();
        forgotten_ = number;
    }
    /// All that changed after this number is kept.
    bool reaches(std::uint64_t number) const { return number >= forgotten_; }
    /// Calls `see(item)` for each of those, oldest first; one that changed twice comes twice.
    template <class See>
    void each_after(std::uint64_t number, See&& see) const {
        auto it =
            std::upper_bound(kept_.begin(), kept_.end(), number,
                             [](std::uint64_t n, const auto& change) { return n < change.first; });
        for (; it != kept_.end(); ++it) see(it->second);
    }

private:
    static constexpr std::size_t kept_max = 64;  ///< a message's facts and more (guess)
    std::deque<std::pair<std::uint64_t, Item>> kept_;
    std::uint64_t forgotten_ = 0;
};

}  // namespace tequio::training::crew_protocol
