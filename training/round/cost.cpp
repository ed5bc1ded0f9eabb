#include "training/cost.hpp"

#include <algorithm>
#include <cmath>

#include "base/ensure.hpp"
#include "training/contribution.hpp"
#include "training/dataset.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

using wide = unsigned __int128;

constexpr std::uint64_t saturated = std::uint64_t{1} << 63;

std::uint64_t saturate(wide n) {
    return n > saturated ? saturated : static_cast<std::uint64_t>(n);
}

}  // namespace

job_cost cost_of(const recipe& r) {
    const auto layout = layout_of(r.model);
    job_cost out;
    out.parameters = layout.parameters;
    out.lane_tokens = lane_tokens(r);
    out.lane_flops = lane_flops(r);
    out.validation_tokens = validation_windows_of(r) * r.model.context;
    // Forward is a third of forward and backward (Kaplan et al. 2020, section 2.1).
    out.validation_flops = saturate(wide{token_flops(r.model)} / 3 * out.validation_tokens);
    const auto rounds = static_cast<double>(r.train.rounds);
    out.total_flops =
        rounds * static_cast<double>(r.train.lanes) * static_cast<double>(out.lane_flops) +
        (rounds + 1) * static_cast<double>(out.validation_flops);
    out.data_bytes = r.data.tokens.size;
    out.init_bytes = r.model.init ? r.model.init->size : 0;
    out.state_bytes = (1 + optimizer_arrays(r.train)) * sizeof(float) * layout.padded_size;
    const auto lane = shape_of(contribution_kind::lane, r, layout);
    out.contribution_bytes = lane.size_bytes();
    out.mean_bytes = shape_of(contribution_kind::mean, r, layout).size_bytes();
    out.sum_bytes = layout.padded_size * (lane.codec == contribution_codec::f32 ? 16 : 8);
    return out;
}

round_traffic round_traffic_of(const recipe& r, std::uint64_t nodes) {
    base::ensure(nodes >= 1, "a crew has a node");
    const auto cost = cost_of(r);
    const auto lanes = r.train.lanes;
    const auto own = std::min((lanes + nodes - 1) / nodes, lanes);
    round_traffic out;
    out.up =
        saturate((wide{cost.contribution_bytes} * own + cost.mean_bytes) * (nodes - 1) / nodes);
    out.down = saturate(
        (wide{cost.contribution_bytes} * (lanes - own) + wide{cost.mean_bytes} * (nodes - 1)) /
        nodes);
    out.waited_for =
        saturate((wide{cost.contribution_bytes} + cost.mean_bytes) * (nodes - 1) / nodes);
    return out;
}

double utilisation_of(double computing_seconds, double waiting_seconds) {
    return computing_seconds / (computing_seconds + waiting_seconds);
}

std::uint64_t lanes_for_utilisation(double lane_seconds, double waiting_seconds, double share,
                                    std::uint64_t nodes) {
    base::ensure(lane_seconds > 0 && share > 0 && share < 1, "lanes take time");
    const double own = std::ceil(share * waiting_seconds / ((1 - share) * lane_seconds));
    const auto most = static_cast<double>(recipe_limits::lanes / nodes);
    return own <= most ? std::max<std::uint64_t>(1, static_cast<std::uint64_t>(own)) * nodes : 0;
}

}  // namespace tequio::training
