#include "training/cost.hpp"

#include <algorithm>

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
    const auto own = (lanes + nodes - 1) / nodes;
    if (nodes == 1) return {};
    round_traffic out;
    out.member_up = saturate(wide{cost.contribution_bytes} * own);
    out.member_down = cost.mean_bytes;
    out.owner_up = saturate(wide{cost.mean_bytes} * (nodes - 1));
    out.owner_down = saturate(wide{cost.contribution_bytes} * (lanes - std::min(own, lanes)));
    return out;
}

std::uint64_t disk_bytes_needed(const recipe& r, const keep_config& keep) {
    const auto cost = cost_of(r);
    const auto every = std::max<std::uint64_t>(1, keep.state_every);
    const wide states = 2 + r.train.rounds / every;
    return saturate(wide{cost.data_bytes} + cost.init_bytes + states * cost.state_bytes +
                    wide{2} * r.train.lanes * cost.contribution_bytes +
                    wide{r.train.rounds} * cost.mean_bytes);
}

}  // namespace tequio::training
