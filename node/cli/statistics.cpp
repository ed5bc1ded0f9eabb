#include "node/cli/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "base/rng.hpp"

namespace tequio::node {
namespace {

constexpr std::size_t resamples = 2000;
constexpr double still_span_share = 0.02;
constexpr double still_seconds = 0.05;

double quantile_of_sorted(const std::vector<double>& values, double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(std::floor(place));
    const auto above = std::min(below + 1, values.size() - 1);
    const double part = place - static_cast<double>(below);
    return values[below] + part * (values[above] - values[below]);
}

}  // namespace

double quantile(std::vector<double> values, double share) {
    base::ensure(!values.empty() && share >= 0 && share <= 1, "a quantile of something");
    std::sort(values.begin(), values.end());
    return quantile_of_sorted(values, share);
}

median_interval bootstrap_median(std::span<const double> values, std::uint64_t seed) {
    base::ensure(!values.empty(), "a median of something");
    base::rng draw(seed);
    std::vector<double> medians;
    std::vector<double> sample(values.size());
    for (std::size_t i = 0; i < resamples; ++i) {
        for (auto& value : sample) value = values[draw.below(values.size())];
        medians.push_back(quantile(sample, 0.5));
    }
    std::sort(medians.begin(), medians.end());
    return {quantile_of_sorted(medians, 0.025), quantile({values.begin(), values.end()}, 0.5),
            quantile_of_sorted(medians, 0.975)};
}

std::optional<double> stop_moment(std::span<const usage_sample> samples, double start) {
    std::size_t end = 0;
    for (std::size_t first = 0; first < samples.size(); ++first) {
        if (samples[first].at < start) continue;
        // Measured over at least the whole span: sampling is as regular as the machine allows.
        while (end < samples.size() && samples[end].at < samples[first].at + still_seconds) ++end;
        if (end == samples.size()) return std::nullopt;
        const double span = samples[end].at - samples[first].at;
        if (samples[end].used - samples[first].used < still_span_share * span)
            return samples[first].at;
    }
    return std::nullopt;
}

}  // namespace tequio::node
