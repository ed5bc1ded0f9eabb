#pragma once

/// A rate with a burst, in whole nanoseconds so that every machine decides alike.

#include "base/time.hpp"

namespace tequio::p2p {

/// Source: the generic cell rate algorithm (ITU-T I.371), virtual scheduling form.
class token_bucket {
public:
    /// `cost`: the time one token takes to grow back. `burst` >= 1 tokens are there at the start.
    token_bucket(base::duration cost, std::int64_t burst) : cost_(cost), depth_(cost * burst) {}

    /// Takes `n` tokens if they are there.
    bool take(base::time_point now, std::int64_t n = 1) {
        const auto start = empty_until_ > now ? empty_until_ : now;
        const auto end = start + cost_ * n;
        if (end - now > depth_) return false;
        empty_until_ = end;
        return true;
    }

private:
    base::duration cost_;
    base::duration depth_;
    base::time_point empty_until_{};
};

}  // namespace tequio::p2p
