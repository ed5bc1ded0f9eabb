#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/reduce.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <array>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

float vector_sum(std::span<const float> x) {
    return reduce(
        x.size(), [](vector s, vector a) HWY_ATTR { return hn::Add(s, a); }, x.data());
}

float vector_dot(std::span<const float> x, std::span<const float> y) {
    return reduce(
        x.size(), [](vector s, vector a, vector b) HWY_ATTR { return hn::MulAdd(a, b, s); },
        x.data(), y.data());
}

/// Sums of one chunk, folded by the caller: s has 32 partial sums.
void chunk_squares(const float* x, std::size_t n, double* s) {
    const hn::ScalableTag<double> dd;
    const hn::Rebind<float, decltype(dd)> half;
    constexpr std::size_t wide = hn::MaxLanes(hn::ScalableTag<double>());
    constexpr std::size_t count = 32 / wide;
    hn::Vec<decltype(dd)> sums[count];
    for (std::size_t v = 0; v < count; ++v) sums[v] = hn::Zero(dd);
    std::size_t i = 0;
    for (; i + 32 <= n; i += 32) {
#pragma GCC unroll 16
        for (std::size_t v = 0; v < count; ++v) {
            const auto value = hn::PromoteTo(dd, hn::LoadU(half, x + i + v * wide));
            sums[v] = hn::Add(sums[v], hn::Mul(value, value));
        }
    }
    for (std::size_t v = 0; v < count; ++v) hn::StoreU(sums[v], dd, s + v * wide);
    for (std::size_t j = 0; i + j < n; ++j) {
        const double value = double{x[i + j]};
        s[j] = s[j] + value * value;
    }
}

template <std::size_t Vectors>
void sum_strip(const float* x, std::size_t stride, std::size_t rows, float* out) {
    const float_tag d;
    for (std::size_t panel = 0; panel < rows; panel += panel_length) {
        const std::size_t end = panel + panel_length < rows ? panel + panel_length : rows;
        vector acc[Vectors];
        for (std::size_t v = 0; v < Vectors; ++v) acc[v] = hn::Zero(d);
        for (std::size_t i = panel; i < end; ++i) {
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) {
                acc[v] = hn::Add(acc[v], hn::LoadU(d, x + i * stride + v * lanes));
            }
        }
        for (std::size_t v = 0; v < Vectors; ++v) {
            float* place = out + v * lanes;
            hn::StoreU(hn::Add(hn::LoadU(d, place), acc[v]), d, place);
        }
    }
}

/// Columns [begin, end), added to what stands in out.
void sum_columns(matrix_in x, std::size_t rows, std::size_t begin, std::size_t end, float* out) {
    constexpr std::size_t strip_vectors = 64 / lanes < 8 ? 64 / lanes : 8;
    std::size_t j = begin;
    for (; j + strip_vectors * lanes <= end; j += strip_vectors * lanes) {
        sum_strip<strip_vectors>(x.data + j, x.stride, rows, out + j);
    }
    for (; j + lanes <= end; j += lanes) sum_strip<1>(x.data + j, x.stride, rows, out + j);
    if (j < end) column_sums_reference({x.data + j, x.stride}, rows, end - j, true, out + j);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

constexpr std::size_t norm_chunk = 65536;

void chunk_squares(const float* x, std::size_t n, double* s) {
    TEQUIO_RETURN_VECTOR(chunk_squares(x, n, s));
    for (std::size_t i = 0; i < n; ++i) s[i % 32] = s[i % 32] + double{x[i]} * double{x[i]};
}

double chunk_square_sum(const float* x, std::size_t n) {
    std::array<double, 32> s{};
    chunk_squares(x, n, s.data());
    for (std::size_t half = 16; half > 1; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) s[j] = s[j] + s[j + half];
    }
    return (s[0] + s[1]) + 0.0;
}

void sum_columns(matrix_in x, std::size_t rows, std::size_t begin, std::size_t end, float* out) {
    TEQUIO_RETURN_VECTOR(sum_columns(x, rows, begin, end, out));
    column_sums_reference({x.data + begin, x.stride}, rows, end - begin, true, out + begin);
}

}  // namespace

float sum(std::span<const float> x) {
    TEQUIO_RETURN_VECTOR(vector_sum(x));
    return sum_reference(x);
}

float dot(std::span<const float> x, std::span<const float> y) {
    base::ensure(x.size() == y.size(), "dot takes two arrays of one size");
    TEQUIO_RETURN_VECTOR(vector_dot(x, y));
    return dot_reference(x, y);
}

double square_sum(std::span<const float> x, executor& run) {
    run.note({"gradient norm", 2 * x.size(), 4 * x.size()});
    // Chunk sums are kept for a group of chunks and added in order.
    constexpr std::size_t group = 64;
    std::array<double, group> chunks;
    double total = 0.0;
    for (std::size_t first = 0; first < x.size(); first += group * norm_chunk) {
        const std::size_t n = std::min(group * norm_chunk, x.size() - first);
        const std::size_t count = (n + norm_chunk - 1) / norm_chunk;
        for_pieces(count, 1, run, [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                chunks[i] = chunk_square_sum(x.data() + first + i * norm_chunk,
                                             std::min(norm_chunk, n - i * norm_chunk));
            }
        });
        for (std::size_t i = 0; i < count; ++i) total = total + chunks[i];
    }
    return total;
}

void column_sums(matrix_in x, std::size_t rows, std::size_t columns, bool accumulate, float* out,
                 executor& run) {
    run.note({"bias gradients", rows * columns, 4 * rows * columns});
    for_pieces(columns, column_grain, run, [&](std::size_t begin, std::size_t end) {
        if (!accumulate) std::fill(out + begin, out + end, 0.0F);
        sum_columns(x, rows, begin, end, out);
    });
}

}  // namespace tequio::training::numerics
#endif
