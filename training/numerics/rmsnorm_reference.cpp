#include <cmath>
#include <vector>

#include "training/numerics/float_bits.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/rmsnorm.hpp"

namespace tequio::training::numerics {

void rmsnorm_forward_reference(const float* x, const float* gain, float epsilon, float* out,
                               float* inverse_rms, std::size_t rows, std::size_t width) {
    for (std::size_t i = 0; i < rows; ++i) {
        const float* row = x + i * width;
        const float v = dot_reference({row, width}, {row, width}) / static_cast<float>(width);
        const float r = 1.0F / std::sqrt(v + epsilon);
        for (std::size_t j = 0; j < width; ++j) out[i * width + j] = flush((row[j] * r) * gain[j]);
        inverse_rms[i] = r;
    }
}

void residual_rmsnorm_forward_reference(const float* x, const float* residual, float* sum,
                                        const float* gain, float epsilon, float* out,
                                        float* inverse_rms, std::size_t rows, std::size_t width) {
    for (std::size_t i = 0; i < rows * width; ++i) sum[i] = flush(residual[i] + x[i]);
    rmsnorm_forward_reference(sum, gain, epsilon, out, inverse_rms, rows, width);
}

void rmsnorm_backward_reference(const rmsnorm_inputs& in, float* dx, float* dgain,
                                bool accumulate) {
    const std::size_t width = in.width;
    std::vector<float> h(width);
    std::vector<float> e(width);
    std::vector<float> products(in.rows * width);
    for (std::size_t i = 0; i < in.rows; ++i) {
        const std::size_t row = i * width;
        const float r = in.inverse_rms[i];
        for (std::size_t j = 0; j < width; ++j) {
            h[j] = in.x[row + j] * r;
            e[j] = in.dout[row + j] * in.gain[j];
            products[row + j] = in.dout[row + j] * h[j];
        }
        const float q = dot_reference(e, h) / static_cast<float>(width);
        for (std::size_t j = 0; j < width; ++j) {
            const float g = fused(-h[j], q, e[j]) * r;
            dx[row + j] = flush((in.residual != nullptr ? in.residual[row + j] : 0.0F) + g);
        }
    }
    column_sums_reference({products.data(), width}, in.rows, width, accumulate, dgain);
}

}  // namespace tequio::training::numerics
