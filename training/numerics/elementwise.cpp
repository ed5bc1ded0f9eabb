#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/elementwise.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/elementwise.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

void add_range(const float* x, const float* y, float* out, std::size_t n) {
    map(
        n, out, [](vector a, vector b) HWY_ATTR { return flushed(hn::Add(a, b)); }, x, y);
}

void add_bias_row(const float* x, const float* bias, const float* residual, float* out,
                  std::size_t n) {
    if (residual == nullptr) return add_range(x, bias, out, n);
    map(
        n, out,
        [](vector a, vector b, vector r) HWY_ATTR { return flushed(hn::Add(r, hn::Add(a, b))); }, x,
        bias, residual);
}

void scale_range(const float* x, float factor, float* out, std::size_t n) {
    const vector f = hn::Set(float_tag(), factor);
    map(
        n, out, [f](vector a) HWY_ATTR { return flushed(product(a, f)); }, x);
}

void flush_range(const float* x, float* out, std::size_t n) {
    map(
        n, out, [](vector a) HWY_ATTR { return flushed(a); }, x);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void add_range(const float* x, const float* y, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(add_range(x, y, out, n));
    add_reference(x, y, out, n);
}

void add_bias_row(const float* x, const float* bias, const float* residual, float* out,
                  std::size_t n) {
    TEQUIO_RETURN_VECTOR(add_bias_row(x, bias, residual, out, n));
    if (residual == nullptr) return add_bias_reference(x, bias, out, 1, n);
    add_bias_residual_reference(x, bias, residual, out, 1, n);
}

void scale_range(const float* x, float factor, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(scale_range(x, factor, out, n));
    scale_reference(x, factor, out, n);
}

void flush_range(const float* x, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(flush_range(x, out, n));
    for (std::size_t i = 0; i < n; ++i) out[i] = flush(x[i]);
}

}  // namespace

void add(const float* x, const float* y, float* out, std::size_t n, executor& run) {
    run.note({"add", n, 12 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        add_range(x + begin, y + begin, out + begin, end - begin);
    });
}

void add_bias(const float* x, const float* bias, float* out, std::size_t rows, std::size_t columns,
              executor& run) {
    add_bias_residual(x, bias, nullptr, out, rows, columns, run);
}

void add_bias_residual(const float* x, const float* bias, const float* residual, float* out,
                       std::size_t rows, std::size_t columns, executor& run) {
    run.note({"bias and residual", 2 * rows * columns, 12 * rows * columns});
    for_pieces(rows, row_grain(columns), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t at = i * columns;
            add_bias_row(x + at, bias, residual == nullptr ? nullptr : residual + at, out + at,
                         columns);
        }
    });
}

void scale(const float* x, float factor, float* out, std::size_t n, executor& run) {
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        scale_range(x + begin, factor, out + begin, end - begin);
    });
}

void flush_copy(const float* x, float* out, std::size_t n, executor& run) {
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        flush_range(x + begin, out + begin, end - begin);
    });
}

}  // namespace tequio::training::numerics
#endif
