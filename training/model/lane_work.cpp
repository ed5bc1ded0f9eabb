#include "training/model/lane_work.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/blob.hpp"
#include "base/merkle.hpp"

namespace tequio::training {

numerics::adamw_scalars step_scalars(const inner_config& inner, double squares,
                                     std::uint64_t number, double learning_rate) {
    const auto clip = numerics::clip_scale(std::sqrt(squares), inner.clip);
    return numerics::adamw_step({inner.beta1, inner.beta2, inner.epsilon, inner.weight_decay},
                                learning_rate, number, clip);
}

base::digest blob_root(base::byte_view bytes, executor& run) {
    std::vector<base::digest> leaves(base::blob_ref{{}, bytes.size()}.pieces());
    auto hash = [&](std::size_t task, unsigned) {
        const auto at = std::min<std::size_t>(bytes.size(), task * base::piece_size_bytes);
        const auto size = std::min<std::size_t>(bytes.size() - at, base::piece_size_bytes);
        leaves[task] = base::merkle_leaf(bytes.subspan(at, size));
    };
    run.run(leaves.size(), hash);
    return base::merkle_root(leaves);
}

void subtract(std::span<const float> a, std::span<const float> b, std::span<float> out,
              executor& run) {
    constexpr std::size_t chunk = 65536;
    auto body = [&](std::size_t task, unsigned) {
        const auto end = std::min(out.size(), (task + 1) * chunk);
        for (std::size_t i = task * chunk; i < end; ++i) out[i] = a[i] - b[i];
    };
    run.run((out.size() + chunk - 1) / chunk, body);
}

}  // namespace tequio::training
