#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/gemm_serial.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm_serial.hpp"

#ifndef TEQUIO_GEMM_BLOCKS
#define TEQUIO_GEMM_BLOCKS
namespace tequio::training::numerics {
// Rows of A and columns of B packed at a time: A's block stays in L2 beside B's. Multiples of every
// target's tile.
inline constexpr std::size_t block_rows = 96;
inline constexpr std::size_t block_columns = 1920;
}  // namespace tequio::training::numerics
#endif

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

const hn::ScalableTag<float> d;
const hn::Full128<float> d4;
using vector = hn::Vec<decltype(d)>;
constexpr std::size_t lanes = hn::MaxLanes(hn::ScalableTag<float>());

// The tile of C held in registers: tile_rows x (tile_vectors vectors). 24 accumulators hide the
// latency of the multiply-add on AVX-512 and NEON (32 registers), 12 on AVX2 (16 registers).
#if HWY_TARGET == HWY_AVX3
constexpr std::size_t tile_rows = 12;
constexpr std::size_t tile_vectors = 2;
#elif HWY_TARGET == HWY_AVX2
constexpr std::size_t tile_rows = 4;
constexpr std::size_t tile_vectors = 3;
#else
constexpr std::size_t tile_rows = 8;
constexpr std::size_t tile_vectors = 3;
#endif
constexpr std::size_t tile_columns = tile_vectors * lanes;
static_assert(block_rows % tile_rows == 0 && block_columns % tile_columns == 0);

/// What becomes of a tile of C after one panel.
struct tile_end {
    bool add;           ///< C = C + acc; else C = +0 + acc
    bool resume;        ///< acc starts at C and is stored as it is
    bool flush;         ///< in the last panel
    const float* bias;  ///< in the last panel: of the tile's first column
};

/// One tile over one panel. a: (k, Rows) packed; b: (k, Vectors * lanes) packed.
template <std::size_t Rows, std::size_t Vectors>
void tile(std::size_t k, const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
          float* HWY_RESTRICT c, std::size_t stride, const tile_end& end) {
    vector acc[Rows][Vectors];
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) acc[r][v] = hn::Zero(d);
    }
    if (end.resume) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) {
                acc[r][v] = hn::LoadU(d, c + r * stride + v * lanes);
            }
        }
    } else {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            __builtin_prefetch(c + r * stride, 1);
            if (Vectors > 1) __builtin_prefetch(c + r * stride + (Vectors - 1) * lanes, 1);
        }
    }
    for (std::size_t p = 0; p < k; ++p) {
        vector bv[Vectors];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) bv[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            const vector av = hn::Set(d, a[r]);
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
        }
        a += Rows;
        b += Vectors * lanes;
    }
    const vector limit = hn::Set(d, end.flush ? smallest_normal : 0.0F);
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) {
            float* place = c + r * stride + v * lanes;
            vector x = acc[r][v];
            if (!end.resume) x = hn::Add(end.add ? hn::LoadU(d, place) : hn::Zero(d), x);
            if (end.bias != nullptr) x = hn::Add(x, hn::LoadU(d, end.bias + v * lanes));
            if (end.flush) x = hn::IfThenZeroElse(hn::Lt(hn::Abs(x), limit), x);
            hn::StoreU(x, d, place);
        }
    }
}

using tile_function = void (*)(std::size_t, const float*, const float*, float*, std::size_t,
                               const tile_end&);

template <std::size_t... I>
constexpr std::array<tile_function, sizeof...(I)> make_tiles(std::index_sequence<I...>) {
    return {&tile<I / tile_vectors + 1, I % tile_vectors + 1>...};
}

/// By (rows - 1) * tile_vectors + (vectors - 1).
constexpr auto tiles = make_tiles(std::make_index_sequence<tile_rows * tile_vectors>());

/// A tile of which only `columns` of its `full` width belong to C goes through a buffer, since
/// nothing may be read or written beside C.
HWY_NOINLINE void narrow_tile(tile_function run, std::size_t rows, std::size_t columns,
                              std::size_t full, std::size_t k, const float* a, const float* b,
                              float* c, std::size_t stride, tile_end end) {
    alignas(64) float buffer[tile_rows * tile_columns] = {};
    alignas(64) float bias[tile_columns] = {};
    for (std::size_t r = 0; (end.add || end.resume) && r < rows; ++r) {
        std::memcpy(buffer + r * full, c + r * stride, columns * sizeof(float));
    }
    if (end.bias != nullptr) {
        std::memcpy(bias, end.bias, columns * sizeof(float));
        end.bias = bias;
    }
    run(k, a, b, buffer, full, end);
    for (std::size_t r = 0; r < rows; ++r) {
        std::memcpy(c + r * stride, buffer + r * full, columns * sizeof(float));
    }
}

/// The 128-bit blocks of v, `step` floats apart.
template <class Tag>
HWY_INLINE void store_blocks(Tag tag, hn::Vec<Tag> v, float* place, std::size_t step) {
    if constexpr (hn::MaxLanes(Tag()) == 4) {
        hn::StoreU(v, tag, place);
    } else {
        const hn::Half<Tag> half;
        store_blocks(half, hn::LowerHalf(half, v), place, step);
        store_blocks(half, hn::UpperHalf(half, v), place + hn::MaxLanes(half) / 4 * step, step);
    }
}

/// Four rows of source, from p to p + lanes, become columns r..r+3 of out: 4 x 4 transposes in
/// every 128-bit block.
HWY_INLINE void transpose_four(const float* HWY_RESTRICT row, std::size_t stride, std::size_t width,
                               float* HWY_RESTRICT out) {
    const hn::Repartition<double, decltype(d)> wide;
    const auto v0 = hn::LoadU(d, row);
    const auto v1 = hn::LoadU(d, row + stride);
    const auto v2 = hn::LoadU(d, row + 2 * stride);
    const auto v3 = hn::LoadU(d, row + 3 * stride);
    const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, v0, v1));
    const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, v2, v3));
    const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, v0, v1));
    const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, v2, v3));
    const std::size_t step = 4 * width;
    store_blocks(d, hn::BitCast(d, hn::InterleaveLower(wide, low01, low23)), out, step);
    store_blocks(d, hn::BitCast(d, hn::InterleaveUpper(wide, low01, low23)), out + width, step);
    store_blocks(d, hn::BitCast(d, hn::InterleaveLower(wide, high01, high23)), out + 2 * width,
                 step);
    store_blocks(d, hn::BitCast(d, hn::InterleaveUpper(wide, high01, high23)), out + 3 * width,
                 step);
}

/// out[p * width + r] = source[r * stride + p] for r < rows, p < k, and 0 for rows <= r < width.
void pack_transposed(const float* HWY_RESTRICT source, std::size_t stride, std::size_t rows,
                     std::size_t k, std::size_t width, float* HWY_RESTRICT out) {
    const std::size_t whole = k / lanes * lanes;
    std::size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        const float* row = source + r * stride;
        for (std::size_t p = 0; p < whole; p += lanes) {
            transpose_four(row + p, stride, width, out + p * width + r);
        }
        for (std::size_t p = whole; p < k; ++p) {
            for (std::size_t i = 0; i < 4; ++i) out[p * width + r + i] = row[i * stride + p];
        }
    }
    for (; r < width; ++r) {
        for (std::size_t p = 0; p < k; ++p) {
            out[p * width + r] = r < rows ? source[r * stride + p] : 0.0F;
        }
    }
}

/// `pack_rows` of a full tile. The width is fixed, since the compiler makes a call of memmove out
/// of a copy of unknown length.
template <class Tag, std::size_t Width>
void pack_full_rows(Tag tag, const float* HWY_RESTRICT source, std::size_t stride, std::size_t k,
                    float* HWY_RESTRICT out) {
    constexpr std::size_t step = hn::MaxLanes(Tag());
    for (std::size_t p = 0; p < k; ++p) {
#pragma GCC unroll 8
        for (std::size_t j = 0; j < Width; j += step) {
            hn::StoreU(hn::LoadU(tag, source + p * stride + j), tag, out + p * Width + j);
        }
    }
}

/// out[p * width + j] = source[p * stride + j] for j < columns, p < k, and 0 up to width.
void pack_rows(const float* HWY_RESTRICT source, std::size_t stride, std::size_t columns,
               std::size_t k, std::size_t width, float* HWY_RESTRICT out) {
    if (columns == tile_columns) {
        return pack_full_rows<decltype(d), tile_columns>(d, source, stride, k, out);
    }
    if (columns == tile_rows && width == tile_rows) {
        return pack_full_rows<decltype(d4), tile_rows>(d4, source, stride, k, out);
    }
    for (std::size_t p = 0; p < k; ++p) {
        std::memcpy(out + p * width, source + p * stride, columns * sizeof(float));
        for (std::size_t j = columns; j < width; ++j) out[p * width + j] = 0.0F;
    }
}

/// Rows [row, row + rows) and panel [p, p + k) of A, tile after tile, each (k, its own rows).
void pack_a(const serial_gemm_options& options, matrix_in a, std::size_t row, std::size_t rows,
            std::size_t p, std::size_t k, float* out) {
    for (std::size_t r = 0; r < rows; r += tile_rows) {
        const std::size_t width = std::min(tile_rows, rows - r);
        if (options.form == gemm_form::tn) {
            pack_rows(a.data + p * a.stride + row + r, a.stride, width, k, width, out + r * k);
        } else {
            pack_transposed(a.data + (row + r) * a.stride + p, a.stride, width, k, width,
                            out + r * k);
        }
    }
}

/// The same of B's columns; widths are multiples of a vector, filled up with zeros.
void pack_b(const serial_gemm_options& options, matrix_in b, std::size_t column,
            std::size_t columns, std::size_t p, std::size_t k, float* out) {
    for (std::size_t j = 0; j < columns; j += tile_columns) {
        const std::size_t filled = std::min(tile_columns, columns - j);
        const std::size_t width = round_up(filled, lanes);
        if (options.form == gemm_form::nt) {
            pack_transposed(b.data + (column + j) * b.stride + p, b.stride, filled, k, width,
                            out + j * k);
        } else {
            pack_rows(b.data + p * b.stride + column + j, b.stride, filled, k, width, out + j * k);
        }
    }
}

/// A block of B as `pack_b` left it.
struct packed_block {
    const float* data;
    std::size_t columns;  ///< packed; tiles are as wide as these make them
    std::size_t k;        ///< packed; the product may use fewer
};

/// All tiles of one packed block of A by the first `columns` columns of one packed block of B.
void run_tiles(std::size_t rows, std::size_t columns, std::size_t k, const float* a,
               const packed_block& b, float* c, std::size_t stride, const tile_end& end) {
    for (std::size_t j = 0; j < columns; j += tile_columns) {
        const std::size_t width = std::min(tile_columns, columns - j);
        const std::size_t vectors = (std::min(tile_columns, b.columns - j) + lanes - 1) / lanes;
        const float* tile_b = b.data + j * b.k;
        tile_end here = end;
        if (end.bias != nullptr) here.bias = end.bias + j;
        for (std::size_t r = 0; r < rows; r += tile_rows) {
            const std::size_t height = std::min(tile_rows, rows - r);
            const tile_function run = tiles[(height - 1) * tile_vectors + (vectors - 1)];
            float* place = c + r * stride + j;
            if (width == vectors * lanes) {
                run(k, a + r * k, tile_b, place, stride, here);
            } else {
                narrow_tile(run, height, width, vectors * lanes, k, a + r * k, tile_b, place,
                            stride, here);
            }
        }
    }
}

/// One panel of one block of B by all rows of A.
void run_panel(const serial_gemm_options& options, gemm_shape shape, matrix_in a, std::size_t p,
               std::size_t column, std::size_t columns, const packed_block& b, matrix_out c,
               float* packed_a) {
    const std::size_t k = std::min(panel_length, shape.k - p);
    const bool last = p + k == shape.k;
    const bool bias = options.bias != nullptr && last;
    const tile_end end{.add = options.accumulate || p > 0,
                       .resume = options.resume,
                       .flush = options.flush && last,
                       .bias = bias ? options.bias + column : nullptr};
    for (std::size_t i = 0; i < shape.m; i += block_rows) {
        const std::size_t rows = std::min(block_rows, shape.m - i);
        pack_a(options, a, i, rows, p, k, packed_a);
        run_tiles(rows, columns, k, packed_a, b, c.data + i * c.stride + column, c.stride, end);
    }
}

void gemm_blocks(const serial_gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                 matrix_out c, float* scratch) {
    float* packed_a = scratch;
    float* packed_b = scratch + panel_length * block_rows;
    for (std::size_t j = 0; j < shape.n; j += block_columns) {
        const std::size_t columns = std::min(block_columns, shape.n - j);
        for (std::size_t p = 0; p < shape.k; p += panel_length) {
            const std::size_t k = std::min(panel_length, shape.k - p);
            pack_b(options, b, j, columns, p, k, packed_b);
            run_panel(options, shape, a, p, j, columns, {packed_b, columns, k}, c, packed_a);
        }
    }
}

void pack_panels(gemm_form form, std::size_t n, std::size_t k, matrix_in b, float* out) {
    for (std::size_t p = 0; p < k; p += panel_length) {
        pack_b({.form = form}, b, 0, n, p, std::min(panel_length, k - p),
               out + p * round_up(n, lanes));
    }
}

void packed_blocks(const serial_gemm_options& options, gemm_shape shape, matrix_in a,
                   const packed_matrix& b, matrix_out c, float* scratch) {
    for (std::size_t p = 0; p < shape.k; p += panel_length) {
        const packed_block block{b.data + p * round_up(b.n, lanes), b.n,
                                 std::min(panel_length, b.k - p)};
        run_panel(options, shape, a, p, 0, shape.n, block, c, scratch);
    }
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

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

}  // namespace

void gemm_serial(const serial_gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                 matrix_out c, float* scratch) {
    base::ensure(!options.resume || shape.k <= panel_length, "a panel is resumed, not a product");
    if (shape.m == 0 || shape.n == 0) return;
    if (shape.k == 0) return plain_gemm(options, shape, a, b, c);
    TEQUIO_RETURN_VECTOR(gemm_blocks(options, shape, a, b, c, scratch));
    plain_gemm(options, shape, a, b, c);
}

packed_matrix pack_matrix(gemm_form form, std::size_t n, std::size_t k, matrix_in b, float* out) {
    const auto pack = [&] { TEQUIO_RETURN_VECTOR(pack_panels(form, n, k, b, out)); };
    if (active_target() != simd_target::reference) {
        pack();
    } else {
        // The reference reads B as (k, n).
        for (std::size_t p = 0; p < k; ++p) {
            for (std::size_t j = 0; j < n; ++j) {
                out[p * n + j] =
                    form == gemm_form::nt ? b.data[j * b.stride + p] : b.data[p * b.stride + j];
            }
        }
    }
    return {out, n, k};
}

void gemm_packed(const serial_gemm_options& options, gemm_shape shape, matrix_in a,
                 const packed_matrix& b, matrix_out c, float* scratch) {
    base::ensure(shape.n <= b.n && shape.k <= b.k && options.form != gemm_form::nt &&
                     (!options.resume || shape.k <= panel_length),
                 "a packed product fits its packed matrix");
    if (shape.m == 0 || shape.n == 0) return;
    if (shape.k == 0) return plain_gemm(options, shape, a, {b.data, b.n}, c);
    TEQUIO_RETURN_VECTOR(packed_blocks(options, shape, a, b, c, scratch));
    plain_gemm(options, shape, a, {b.data, b.n}, c);
}

std::size_t serial_gemm_floats(gemm_shape shape) {
    return panel_length * (block_rows + std::min(block_columns, round_up(shape.n, 64)));
}

}  // namespace tequio::training::numerics
#endif
