#include "node/io/run_card.hpp"

#include <utility>

#include "node/worker/shared_memory.hpp"
#include "training/dataset.hpp"

namespace tequio::node {

base::result<void> add_input_scales(training::run_card& card, const training::recipe& r, int data) {
    if (r.model.family != "mlp") return {};
    const auto bytes = 2 * sizeof(float) * r.model.inputs;
    TEQUIO_TRY(const auto map, memory_map::of(data, bytes, memory_map::access::read));
    auto scales = training::example_scales_of(map.bytes(), r.model.inputs);
    card.shifts = std::move(scales.shifts);
    card.factors = std::move(scales.factors);
    return {};
}

}  // namespace tequio::node
