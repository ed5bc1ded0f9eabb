#include <cmath>

#include "training/numerics/adamw.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/math64.hpp"

namespace tequio::training::numerics {

adamw_scalars adamw_step(const adamw_settings& settings, double learning_rate, std::uint64_t t,
                         float clip) {
    return {.clip = clip,
            .beta1 = static_cast<float>(settings.beta1),
            .one_minus_beta1 = static_cast<float>(1.0 - settings.beta1),
            .beta2 = static_cast<float>(settings.beta2),
            .one_minus_beta2 = static_cast<float>(1.0 - settings.beta2),
            .correction1 = static_cast<float>(1.0 / (1.0 - power64(settings.beta1, t))),
            .correction2 = static_cast<float>(1.0 / (1.0 - power64(settings.beta2, t))),
            .epsilon = static_cast<float>(settings.epsilon),
            .rate = static_cast<float>(learning_rate),
            .keep = static_cast<float>(1.0 - learning_rate * settings.weight_decay)};
}

float clip_scale(double norm, double limit) {
    return norm <= limit || limit <= 0.0 ? 1.0F : static_cast<float>(limit / norm);
}

bool adamw_update_reference(const adamw_scalars& scalars, bool decay, float* weight,
                            const float* gradient, float* first, float* second, std::size_t n) {
    const adamw_scalars& s = scalars;
    bool all = true;
    for (std::size_t i = 0; i < n; ++i) {
        const float g = flush(gradient[i] * s.clip);
        const float m = flush_subnormal(fused(s.beta1, first[i], s.one_minus_beta1 * g));
        const float v = flush_subnormal(fused(s.beta2, second[i], s.one_minus_beta2 * (g * g)));
        const float d = std::sqrt(v * s.correction2) + s.epsilon;
        const float u = (m * s.correction1) / d;
        const float w = decay ? weight[i] * s.keep : weight[i];
        first[i] = m;
        second[i] = v;
        weight[i] = flush(fused(0.0F - s.rate, u, w));
        all = all && finite(weight[i]);
    }
    return all;
}

}  // namespace tequio::training::numerics
