#include "node/governor/give_back_watch.hpp"

#include <utility>

namespace tequio::node {
namespace {

/// Less than a fiftieth of a processor counts as standing still.
constexpr int still_part = 50;

}  // namespace

std::optional<base::duration> give_back_watch::handle(base::time_point now,
                                                      const ladder_facts& facts) {
    const bool was_open = std::exchange(open_, facts.threads > 0);
    if (facts.threads > 0) {
        released_.reset();
        return std::nullopt;
    }
    if (was_open && facts.busy) {
        released_ = span_start_ = now;
        cpu_at_start_ = facts.cpu;
    }
    if (!released_) return std::nullopt;
    const auto span = now - span_start_;
    if (facts.running && span < look_) return std::nullopt;
    const auto used = facts.cpu - cpu_at_start_;
    if (!facts.running || used * still_part < span) {
        // An ended worker may have used processors until now.
        const auto took = (facts.running ? span_start_ : now) - *released_;
        released_.reset();
        return took;
    }
    span_start_ = now;
    cpu_at_start_ = facts.cpu;
    return std::nullopt;
}

base::time_point give_back_watch::next_deadline() const {
    return released_ ? span_start_ + look_ : base::time_point::max();
}

}  // namespace tequio::node
