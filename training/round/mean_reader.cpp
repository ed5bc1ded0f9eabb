#include "training/round/mean_reader.hpp"

#include <algorithm>

#include "training/round/units.hpp"

namespace tequio::training {
namespace {

/// Decodes a run of elements (multiples of 32), which may cross units.
void decode_run(const contribution_shape& shape, int window, base::byte_view mean,
                contribution_run run, std::span<float> out) {
    const auto units = shape.units_over(run);
    for (auto u = units.first; u < units.end(); ++u) {
        const auto here = shape.elements_of({u, 1});
        const auto first = std::max(here.first, run.first);
        const auto count = std::min(here.end(), run.end()) - first;
        decode_blocks(shape.codec, window,
                      blocks_of(shape, u, unit_of(shape, mean, u), {first, count}),
                      out.subspan(first - run.first, count));
    }
}

}  // namespace

mean_reader::mean_reader(const recipe& r, const state_layout& whole, base::byte_view mean)
    : shape_(shape_of(contribution_kind::mean, r, whole)), window_(r.train.window), mean_(mean) {}

void mean_reader::for_each_run(
    const tensor_spec& t,
    const std::function<void(std::uint64_t, std::span<const float>)>& use) const {
    std::vector<float> values(std::min(run_elements, t.size + block_elements));
    for (std::uint64_t first = 0; first < t.size; first += run_elements) {
        const auto count = std::min(run_elements, t.size - first);
        const auto padded = (count + block_elements - 1) / block_elements * block_elements;
        decode_run(shape_, window_, mean_, {t.offset + first, padded},
                   std::span(values).first(padded));
        use(first, std::span<const float>(values).first(count));
    }
}

}  // namespace tequio::training
