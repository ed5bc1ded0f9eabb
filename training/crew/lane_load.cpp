#include "training/lane_load.hpp"

#include <algorithm>

#include "training/contribution.hpp"
#include "training/slices.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

struct slice_load {
    std::uint64_t work = 0, sends = 0;
};

std::vector<slice_load> loads_of(const recipe& r, std::uint64_t count, std::uint64_t messages,
                                 std::uint64_t contribution) {
    std::vector<slice_load> out;
    const auto ranges = choose_slices(r, count);
    for (std::size_t i = 0; i < ranges.size(); ++i) {
        const auto on = i + 1 < count ? slice_message_bytes(r) : 0;
        const auto back = i > 0 ? slice_message_bytes(r) : 0;
        // The first gives the owners of shards the contribution of the lane before.
        out.push_back({slice_token_flops(r, ranges[i]) * lane_tokens(r),
                       messages * (on + back) + (i > 0 ? 0 : contribution)});
    }
    return out;
}

}  // namespace

crew_lane_load lane_load_of(const recipe& r) {
    crew_lane_load out;
    out.steps = r.train.inner_steps;
    out.micro_batches = r.train.batch / r.train.micro_batch;
    const auto contribution = shape_of(contribution_kind::lane, r, layout_of(r.model)).size_bytes();
    const auto most = std::min<std::uint64_t>(slices_max(r), crew_slices_max);
    out.contribution = contribution;
    std::vector<std::vector<slice_load>> loads;
    for (std::uint64_t count = 1; count <= most; ++count) {
        loads.push_back(loads_of(r, count, out.steps * out.micro_batches, contribution));
    }
    out.work = [loads](model_slice s) { return loads[s.count - 1][s.index].work; };
    out.sends = [loads](model_slice s) { return loads[s.count - 1][s.index].sends; };
    return out;
}

}  // namespace tequio::training
