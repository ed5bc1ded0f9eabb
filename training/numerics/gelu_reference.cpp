#include "training/numerics/float_bits.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/math_constants.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training::numerics {

namespace {

using namespace constants;

/// 1 / (1 + exp(-2u)).
float gate(float x, float x2) {
    const float w = fused(x2, gelu_cubic, 1.0F);
    float z = (x * gelu_factor) * w;
    z = z < gelu_lowest ? gelu_lowest : z;
    return 1.0F / (1.0F + exp_reference(0.0F - z));
}

}  // namespace

void gelu_forward_reference(const float* x, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = flush(x[i] * gate(x[i], x[i] * x[i]));
}

void bias_gelu_forward_reference(const float* x, const float* bias, float* out, std::size_t rows,
                                 std::size_t columns) {
    for (std::size_t i = 0; i < rows * columns; ++i) {
        const float value = flush(x[i] + bias[i % columns]);
        out[i] = flush(value * gate(value, value * value));
    }
}

void gelu_backward_reference(const float* x, const float* dout, float* dx, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const float x2 = x[i] * x[i];
        const float s = gate(x[i], x2);
        const float dz = gelu_factor * fused(x2, gelu_cubic_slope, 1.0F);
        const float slope = fused(x[i] * (s * (1.0F - s)), dz, s);
        dx[i] = flush(dout[i] * slope);
    }
}

void bias_gelu_backward_reference(const float* x, const float* bias, const bias_gelu_gradients& g,
                                  std::size_t rows, std::size_t columns) {
    for (std::size_t i = 0; i < rows * columns; ++i) {
        const float value = flush(x[i] + bias[i % columns]);
        gelu_backward_reference(&value, g.dout + i, g.dx + i, 1);
    }
    column_sums_reference({g.dx, columns}, rows, columns, g.accumulate, g.dbias);
}

}  // namespace tequio::training::numerics
