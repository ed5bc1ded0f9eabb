// The products of attention, compiled once for each target. Included by attention.cpp only, after
// Highway; the guard toggles because that file includes this several times.
//
// The left operands are read where they lie, an element broadcast at a time: rows of queries and of
// probabilities are used too few times to be worth packing. The right operands are in rows of whole
// vectors. A tile of the result (tile_rows x 2 vectors) stays in registers over a panel.

#if defined(TEQUIO_NUMERICS_ATTENTION_TILES_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TEQUIO_NUMERICS_ATTENTION_TILES_INL
#undef TEQUIO_NUMERICS_ATTENTION_TILES_INL
#else
#define TEQUIO_NUMERICS_ATTENTION_TILES_INL
#endif

#include <cstring>
#include <type_traits>

#include "training/numerics/gemm.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

// Rows enough to hide the latency of the multiply-add, few enough that little is computed above the
// diagonal and that the addresses of the rows stay in registers.
#if HWY_TARGET == HWY_AVX2
constexpr std::size_t tile_rows = 6;
#else
constexpr std::size_t tile_rows = 8;
#endif
constexpr std::size_t tile_vectors = 2;
constexpr std::size_t tile_columns = tile_vectors * lanes;

template <std::size_t N>
using count = std::integral_constant<std::size_t, N>;

/// Calls f(count<rows>, first row) for the tiles that cover [begin, end).
template <class F>
HWY_INLINE void over_rows(std::size_t begin, std::size_t end, F f) {
    std::size_t i = begin;
    for (; i + tile_rows <= end; i += tile_rows) f(count<tile_rows>(), i);
    for (; i + 4 <= end; i += 4) f(count<4>(), i);
    for (; i < end; ++i) f(count<1>(), i);
}

/// Calls f(count<vectors>, first column) for the tiles that cover [0, columns), a multiple of a
/// vector.
template <class F>
HWY_INLINE void over_columns(std::size_t columns, F f) {
    std::size_t c = 0;
    for (; c + tile_columns <= columns; c += tile_columns) f(count<tile_vectors>(), c);
    if (c < columns) f(count<1>(), c);
}

template <std::size_t Rows, std::size_t Vectors>
struct tile {
    vector x[Rows][Vectors];

    HWY_INLINE void clear() {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
            for (std::size_t v = 0; v < Vectors; ++v) x[r][v] = hn::Zero(float_tag());
        }
    }
    HWY_INLINE void load(const float* from, std::size_t stride) {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
            for (std::size_t v = 0; v < Vectors; ++v) {
                x[r][v] = hn::LoadU(float_tag(), from + r * stride + v * lanes);
            }
        }
    }
    HWY_INLINE void store(float* to, std::size_t stride) const {
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
            for (std::size_t v = 0; v < Vectors; ++v) {
                hn::StoreU(x[r][v], float_tag(), to + r * stride + v * lanes);
            }
        }
    }
    /// x = fma(a[r][p], b[p][...], x), p ascending. Down: a is stored (k, rows), else (rows, k).
    template <bool Down>
    HWY_INLINE void multiply(std::size_t k, matrix_in a, const float* HWY_RESTRICT b,
                             std::size_t b_stride) {
        const float_tag d;
        const float* row[Rows];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) row[r] = a.data + (Down ? r : r * a.stride);
        std::size_t at = 0;
        for (std::size_t p = 0; p < k; ++p) {
            vector bv[Vectors];
#pragma GCC unroll 2
            for (std::size_t v = 0; v < Vectors; ++v) bv[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 8
            for (std::size_t r = 0; r < Rows; ++r) {
                const vector av = hn::Set(d, row[r][at]);
#pragma GCC unroll 2
                for (std::size_t v = 0; v < Vectors; ++v) x[r][v] = hn::MulAdd(av, bv[v], x[r][v]);
            }
            at += Down ? a.stride : 1;
            b += b_stride;
        }
    }
};

/// The first n of a vector's lanes into `out`.
HWY_INLINE void store_first(vector x, float* out, std::size_t n) {
    if (n >= lanes) return hn::StoreU(x, float_tag(), out);
    HWY_ALIGN float buffer[lanes];
    hn::Store(x, float_tag(), buffer);
    std::memcpy(out, buffer, n * sizeof(float));
}

/// out (rows, width, stride) as rows of `padded` floats, the rest +0.
void copy_rows(matrix_in from, std::size_t rows, std::size_t width, std::size_t padded,
               float* out) {
    const float_tag d;
    const std::size_t whole = width / lanes * lanes;
    for (std::size_t r = 0; r < rows; ++r) {
        const float* source = from.data + r * from.stride;
        float* row = out + r * padded;
        for (std::size_t j = 0; j < whole; j += lanes)
            hn::StoreU(hn::LoadU(d, source + j), d, row + j);
        for (std::size_t j = whole; j < padded; ++j) row[j] = j < width ? source[j] : 0.0F;
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

/// Columns p to p + lanes of four rows go to rows p.. of out, which are tile_columns long: 4 x 4
/// transposes in every 128-bit block.
HWY_INLINE void turn_four(const float* HWY_RESTRICT row, std::size_t stride,
                          float* HWY_RESTRICT out) {
    const float_tag d;
    const hn::Repartition<double, float_tag> wide;
    const auto v0 = hn::LoadU(d, row);
    const auto v1 = hn::LoadU(d, row + stride);
    const auto v2 = hn::LoadU(d, row + 2 * stride);
    const auto v3 = hn::LoadU(d, row + 3 * stride);
    const auto low01 = hn::BitCast(wide, hn::InterleaveLower(d, v0, v1));
    const auto low23 = hn::BitCast(wide, hn::InterleaveLower(d, v2, v3));
    const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(d, v0, v1));
    const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(d, v2, v3));
    constexpr std::size_t step = 4 * tile_columns;
    const auto put = [&](hn::Vec<decltype(wide)> v, std::size_t p) HWY_ATTR {
        store_blocks(d, hn::BitCast(d, v), out + p * tile_columns, step);
    };
    put(hn::InterleaveLower(wide, low01, low23), 0);
    put(hn::InterleaveUpper(wide, low01, low23), 1);
    put(hn::InterleaveLower(wide, high01, high23), 2);
    put(hn::InterleaveUpper(wide, high01, high23), 3);
}

/// Floats of `turn_rows`' result.
constexpr std::size_t turned_floats(std::size_t rows, std::size_t width) {
    return (rows + tile_columns - 1) / tile_columns * tile_columns * width;
}

/// from (rows, width) transposed: for each tile_columns rows, (width, tile_columns), the last
/// filled up with +0.
void turn_rows(matrix_in from, std::size_t rows, std::size_t width, float* out) {
    const std::size_t whole = width / lanes * lanes;
    for (std::size_t begin = 0; begin < rows; begin += tile_columns) {
        float* panel = out + begin * width;
        const std::size_t filled = rows - begin < tile_columns ? rows - begin : tile_columns;
        std::size_t r = 0;
        for (; r + 4 <= filled; r += 4) {
            const float* row = from.data + (begin + r) * from.stride;
            for (std::size_t p = 0; p < whole; p += lanes) {
                turn_four(row + p, from.stride, panel + p * tile_columns + r);
            }
            for (std::size_t p = whole; p < width; ++p) {
                for (std::size_t i = 0; i < 4; ++i) {
                    panel[p * tile_columns + r + i] = row[i * from.stride + p];
                }
            }
        }
        for (; r < tile_columns; ++r) {
            const float* row = from.data + (begin + r) * from.stride;
            for (std::size_t p = 0; p < width; ++p) {
                panel[p * tile_columns + r] = r < filled ? row[p] : 0.0F;
            }
        }
    }
}

/// Scores of queries [begin, end) with the keys up to each: c(i, j) = (a[i] . key j) * factor for
/// j <= i, anything for j up to the next multiple of tile_columns. Row `begin` of a and of c is
/// their first. keys: `turn_rows`. Not above the diagonal but for the tiles that it crosses. The
/// rule's addition to +0 is left out: it could only change the sign of a zero, which neither exp
/// nor the flushed gradient shows.
void lower_products(std::size_t begin, std::size_t end, std::size_t width, matrix_in a,
                    const float* keys, float factor, matrix_out c) {
    const vector f = hn::Set(float_tag(), factor);
    for (std::size_t j = 0; j < end; j += tile_columns) {
        const std::size_t first = j > begin ? (j - begin) / tile_rows * tile_rows : 0;
        over_rows(first, end - begin, [&](auto rows, std::size_t i) HWY_ATTR {
            const auto run = [&](auto vectors) HWY_ATTR {
                tile<rows.value, vectors.value> t;
                t.clear();
                t.template multiply<false>(width, {a.data + i * a.stride, a.stride},
                                           keys + j * width, tile_columns);
#pragma GCC unroll 8
                for (auto& row : t.x) {
#pragma GCC unroll 2
                    for (auto& x : row) x = product(x, f);
                }
                t.store(c.data + i * c.stride + j, c.stride);
            };
            const std::size_t last = begin + i + rows.value;  // beyond the tile's last key
            if (last > j + lanes) {
                run(count<tile_vectors>());
            } else if (last > j) {
                run(count<1>());
            }
        });
    }
}

/// out[i] = flush((sum over j <= i of weights(i, j) * values[j]) * factors[i]) by the matrix rule
/// for rows [begin, end), row `begin` of weights, factors and out being their first. Weights must
/// be +0 from i + 1 to i + tile_rows. values: rows of `padded` floats. factors: null for none.
void mix_rows(std::size_t begin, std::size_t end, std::size_t width, std::size_t padded,
              matrix_in weights, const float* values, const float* factors, matrix_out out) {
    over_rows(0, end - begin, [&](auto rows, std::size_t i) HWY_ATTR {
        over_columns(padded, [&](auto vectors, std::size_t c) HWY_ATTR {
            const std::size_t k = begin + i + rows.value;
            tile<rows.value, vectors.value> total;
            total.clear();
            for (std::size_t p = 0; p < k; p += panel_length) {
                tile<rows.value, vectors.value> acc;
                acc.clear();
                acc.template multiply<false>(
                    k - p < panel_length ? k - p : panel_length,
                    {weights.data + i * weights.stride + p, weights.stride},
                    values + p * padded + c, padded);
#pragma GCC unroll 8
                for (std::size_t r = 0; r < rows.value; ++r) {
#pragma GCC unroll 2
                    for (std::size_t v = 0; v < vectors.value; ++v) {
                        total.x[r][v] = hn::Add(total.x[r][v], acc.x[r][v]);
                    }
                }
            }
            for (std::size_t r = 0; r < rows.value; ++r) {
                const vector f = hn::Set(float_tag(), factors == nullptr ? 1.0F : factors[i + r]);
                for (std::size_t v = 0; v < vectors.value; ++v) {
                    const std::size_t at = c + v * lanes;
                    if (at >= width) break;
                    store_first(flushed(product(total.x[r][v], f)),
                                out.data + (i + r) * out.stride + at, width - at);
                }
            }
        });
    });
}

/// acc[j] goes on by weights(i, j) * rows_of_b[i], i ascending over [begin, end), for all j < end:
/// the sum over queries, inside one panel. Weights (row `begin` first) must be +0 from i + 1 to
/// i + tile_rows. b: the row of query `begin` first. acc, b: rows of `padded` floats.
void add_outer(std::size_t begin, std::size_t end, std::size_t padded, matrix_in weights,
               const float* b, float* acc) {
    over_rows(0, end, [&](auto rows, std::size_t j) HWY_ATTR {
        // Queries before a key do not see it.
        const std::size_t skipped = j > begin ? j - begin : 0;
        over_columns(padded, [&](auto vectors, std::size_t c) HWY_ATTR {
            tile<rows.value, vectors.value> t;
            float* place = acc + j * padded + c;
            t.load(place, padded);
            t.template multiply<true>(end - begin - skipped,
                                      {weights.data + skipped * weights.stride + j, weights.stride},
                                      b + skipped * padded + c, padded);
            t.store(place, padded);
        });
    });
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
#endif
