#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/gelu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "training/numerics/gelu.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

template <std::size_t N>
HWY_INLINE bundle<N> gelu_of(const bundle<N>& x) {
    const auto x2 = each([](vector a) HWY_ATTR { return product(a, a); }, x);
    return each([](vector a, vector s) HWY_ATTR { return flushed(product(a, s)); }, x,
                gelu_gate(x, x2));
}

void gelu_range(const float* x, float* out, std::size_t n) {
    map_bundles(
        n, out, [](const auto& a) HWY_ATTR { return gelu_of(a); }, x);
}

/// flush(x + bias).
template <std::size_t N>
HWY_INLINE bundle<N> biased(const bundle<N>& x, const bundle<N>& bias) {
    return each([](vector a, vector b) HWY_ATTR { return flushed(hn::Add(a, b)); }, x, bias);
}

void bias_gelu_row(const float* x, const float* bias, float* out, std::size_t n) {
    map_bundles(
        n, out, [](const auto& a, const auto& b) HWY_ATTR { return gelu_of(biased(a, b)); }, x,
        bias);
}

/// dout * gelu'(x), flushed.
template <std::size_t N>
HWY_INLINE bundle<N> gelu_slope(const bundle<N>& x, const bundle<N>& dout) {
    const float_tag d;
    const vector one = hn::Set(d, 1.0F);
    const vector cubic = hn::Set(d, constants::gelu_cubic_slope);
    const vector factor = hn::Set(d, constants::gelu_factor);
    const auto x2 = each([](vector a) HWY_ATTR { return product(a, a); }, x);
    const auto s = gelu_gate(x, x2);
    const auto slope = each(
        [=](vector a, vector a2, vector gate) HWY_ATTR {
            const vector dz = hn::Mul(factor, hn::MulAdd(a2, cubic, one));
            const vector curve = product(a, hn::Mul(gate, hn::Sub(one, gate)));
            return hn::MulAdd(curve, dz, gate);
        },
        x, x2, s);
    return each([](vector dy, vector g) HWY_ATTR { return flushed(product(dy, g)); }, dout, slope);
}

void gelu_backward_range(const float* x, const float* dout, float* dx, std::size_t n) {
    map_bundles(
        n, dx, [](const auto& a, const auto& dy) HWY_ATTR { return gelu_slope(a, dy); }, x, dout);
}

/// A row of `bias_gelu_backward`, added to `sums`.
void bias_gelu_backward_row(const float* x, const float* bias, const float* dout, float* dx,
                            float* sums, std::size_t n) {
    map_bundles(
        n, dx,
        [](const auto& a, const auto& b, const auto& dy)
            HWY_ATTR { return gelu_slope(biased(a, b), dy); },
        x, bias, dout);
    map(
        n, sums, [](vector s, vector a) HWY_ATTR { return hn::Add(s, a); }, sums, dx);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

/// Operations an element: 6 around an exponential of 22, a division among them.
constexpr std::size_t gelu_flops = 28;

void gelu_range(const float* x, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(gelu_range(x, out, n));
    gelu_forward_reference(x, out, n);
}

void bias_gelu_row(const float* x, const float* bias, float* out, std::size_t n) {
    TEQUIO_RETURN_VECTOR(bias_gelu_row(x, bias, out, n));
    bias_gelu_forward_reference(x, bias, out, 1, n);
}

void gelu_backward_range(const float* x, const float* dout, float* dx, std::size_t n) {
    TEQUIO_RETURN_VECTOR(gelu_backward_range(x, dout, dx, n));
    gelu_backward_reference(x, dout, dx, n);
}

void bias_gelu_backward_row(const float* x, const float* bias, const float* dout, float* dx,
                            float* sums, std::size_t n) {
    TEQUIO_RETURN_VECTOR(bias_gelu_backward_row(x, bias, dout, dx, sums, n));
    // As if the row were all: its column sums are the row.
    bias_gelu_backward_reference(x, bias, {dout, dx, sums, true}, 1, n);
}

}  // namespace

void gelu_forward(const float* x, float* out, std::size_t n, executor& run) {
    run.note({"gelu forward", gelu_flops * n, 8 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        gelu_range(x + begin, out + begin, end - begin);
    });
}

void bias_gelu_forward(const float* x, const float* bias, float* out, std::size_t rows,
                       std::size_t columns, executor& run) {
    run.note({"bias and gelu forward", (gelu_flops + 1) * rows * columns, 8 * rows * columns});
    for_pieces(rows, row_grain(columns), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            bias_gelu_row(x + i * columns, bias, out + i * columns, columns);
        }
    });
}

void gelu_backward(const float* x, const float* dout, float* dx, std::size_t n, executor& run) {
    run.note({"gelu backward", (gelu_flops + 11) * n, 12 * n});
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        gelu_backward_range(x + begin, dout + begin, dx + begin, end - begin);
    });
}

void bias_gelu_backward(const float* x, const float* bias, const bias_gelu_gradients& g,
                        std::size_t rows, std::size_t columns, std::span<std::byte> workspace,
                        executor& run) {
    run.note({"bias and gelu backward", (gelu_flops + 13) * rows * columns, 12 * rows * columns});
    const std::size_t panels = panels_of(rows);
    // Whole rows where there are panels enough to share out, else columns too.
    const std::size_t blocks = panels >= run.threads() ? 1 : 2 * run.threads();
    const std::size_t block = round_up(columns / blocks + 1, column_grain);
    const std::size_t across = (columns + block - 1) / block;
    const std::size_t step = round_up(columns, 16);
    float* sums = aligned_part(workspace, panels * step, 0);
    for_pieces(panels * across, 1, run, [&](std::size_t first, std::size_t last) {
        for (std::size_t task = first; task < last; ++task) {
            const std::size_t panel = task / across;
            const std::size_t column = task % across * block;
            const std::size_t n = std::min(block, columns - column);
            float* place = sums + panel * step + column;
            std::fill(place, place + n, 0.0F);
            const std::size_t end = std::min(rows, (panel + 1) * panel_length);
            for (std::size_t i = panel * panel_length; i < end; ++i) {
                const std::size_t at = i * columns + column;
                bias_gelu_backward_row(x + at, bias + column, g.dout + at, g.dx + at, place, n);
            }
        }
    });
    add_panels(sums, panels, step, g.accumulate, g.dbias, columns);
}

std::size_t bias_gelu_workspace_bytes(std::size_t rows, std::size_t columns) {
    return panels_of(rows) * round_up(columns, 16) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
#endif
