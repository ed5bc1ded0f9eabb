#include "training/model/pipeline.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/slices.hpp"

namespace tequio::training {
namespace {

/// Forward passes that a stage has done before its first backward pass needs one more.
std::uint64_t ahead_of(std::uint64_t stage, std::uint64_t stages, std::uint64_t micro_batches) {
    base::ensure(stage < stages, "a stage is one of the stages");
    return std::min(micro_batches, 2 * (stages - 1 - stage));
}

}  // namespace

std::vector<pipeline_step> one_forward_one_backward(std::uint64_t stage, std::uint64_t stages,
                                                    std::uint64_t micro_batches) {
    const auto ahead = ahead_of(stage, stages, micro_batches);
    std::vector<pipeline_step> out;
    out.reserve(2 * micro_batches);
    for (std::uint64_t m = 0; m < ahead; ++m) out.push_back({true, m});
    for (std::uint64_t m = 0; m < micro_batches; ++m) {
        if (m + ahead < micro_batches) out.push_back({true, m + ahead});
        out.push_back({false, m});
    }
    return out;
}

std::uint64_t pipeline_in_flight(std::uint64_t stage, std::uint64_t stages,
                                 std::uint64_t micro_batches) {
    return std::min(micro_batches, ahead_of(stage, stages, micro_batches) + 1);
}

double pipeline_bubble(std::uint64_t stages, std::uint64_t micro_batches) {
    return static_cast<double>(stages - 1) / static_cast<double>(micro_batches + stages - 1);
}

}  // namespace tequio::training
