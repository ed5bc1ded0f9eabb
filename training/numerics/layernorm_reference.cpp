#include <algorithm>
#include <cmath>
#include <vector>

#include "training/numerics/elementwise.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training::numerics {

void layernorm_forward_reference(const float* x, const float* gain, const float* offset, float* out,
                                 float* mean, float* inverse_deviation, std::size_t rows,
                                 std::size_t width) {
    std::vector<float> d(width);
    for (std::size_t i = 0; i < rows; ++i) {
        const float* row = x + i * width;
        const float average = sum_reference({row, width}) / static_cast<float>(width);
        for (std::size_t j = 0; j < width; ++j) d[j] = row[j] - average;
        const float variance = dot_reference(d, d) / static_cast<float>(width);
        const float r = 1.0F / std::sqrt(variance + layernorm_epsilon);
        for (std::size_t j = 0; j < width; ++j) {
            out[i * width + j] = flush(fused(d[j] * r, gain[j], offset[j]));
        }
        mean[i] = average;
        inverse_deviation[i] = r;
    }
}

void residual_layernorm_forward_reference(const float* x, const float* bias, const float* residual,
                                          float* sum, const float* gain, const float* offset,
                                          float* out, float* mean, float* inverse_deviation,
                                          std::size_t rows, std::size_t width) {
    add_bias_residual_reference(x, bias, residual, sum, rows, width);
    layernorm_forward_reference(sum, gain, offset, out, mean, inverse_deviation, rows, width);
}

void layernorm_backward_reference(const float* x, const float* gain, const float* mean,
                                  const float* inverse_deviation, const float* dout,
                                  const float* residual, float* dx, std::size_t rows,
                                  std::size_t width) {
    std::vector<float> h(width);
    std::vector<float> e(width);
    for (std::size_t i = 0; i < rows; ++i) {
        const std::size_t row = i * width;
        const float r = inverse_deviation[i];
        for (std::size_t j = 0; j < width; ++j) {
            h[j] = (x[row + j] - mean[i]) * r;
            e[j] = dout[row + j] * gain[j];
        }
        const float p = sum_reference(e) / static_cast<float>(width);
        const float q = dot_reference(e, h) / static_cast<float>(width);
        for (std::size_t j = 0; j < width; ++j) {
            const float g = fused(0.0F - h[j], q, e[j] - p) * r;
            dx[row + j] = flush((residual != nullptr ? residual[row + j] : 0.0F) + g);
        }
    }
}

void layernorm_parameter_gradients_reference(const float* x, const float* mean,
                                             const float* inverse_deviation, const float* dout,
                                             float* dgain, float* doffset, std::size_t rows,
                                             std::size_t width, bool accumulate) {
    std::vector<float> products(rows * width);
    for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            const float h = (x[i * width + j] - mean[i]) * inverse_deviation[i];
            products[i * width + j] = dout[i * width + j] * h;
        }
    }
    column_sums_reference({products.data(), width}, rows, width, accumulate, dgain);
    column_sums_reference({dout, width}, rows, width, accumulate, doffset);
}

void layernorm_backward_and_sums_reference(const float* x, const float* gain, const float* mean,
                                           const float* inverse_deviation, const float* dout,
                                           const float* residual, float* dx,
                                           const layernorm_sums& sums, std::size_t rows,
                                           std::size_t width) {
    // In this order: dx may be dout.
    layernorm_parameter_gradients_reference(x, mean, inverse_deviation, dout, sums.dgain,
                                            sums.doffset, rows, width, sums.accumulate);
    layernorm_backward_reference(x, gain, mean, inverse_deviation, dout, residual, dx, rows, width);
    if (sums.dx_sums == nullptr) return;
    column_sums_reference({dx, width}, rows, width, sums.accumulate, sums.dx_sums);
}

}  // namespace tequio::training::numerics
