#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training::numerics {

void cross_entropy_reference(float* logits, std::size_t stride,
                             std::span<const std::uint32_t> targets, std::size_t vocabulary,
                             float scale, float* losses, bool gradient) {
    for (std::size_t i = 0; i < targets.size(); ++i) {
        float* x = logits + i * stride;
        if (targets[i] == ignored_target) {
            losses[i] = 0.0F;
            for (std::size_t j = 0; j < vocabulary; ++j) x[j] = 0.0F;
            continue;
        }
        float m = x[0];
        for (std::size_t j = 1; j < vocabulary; ++j) m = x[j] > m ? x[j] : m;
        m = m + 0.0F;
        const float gap = m - x[targets[i]];
        for (std::size_t j = 0; j < vocabulary; ++j) x[j] = softmax_exp_reference(x[j] - m);
        const float l = sum_reference({x, vocabulary});
        losses[i] = gap + log_reference(l);
        if (!gradient) continue;
        const float inverse = 1.0F / l;
        for (std::size_t j = 0; j < vocabulary; ++j) {
            const float p = x[j] * inverse;
            x[j] = flush((p - (j == targets[i] ? 1.0F : 0.0F)) * scale);
        }
    }
}

}  // namespace tequio::training::numerics
