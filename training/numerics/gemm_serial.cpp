#include "training/numerics/gemm_serial.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm_thin.hpp"
#include "training/numerics/gemm_tiles.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training::numerics {

namespace {

// Rows of A and columns of B packed at a time. Multiples of every target's tile.
constexpr std::size_t block_rows = 96;
constexpr std::size_t block_columns = 40 * tile_columns_most;

/// k = 0, and the reference's way through the options.
void plain_gemm(const serial_gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                matrix_out c) {
    const gemm_options plain{options.form, options.accumulate, options.flush, options.bias};
    if (!options.resume) return gemm_reference(plain, shape, a, b, c);
    for (std::size_t i = 0; i < shape.m; ++i) {
        for (std::size_t j = 0; j < shape.n; ++j) {
            float acc = c.data[i * c.stride + j];
            for (std::size_t p = 0; p < shape.k; ++p) {
                const float x = options.form == gemm_form::tn ? a.data[p * a.stride + i]
                                                              : a.data[i * a.stride + p];
                const float y = options.form == gemm_form::nt ? b.data[j * b.stride + p]
                                                              : b.data[p * b.stride + j];
                acc = fused(x, y, acc);
            }
            c.data[i * c.stride + j] = acc;
        }
    }
}

matrix_in left_at(gemm_form form, matrix_in a, std::size_t row, std::size_t p) {
    return {a.data + (form == gemm_form::tn ? p * a.stride + row : row * a.stride + p), a.stride};
}

/// One panel of A by one panel of packed B: columns from `column` of the operand, all rows.
void run_panel(const serial_gemm_options& options, gemm_shape shape, matrix_in a, std::size_t p,
               const right_operand& b, matrix_out c, float* packed_a) {
    const std::size_t k = std::min(panel_length, shape.k - p);
    const bool last = p + k == shape.k;
    const block_end end{.add = options.accumulate || p > 0,
                        .resume = options.resume,
                        .flush = options.flush && last,
                        .bias = last ? options.bias : nullptr};
    // With few columns packing rows would cost more than it saves.
    const bool direct = options.form != gemm_form::tn && shape.n <= 2 * active_tile().columns;
    for (std::size_t i = 0; i < shape.m; i += block_rows) {
        const std::size_t rows = std::min(block_rows, shape.m - i);
        const matrix_in part = left_at(options.form, a, i, p);
        left_operand left{part.data, rows, k, part.stride, 1};
        if (!direct) {
            pack_left(options.form, part, {packed_a, rows, k}, 0, rows, 0, k);
            left = {packed_a, rows, k, 0, 0};
        }
        fetch_plan nothing(a.data);
        run_block({rows, shape.n, k}, left, 0, b, 0, {c.data + i * c.stride, c.stride}, end,
                  nothing);
    }
}

void gemm_blocks(const serial_gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                 matrix_out c, float* scratch) {
    float* packed_a = scratch;
    float* packed_b = scratch + panel_length * block_rows;
    for (std::size_t j = 0; j < shape.n; j += block_columns) {
        const std::size_t columns = std::min(block_columns, shape.n - j);
        serial_gemm_options mine = options;
        if (mine.bias != nullptr) mine.bias += j;
        for (std::size_t p = 0; p < shape.k; p += panel_length) {
            const std::size_t k = std::min(panel_length, shape.k - p);
            matrix_in part = b;
            part.data += options.form == gemm_form::nt ? j * b.stride + p : p * b.stride + j;
            pack_right(options.form, part, {packed_b, columns, k}, 0, columns, 0, k);
            run_panel(mine, {shape.m, columns, shape.k}, a, p, {packed_b, columns, k},
                      {c.data + j, c.stride}, packed_a);
        }
    }
}

}  // namespace

void gemm_serial(const serial_gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                 matrix_out c, float* scratch) {
    base::ensure(!options.resume || shape.k <= panel_length, "a panel is resumed, not a product");
    if (shape.m == 0 || shape.n == 0) return;
    if (shape.k == 0 || active_target() == simd_target::reference) {
        return plain_gemm(options, shape, a, b, c);
    }
    if (!options.resume && is_thin(options.form, shape)) {
        const gemm_options thin{options.form, options.accumulate, options.flush, options.bias};
        return multiply_thin(thin, shape, a, b, c, 0, shape.n);
    }
    gemm_blocks(options, shape, a, b, c, scratch);
}

std::size_t serial_gemm_floats(gemm_shape shape) {
    return panel_length * (block_rows + std::min(block_columns, round_up(shape.n, 64)));
}

}  // namespace tequio::training::numerics
