#include "training/numerics/float_bits.hpp"
#include "training/numerics/relu.hpp"

namespace tequio::training::numerics {

void bias_relu_forward_reference(const float* x, const float* bias, float* out, std::size_t rows,
                                 std::size_t columns) {
    for (std::size_t i = 0; i < rows * columns; ++i) {
        const float value = x[i] + bias[i % columns];
        out[i] = value < smallest_operand ? 0.0F : value;
    }
}

void relu_backward_reference(const float* out, const float* dout, float* dx, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) dx[i] = out[i] <= 0.0F ? 0.0F : flush(dout[i]);
}

}  // namespace tequio::training::numerics
