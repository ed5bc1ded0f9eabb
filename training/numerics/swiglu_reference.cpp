#include "training/numerics/float_bits.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/math_constants.hpp"
#include "training/numerics/swiglu.hpp"

namespace tequio::training::numerics {

namespace {

float sigmoid(float g) {
    const float z = g < constants::silu_lowest ? constants::silu_lowest : g;
    return 1.0F / (1.0F + exp_reference(0.0F - z));
}

}  // namespace

void swiglu_forward_reference(const float* gate, const float* up, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = flush((gate[i] * sigmoid(gate[i])) * up[i]);
}

void swiglu_backward_reference(const float* gate, const float* up, const float* dout, float* d_gate,
                               float* d_up, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const float s = sigmoid(gate[i]);
        const float a = gate[i] * s;
        const float dy = dout[i];
        d_gate[i] = flush((dy * up[i]) * fused(a, 1.0F - s, s));
        d_up[i] = flush(dy * a);
    }
}

}  // namespace tequio::training::numerics
