#pragma once

/// What an owner would feel of work in the background: small programs with deadlines, measured from
/// inside (reference "volunteer", section 4.1). They run in the calling process, at its priority,
/// in another session than the node's worker. None needs a right of its own.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace tequio::node {

/// A number made of samples.
struct probe_figure {
    enum class kind : std::uint8_t {
        quantile,     ///< `value` in [0, 1]
        above,        ///< how many samples lie above `value`
        above_share,  ///< which part of the samples lies above `value`, times `scale`
    };
    std::string_view name;
    kind how = kind::quantile;
    double value = 0.5;
    double scale = 1;
    /// Of at least one sample.
    double of(const std::vector<double>& samples) const;
};

/// One turn of measuring.
struct probe_turn {
    double seconds = 1;  ///< how long it lasts, about; a build lasts as long as it lasts
    std::uint64_t index =
        0;  ///< of the block: which processor is looked at, which pauses are drawn
};

/// A probe: how it measures, and what of it is compared with the turns without a node.
struct interference_probe {
    enum class comparison : std::uint8_t { ratio, difference };
    std::string_view name;
    std::string_view unit;
    std::vector<probe_figure> figures;  ///< the first one is compared, block by block
    comparison compared = comparison::ratio;
    /// At least one sample, or what went wrong; an interrupt (`interrupted`) may end it early.
    std::function<base::result<std::vector<double>>(const probe_turn&)> measure;
};

struct probe_options {
    /// Shell command; empty: loops of the shell, one for each processor.
    std::string build;
    /// Turns of each of those loops; `calibrated_build_loops` finds how many fill a turn.
    std::uint64_t build_loops = 200000;
};

/// How many turns of a shell's loop fill about `seconds` on this machine.
base::result<std::uint64_t> calibrated_build_loops(double seconds);

/// All probes: wake-up, keystroke, frames, request, share, triad, chase, build.
std::vector<interference_probe> interference_probes(const probe_options& options);

}  // namespace tequio::node
