#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/rmsnorm.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "training/numerics/rmsnorm.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#ifndef TEQUIO_RMSNORM_ROWS
#define TEQUIO_RMSNORM_ROWS
namespace tequio::training::numerics {
namespace {

/// Rows that go through each pass together: the ends of their sums, short chains of dependent
/// operations, then overlap.
constexpr std::size_t rows_together = 4;

/// What the forward passes read, at the first row. residual null: nothing is added.
struct forward_arrays {
    const float *x, *residual, *gain;
    float epsilon;
    std::size_t width;
};

}  // namespace
}  // namespace tequio::training::numerics
#endif

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// Rows [row, end). sum: x itself where nothing is added.
void rmsnorm_rows(const forward_arrays& in, float* sum, float* out, float* inverse_rms,
                  std::size_t row, std::size_t end) {
    const std::size_t width = in.width;
    for (std::size_t i = row; in.residual != nullptr && i < end; ++i) {
        map(
            width, sum + i * width,
            [](vector a, vector b) HWY_ATTR { return flushed(hn::Add(b, a)); }, in.x + i * width,
            in.residual + i * width);
    }
    for (std::size_t i = row; i < end; ++i) {
        const float squares = reduce(
            width, [](vector s, vector a) HWY_ATTR { return hn::MulAdd(a, a, s); },
            sum + i * width);
        inverse_rms[i] = 1.0F / std::sqrt(squares / static_cast<float>(width) + in.epsilon);
    }
    for (std::size_t i = row; i < end; ++i) {
        const vector r = hn::Set(float_tag(), inverse_rms[i]);
        map(
            width, out + i * width,
            [r](vector a, vector g) HWY_ATTR { return flushed(product(product(a, r), g)); },
            sum + i * width, in.gain);
    }
}

/// A vector of n <= lanes elements, zeros beyond.
HWY_INLINE vector load_first(const float* from, std::size_t n) {
    if (n == lanes) return hn::LoadU(float_tag(), from);
    HWY_ALIGN float buffer[lanes] = {};
    std::memcpy(buffer, from, n * sizeof(float));
    return hn::Load(float_tag(), buffer);
}

HWY_INLINE void store_first(vector x, float* to, std::size_t n) {
    if (n == lanes) return hn::StoreU(x, float_tag(), to);
    HWY_ALIGN float buffer[lanes];
    hn::Store(x, float_tag(), buffer);
    std::memcpy(to, buffer, n * sizeof(float));
}

/// n <= lanes columns from j on of Rows rows: their dx, and gains with their share added.
template <std::size_t Rows>
HWY_INLINE void backward_columns(const rmsnorm_inputs& in, std::size_t row, const float* q,
                                 std::size_t j, std::size_t n, float* dx, float* gains) {
    const float_tag d;
    const vector g = load_first(in.gain + j, n);
    vector gain_sum = load_first(gains + j, n);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < Rows; ++i) {
        const std::size_t at = (row + i) * in.width + j;
        const vector r = hn::Set(d, in.inverse_rms[row + i]);
        const vector h = product(load_first(in.x + at, n), r);
        const vector dy = load_first(in.dout + at, n);
        const vector slope = hn::NegMulAdd(h, hn::Set(d, q[i]), product(dy, g));
        const vector residual =
            in.residual == nullptr ? hn::Zero(d) : load_first(in.residual + at, n);
        gain_sum = hn::Add(gain_sum, product(dy, h));
        store_first(flushed(hn::Add(residual, product(slope, r))), dx + at, n);
    }
    store_first(gain_sum, gains + j, n);
}

template <std::size_t Rows>
void backward_rows(const rmsnorm_inputs& in, std::size_t row, float* dx, float* gains) {
    float q[Rows];
    for (std::size_t i = 0; i < Rows; ++i) {
        const std::size_t at = (row + i) * in.width;
        const vector r = hn::Set(float_tag(), in.inverse_rms[row + i]);
        const float total = reduce(
            in.width,
            [r](vector s, vector dy, vector g, vector a)
                HWY_ATTR { return hn::MulAdd(product(dy, g), product(a, r), s); },
            in.dout + at, in.gain, in.x + at);
        q[i] = total / static_cast<float>(in.width);
    }
    const std::size_t whole = in.width / lanes * lanes;
    for (std::size_t j = 0; j < whole; j += lanes) {
        backward_columns<Rows>(in, row, q, j, lanes, dx, gains);
    }
    if (whole < in.width) {
        backward_columns<Rows>(in, row, q, whole, in.width - whole, dx, gains);
    }
}

/// Rows [begin, end), all of one panel. gains: (width), set to the panel's sums.
void backward_panel(const rmsnorm_inputs& in, std::size_t begin, std::size_t end, float* dx,
                    float* gains) {
    std::fill(gains, gains + in.width, 0.0F);
    std::size_t i = begin;
    for (; i + rows_together <= end; i += rows_together) {
        backward_rows<rows_together>(in, i, dx, gains);
    }
    for (; i < end; ++i) backward_rows<1>(in, i, dx, gains);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void rmsnorm_rows(const forward_arrays& in, float* sum, float* out, float* inverse_rms,
                  std::size_t row, std::size_t end) {
    TEQUIO_RETURN_VECTOR(rmsnorm_rows(in, sum, out, inverse_rms, row, end));
    const std::size_t at = row * in.width;
    if (in.residual == nullptr) {
        return rmsnorm_forward_reference(in.x + at, in.gain, in.epsilon, out + at,
                                         inverse_rms + row, end - row, in.width);
    }
    residual_rmsnorm_forward_reference(in.x + at, in.residual + at, sum + at, in.gain, in.epsilon,
                                       out + at, inverse_rms + row, end - row, in.width);
}

void forward(const forward_arrays& in, float* sum, float* out, float* inverse_rms, std::size_t rows,
             executor& run) {
    const auto grain = round_up(row_grain(in.width), rows_together);
    for_pieces(rows, grain, run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; i += rows_together) {
            rmsnorm_rows(in, sum, out, inverse_rms, i, std::min(i + rows_together, end));
        }
    });
}

// The reference target does not come here.
void backward_panel(const rmsnorm_inputs& in, std::size_t begin, std::size_t end, float* dx,
                    float* gains) {
    TEQUIO_RETURN_VECTOR(backward_panel(in, begin, end, dx, gains));
}

}  // namespace

void rmsnorm_forward(const float* x, const float* gain, float epsilon, float* out,
                     float* inverse_rms, std::size_t rows, std::size_t width, executor& run) {
    run.note({"rmsnorm forward", 4 * rows * width, 8 * rows * width});
    // Without a residual nothing is written through the second pointer.
    forward({x, nullptr, gain, epsilon, width}, const_cast<float*>(x), out, inverse_rms, rows, run);
}

void residual_rmsnorm_forward(const float* x, const float* residual, float* sum, const float* gain,
                              float epsilon, float* out, float* inverse_rms, std::size_t rows,
                              std::size_t width, executor& run) {
    run.note({"residual and rmsnorm forward", 5 * rows * width, 16 * rows * width});
    forward({x, residual, gain, epsilon, width}, sum, out, inverse_rms, rows, run);
}

void rmsnorm_backward(const rmsnorm_inputs& in, float* dx, float* dgain, bool accumulate,
                      std::span<std::byte> workspace, executor& run) {
    run.note({"rmsnorm backward", 12 * in.rows * in.width, 16 * in.rows * in.width});
    if (active_target() == simd_target::reference) {
        return rmsnorm_backward_reference(in, dx, dgain, accumulate);
    }
    const std::size_t panels = panels_of(in.rows);
    const std::size_t step = round_up(in.width, 16);
    float* parts = aligned_part(workspace, panels * step, 0);
    for_pieces(panels, 1, run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) {
            backward_panel(in, p * panel_length, std::min(in.rows, (p + 1) * panel_length), dx,
                           parts + p * step);
        }
    });
    add_panels(parts, panels, step, accumulate, dgain, in.width);
}

std::size_t rmsnorm_workspace_bytes(std::size_t rows, std::size_t width) {
    return panels_of(rows) * round_up(width, 16) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
#endif
