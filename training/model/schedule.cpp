#include <algorithm>

#include "training/engine.hpp"
#include "training/numerics/math64.hpp"

namespace tequio::training {
namespace {

double share_of(const train_config& train, std::uint64_t t) {
    const auto& schedule = train.schedule;
    if (t < schedule.warmup) {
        return static_cast<double>(t + 1) / static_cast<double>(schedule.warmup);
    }
    const auto total = train.rounds * train.inner_steps;
    const double x =
        static_cast<double>(t - schedule.warmup) / static_cast<double>(total - schedule.warmup);
    const double rest = 1.0 - schedule.final_share;
    if (schedule.decay == "cosine") {
        return schedule.final_share + (rest * 0.5) * (1.0 + numerics::cos_pi64(x));
    }
    if (schedule.decay == "linear") return 1.0 - rest * x;
    return 1.0;
}

}  // namespace

std::uint64_t trace_every(const recipe& r) {
    return std::max<std::uint64_t>(1, r.train.inner_steps / 4);
}

double inner_learning_rate(const train_config& train, std::uint64_t round, std::uint64_t step) {
    const double share = share_of(train, round * train.inner_steps + step);
    const auto ramp_steps = train.inner.ramp_steps;
    const double ramp = step + 1 < ramp_steps
                            ? static_cast<double>(step + 1) / static_cast<double>(ramp_steps)
                            : 1.0;
    return (train.inner.lr * share) * ramp;
}

}  // namespace tequio::training
