#include "training/numerics/elementwise.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::training::numerics {

void add_reference(const float* x, const float* y, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = flush(x[i] + y[i]);
}

void add_bias_reference(const float* x, const float* bias, float* out, std::size_t rows,
                        std::size_t columns) {
    for (std::size_t i = 0; i < rows * columns; ++i) out[i] = flush(x[i] + bias[i % columns]);
}

void add_bias_residual_reference(const float* x, const float* bias, const float* residual,
                                 float* out, std::size_t rows, std::size_t columns) {
    for (std::size_t i = 0; i < rows * columns; ++i) {
        out[i] = flush(residual[i] + (x[i] + bias[i % columns]));
    }
}

void scale_reference(const float* x, float factor, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = flush(x[i] * factor);
}

}  // namespace tequio::training::numerics
