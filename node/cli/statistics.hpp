#pragma once

/// Statistics of measurements. Pure functions; nothing here enters a result of training.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tequio::node {

/// The `share` quantile, `share` in [0, 1], linear between the neighbours (R's type 7; Hyndman and
/// Fan 1996). `values` is not empty.
double quantile(std::vector<double> values, double share);

/// A median and where it may lie.
struct median_interval {
    double low = 0;
    double median = 0;
    double high = 0;
};

/// The median with its 95 % interval by the percentile bootstrap (Efron 1979): 2,000 samples drawn
/// with replacement, from `seed`. `values` is not empty; one value is its own interval.
median_interval bootstrap_median(std::span<const double> values, std::uint64_t seed);

/// What had been used up at a moment; both in seconds, neither falls.
struct usage_sample {
    double at = 0;
    double used = 0;
};

/// When a group stopped: the first sample at or after `start` from which use stays below 2 % of
/// one processor for 50 ms (reference "volunteer", section 4.1). Nothing if the samples end before
/// that is known. Samples are in order.
std::optional<double> stop_moment(std::span<const usage_sample> samples, double start);

}  // namespace tequio::node
