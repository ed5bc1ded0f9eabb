#include "training/numerics/float_bits.hpp"
#include "training/numerics/math64.hpp"
#include "training/numerics/rope.hpp"

namespace tequio::training::numerics {

// Made once in a network's life, so there is no other form of it.
void fill_rope_table(std::size_t positions, std::size_t head_width, double theta, float* cosine,
                     float* sine) {
    const std::size_t half = head_width / 2;
    for (std::size_t i = 0; i < half; ++i) {
        const double share = static_cast<double>(2 * i) / static_cast<double>(head_width);
        const double frequency = exp64(-share * log64(theta));
        for (std::size_t position = 0; position < positions; ++position) {
            const auto turned = sin_cos64(static_cast<double>(position) * frequency);
            cosine[position * half + i] = flush(static_cast<float>(turned.cosine));
            sine[position * half + i] = flush(static_cast<float>(turned.sine));
        }
    }
}

void rope_reference(const rope_rows& x, const rope_table& table, rope_turn turn) {
    const std::size_t half = x.head_width / 2;
    for (std::size_t p = 0; p < x.tokens; ++p) {
        const std::size_t at = p % x.time * half;
        for (std::size_t h = 0; h < x.heads; ++h) {
            float* head = x.data + p * x.stride + h * x.head_width;
            for (std::size_t i = 0; i < half; ++i) {
                const float c = table.cosine[at + i];
                const float s =
                    turn == rope_turn::forward ? table.sine[at + i] : -table.sine[at + i];
                const float a = head[i];
                const float b = head[half + i];
                head[i] = flush(fused(-b, s, a * c));
                head[half + i] = flush(fused(a, s, b * c));
            }
        }
    }
}

}  // namespace tequio::training::numerics
