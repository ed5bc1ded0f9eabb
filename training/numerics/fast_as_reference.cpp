#include <cstring>

#include "training/numerics/adamw.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/mxint8.hpp"
#include "training/numerics/reduce.hpp"

// Kernels that have no vector form yet.
namespace tequio::training::numerics {

float sum(std::span<const float> x) {
    return sum_reference(x);
}
float dot(std::span<const float> x, std::span<const float> y) {
    return dot_reference(x, y);
}
double square_sum(std::span<const float> x, executor&) {
    return square_sum_reference(x);
}
void column_sums(matrix_in x, std::size_t rows, std::size_t columns, bool accumulate, float* out,
                 executor&) {
    column_sums_reference(x, rows, columns, accumulate, out);
}
bool all_finite(std::span<const float> x, executor&) {
    for (const float value : x) {
        if (!finite(value)) return false;
    }
    return true;
}

void exp(std::span<const float> x, std::span<float> out) {
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = exp_reference(x[i]);
}
void softmax_exp(std::span<const float> x, std::span<float> out) {
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = softmax_exp_reference(x[i]);
}
void log(std::span<const float> x, std::span<float> out) {
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = log_reference(x[i]);
}
void tanh(std::span<const float> x, std::span<float> out) {
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = tanh_reference(x[i]);
}

void add(const float* x, const float* y, float* out, std::size_t n, executor&) {
    add_reference(x, y, out, n);
}
void add_bias(const float* x, const float* bias, float* out, std::size_t rows, std::size_t columns,
              executor&) {
    add_bias_reference(x, bias, out, rows, columns);
}
void add_bias_residual(const float* x, const float* bias, const float* residual, float* out,
                       std::size_t rows, std::size_t columns, executor&) {
    add_bias_residual_reference(x, bias, residual, out, rows, columns);
}
void scale(const float* x, float factor, float* out, std::size_t n, executor&) {
    scale_reference(x, factor, out, n);
}
void flush_copy(const float* x, float* out, std::size_t n, executor&) {
    for (std::size_t i = 0; i < n; ++i) out[i] = flush(x[i]);
}

void gelu_forward(const float* x, float* out, std::size_t n, executor&) {
    gelu_forward_reference(x, out, n);
}
void bias_gelu_forward(const float* x, const float* bias, float* pre, float* out, std::size_t rows,
                       std::size_t columns, executor&) {
    bias_gelu_forward_reference(x, bias, pre, out, rows, columns);
}
void gelu_backward(const float* x, const float* dout, float* dx, std::size_t n, executor&) {
    gelu_backward_reference(x, dout, dx, n);
}

void layernorm_forward(const float* x, const float* gain, const float* offset, float* out,
                       float* mean, float* inverse_deviation, std::size_t rows, std::size_t width,
                       executor&) {
    layernorm_forward_reference(x, gain, offset, out, mean, inverse_deviation, rows, width);
}
void layernorm_backward(const float* x, const float* gain, const float* mean,
                        const float* inverse_deviation, const float* dout, const float* residual,
                        float* dx, std::size_t rows, std::size_t width, executor&) {
    layernorm_backward_reference(x, gain, mean, inverse_deviation, dout, residual, dx, rows, width);
}
void layernorm_parameter_gradients(const float* x, const float* mean,
                                   const float* inverse_deviation, const float* dout, float* dgain,
                                   float* doffset, std::size_t rows, std::size_t width,
                                   bool accumulate, executor&) {
    layernorm_parameter_gradients_reference(x, mean, inverse_deviation, dout, dgain, doffset, rows,
                                            width, accumulate);
}

void embed(std::span<const std::uint32_t> tokens, std::size_t time, const float* table,
           const float* positions, float* out, std::size_t width, executor&) {
    embed_reference(tokens, time, table, positions, out, width);
}
void embed_backward(std::span<const std::uint32_t> tokens, const float* dx, float* dtable,
                    std::size_t width, executor&) {
    embed_backward_reference(tokens, dx, dtable, width);
}
void position_backward(const float* dx, std::size_t tokens, std::size_t time, float* dpositions,
                       std::size_t width, executor&) {
    position_backward_reference(dx, tokens, time, dpositions, width);
}

void attention_forward(const attention_shape& shape, const attention_inputs& in, float* out,
                       const attention_saved& saved, std::span<std::byte>, executor&) {
    attention_forward_reference(shape, in, out, saved);
}
void attention_backward(const attention_shape& shape, const attention_inputs& in, const float* out,
                        const float* dout, const attention_saved& saved,
                        const attention_gradients& gradients, std::span<std::byte>, executor&) {
    attention_backward_reference(shape, in, out, dout, saved, gradients);
}
std::size_t attention_workspace_bytes(const attention_shape& shape, unsigned threads) {
    return shape.time * sizeof(float) * threads;
}

void cross_entropy(float* logits, std::size_t stride, std::span<const std::uint32_t> targets,
                   std::size_t vocabulary, float scale_factor, float* losses, bool gradient,
                   executor&) {
    cross_entropy_reference(logits, stride, targets, vocabulary, scale_factor, losses, gradient);
}

void adamw_update(const adamw_scalars& scalars, bool decay, float* weight, const float* gradient,
                  float* first, float* second, std::size_t n, executor&) {
    adamw_update_reference(scalars, decay, weight, gradient, first, second, n);
}

bool mxint8_encode(std::span<const float> values, int window, std::span<std::uint8_t> scales,
                   std::span<std::int8_t> codes, mx_counts& counts) {
    return mxint8_encode_reference(values, window, scales, codes, counts);
}
void mxint8_decode(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                   int window, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const int b = window + scales[i / mx_block];
        values[i] = static_cast<float>(codes[i]) *
                    std::bit_cast<float>(static_cast<std::uint32_t>(b + 127) << 23);
    }
}
void mxint8_accumulate(std::span<const std::uint8_t> scales, std::span<const std::int8_t> codes,
                       std::span<std::int64_t> sums) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
        sums[i] += std::int64_t{codes[i]} * (std::int64_t{1} << scales[i / mx_block]);
    }
}

}  // namespace tequio::training::numerics
