#include "training/numerics/gemm_thin.hpp"

#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/gemm_thin.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

// Rows computed at a time, and vectors beside each other: few rows take more vectors, so that
// enough sums go on at a time to hide the latency of the multiply-add.
#if HWY_TARGET == HWY_AVX2
constexpr std::size_t rows_most = 4;
#else
constexpr std::size_t rows_most = 8;
#endif
constexpr std::size_t wide_rows = rows_most / 2;
constexpr std::size_t wide_vectors = 6;
constexpr std::size_t narrow_vectors = 3;
/// The same for a B that is turned in registers: rows by halves of squares (`turned_step`), and the
/// most of a tile of one vector, which on AVX-512 leaves registers for more.
constexpr std::size_t turned_half_rows = HWY_TARGET == HWY_AVX2 ? 2 : 3;
constexpr std::size_t turned_rows_most = HWY_TARGET == HWY_AVX3 ? 12 : rows_most;
constexpr std::size_t columns_most = wide_vectors * lanes;

/// Rows of A that a turned product may have: they fit an array. A straight one may have so many
/// times the rows computed at a time: then packing B begins to pay.
constexpr std::size_t thin_rows_most = 16;
constexpr std::size_t straight_groups_most = 6;

/// k fetched ahead of their use.
constexpr std::size_t fetch_distance = 16;

/// The sums of some rows and columns over one panel.
struct thin_job {
    std::size_t k;
    const float* a;  ///< element (r, p) at a[r * a_row + p * a_k]
    std::size_t a_row, a_k;
    const float* b;      ///< first column
    std::size_t b_step;  ///< from one row of memory to the next
    float* acc;          ///< out: rows of whole vectors
    // A column of B beside the window, by rows of A in fours (`four_at`).
    const float* odd = nullptr;
    const float* odd_a = nullptr;
    float* odd_acc = nullptr;  ///< out: a sum for each row, whole fours
};

/// Four rows of A, turned: element (r, p) lies at four_at(p) + r. Rows in fours are `fours_step`
/// apart.
using four_tag = hn::CappedTag<float, 4>;
using four_vector = hn::Vec<four_tag>;
constexpr std::size_t fours_step = panel_length * 4;
constexpr std::size_t four_at(std::size_t p) {
    return p / lanes * 4 * lanes + p % 4 * lanes + p % lanes / 4 * 4;
}

template <std::size_t Rows, std::size_t Vectors>
HWY_INLINE void clear(vector (&acc)[Rows][Vectors]) {
#pragma GCC unroll 17
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) acc[r][v] = hn::Zero(float_tag());
    }
}
template <std::size_t Rows, std::size_t Vectors>
HWY_INLINE void store(const vector (&acc)[Rows][Vectors], float* out) {
#pragma GCC unroll 17
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) {
            hn::StoreU(acc[r][v], float_tag(), out + (r * Vectors + v) * lanes);
        }
    }
}

/// B as (k, n).
template <std::size_t Rows, std::size_t Vectors>
void straight_tile(const thin_job& t) {
    const float_tag d;
    vector acc[Rows][Vectors];
    clear(acc);
    // Rows in threes from a pointer each, as x86 addresses reach.
    constexpr std::size_t groups = (Rows + 2) / 3;
    const std::size_t a_row = t.a_row;
    const float* a[groups];
#pragma GCC unroll 8
    for (std::size_t g = 0; g < groups; ++g) a[g] = t.a + 3 * g * a_row;
    const float* HWY_RESTRICT b = t.b;
    const float* ahead = t.b + fetch_distance * t.b_step;
    for (std::size_t p = t.k; p != 0; --p) {
        vector bv[Vectors];
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) bv[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 8
        for (std::size_t j = 0; j < Vectors * lanes; j += 16) __builtin_prefetch(ahead + j);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
            const vector av = hn::Set(d, a[r / 3][r % 3 * a_row]);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
        }
#pragma GCC unroll 8
        for (std::size_t g = 0; g < groups; ++g) a[g] += t.a_k;
        b += t.b_step;
        ahead += t.b_step;
    }
    store(acc, t.acc);
}

/// Rows of A, each third with a pointer of its own (as `strided_rows`).
template <std::size_t Rows>
struct left_rows {
    const float* third[(Rows + 2) / 3];
    std::size_t step;

    HWY_INLINE left_rows(const float* first, std::size_t row_step) : step(row_step) {
#pragma GCC unroll 8
        for (std::size_t i = 0; i < (Rows + 2) / 3; ++i) {
            third[i] = first;
            first += 3 * row_step;
            asm("" : "+r"(first));
        }
    }
    HWY_INLINE const float* operator()(std::size_t r) const {
        return third[r / 3] + r % 3 * step;
    }
    HWY_INLINE void advance(std::size_t k) {
#pragma GCC unroll 8
        for (auto& row : third) row += k;
    }
};

/// acc[r][v] = fma(a(r)[j], turned[j], acc[r][v]), j ascending.
template <std::size_t Step, std::size_t Rows, std::size_t Vectors>
HWY_INLINE void add_turned(const left_rows<Rows>& a, const vector (&turned)[Step], std::size_t v,
                           vector (&acc)[Rows][Vectors]) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < Step; ++j) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
            const vector av = hn::Set(float_tag(), a(r)[j]);
            acc[r][v] = hn::MulAdd(av, turned[j], acc[r][v]);
        }
    }
}

/// acc[g][r] = fma(a[4 g + r][p], b[p], acc[g][r]) for p < Step: one column of B by fours of rows.
template <std::size_t Step, std::size_t Fours>
HWY_INLINE void add_odd(const float* HWY_RESTRICT a, const float* HWY_RESTRICT b,
                        four_vector (&acc)[Fours]) {
    const four_tag d;
#pragma GCC unroll 16
    for (std::size_t j = 0; j < Step; ++j) {
        const four_vector bv = hn::Set(d, b[j]);
#pragma GCC unroll 4
        for (std::size_t g = 0; g < Fours; ++g) {
            acc[g] = hn::MulAdd(bv, hn::LoadU(d, a + g * fours_step + four_at(j)), acc[g]);
        }
    }
}

/// k turned at a time. With one vector by squares; with two by halves of squares, as then two sums
/// go on at a time, or by quarters, which leave registers for more rows.
constexpr std::size_t turned_step(std::size_t rows, std::size_t vectors) {
    if (vectors == 1) return lanes;
    return rows <= turned_half_rows ? short_lanes : 4;
}

/// B as (n, k), turned in registers. `a_k` is 1. With `Odd`, one more column rides along: its sums
/// depend on one another so that alone they would take long.
template <std::size_t Rows, std::size_t Vectors, bool Odd>
void turned_tile(const thin_job& t) {
    const float_tag d;
    constexpr std::size_t step = turned_step(Rows, Vectors);
    vector acc[Rows][Vectors];
    clear(acc);
    constexpr std::size_t fours = (Rows + 3) / 4;
    four_vector odd_acc[fours];
#pragma GCC unroll 4
    for (std::size_t g = 0; g < fours; ++g) odd_acc[g] = hn::Zero(four_tag());
    const std::size_t b_row = t.b_step;
    left_rows<Rows> a(t.a, t.a_row);
    const float* HWY_RESTRICT b = t.b;
    std::size_t p = 0;
    for (; p + step <= t.k; p += step) {
        vector turned[Vectors][step];
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) {
            const strided_rows row(b + v * lanes * b_row, b_row);
            if constexpr (step == lanes) {
                load_turned(row, turned[v]);
            } else if constexpr (step == short_lanes) {
                load_turned_short(row, turned[v]);
            } else {
                load_turned_four(row, turned[v]);
            }
            if constexpr (step != 4 || lanes == 4) add_turned<step>(a, turned[v], v, acc);
        }
        if constexpr (step == 4 && lanes != 4) {
#pragma GCC unroll 4
            for (std::size_t j = 0; j < step; ++j) {
#pragma GCC unroll 8
                for (std::size_t r = 0; r < Rows; ++r) {
                    const vector av = hn::Set(d, a(r)[j]);
#pragma GCC unroll 4
                    for (std::size_t v = 0; v < Vectors; ++v) {
                        acc[r][v] = hn::MulAdd(av, turned[v][j], acc[r][v]);
                    }
                }
            }
        }
        if constexpr (Odd) add_odd<step>(t.odd_a + four_at(p), t.odd + p, odd_acc);
        a.advance(step);
        b += step;
    }
    for (; p < t.k; ++p) {
        if constexpr (Odd) add_odd<1>(t.odd_a + four_at(p), t.odd + p, odd_acc);
#pragma GCC unroll 4
        for (std::size_t v = 0; v < Vectors; ++v) {
            HWY_ALIGN float column[lanes];
            for (std::size_t i = 0; i < lanes; ++i) column[i] = b[(v * lanes + i) * b_row];
            const vector turned[1] = {hn::Load(d, column)};
            add_turned<1>(a, turned, v, acc);
        }
        a.advance(1);
        ++b;
    }
    store(acc, t.acc);
    if constexpr (Odd) {
#pragma GCC unroll 4
        for (std::size_t g = 0; g < fours; ++g) {
            hn::StoreU(odd_acc[g], four_tag(), t.odd_acc + 4 * g);
        }
    }
}

/// B as (n, k) again, the other way round: `Rows` rows of B by the rows of A, which lie turned as
/// vectors (`a`: k after k, Vectors * lanes floats each). acc: (Rows, Vectors * lanes).
template <std::size_t Rows, std::size_t Vectors>
void mirrored_tile(const thin_job& t) {
    const float_tag d;
    vector acc[Rows][Vectors];
    clear(acc);
    constexpr std::size_t groups = (Rows + 2) / 3;
    const std::size_t b_row = t.b_step;
    const float* b[groups];
#pragma GCC unroll 8
    for (std::size_t g = 0; g < groups; ++g) b[g] = t.b + 3 * g * b_row;
    const float* HWY_RESTRICT a = t.a;
    for (std::size_t p = 0; p < t.k;) {
        const std::size_t end = std::min(t.k, p + 16);
#pragma GCC unroll 17
        for (std::size_t r = 0; r < Rows; ++r) __builtin_prefetch(t.b + (Rows + r) * b_row + p);
        for (; p < end; ++p) {
            vector av[Vectors];
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) av[v] = hn::LoadU(d, a + v * lanes);
#pragma GCC unroll 17
            for (std::size_t r = 0; r < Rows; ++r) {
                const vector bv = hn::Set(d, b[r / 3][r % 3 * b_row]);
#pragma GCC unroll 4
                for (std::size_t v = 0; v < Vectors; ++v) {
                    acc[r][v] = hn::MulAdd(bv, av[v], acc[r][v]);
                }
            }
            a += Vectors * lanes;
#pragma GCC unroll 8
            for (std::size_t g = 0; g < groups; ++g) ++b[g];
        }
    }
    store(acc, t.acc);
}

using thin_function = void (*)(const thin_job&);

template <std::size_t Vectors, std::size_t... I>
constexpr std::array<thin_function, sizeof...(I)> straight_tiles(std::index_sequence<I...>) {
    return {&straight_tile<I + 1, Vectors>...};
}
template <std::size_t Vectors, bool Odd, std::size_t... I>
constexpr std::array<thin_function, sizeof...(I)> turned_tiles(std::index_sequence<I...>) {
    return {&turned_tile<I + 1, Vectors, Odd>...};
}
// By rows - 1.
constexpr auto straight_wide = straight_tiles<wide_vectors>(std::make_index_sequence<wide_rows>());
constexpr auto straight_narrow =
    straight_tiles<narrow_vectors>(std::make_index_sequence<rows_most>());
constexpr auto straight_single = straight_tiles<1>(std::make_index_sequence<rows_most>());
constexpr auto turned_double = turned_tiles<2, false>(std::make_index_sequence<rows_most>());
constexpr auto turned_double_odd = turned_tiles<2, true>(std::make_index_sequence<rows_most>());
constexpr auto turned_single = turned_tiles<1, false>(std::make_index_sequence<turned_rows_most>());
constexpr auto turned_single_odd =
    turned_tiles<1, true>(std::make_index_sequence<turned_rows_most>());

/// Rows of B of a mirrored tile by vectors of A's rows: sums enough to hide the latency.
constexpr std::size_t mirrored_rows(std::size_t vectors) {
    return lanes == 16 ? 16 : vectors == 1 ? 8 : 4;
}
constexpr std::size_t mirrored_vectors = thin_rows_most / lanes;
/// Fewer rows of A would fill their vectors badly: then turning B takes less time.
constexpr std::size_t mirrored_left_rows =
    HWY_TARGET == HWY_AVX3 ? turned_rows_most + 1 : lanes / 2 + 1;
/// But a B of more floats comes from memory, and mirrored tiles fetch it ahead: there they are
/// better as soon as turning in registers gets along with one vector.
constexpr std::size_t cached_floats = std::size_t{1} << 22;

template <std::size_t More, std::size_t... I>
constexpr std::array<thin_function, sizeof...(I)> mirrored_tiles(std::index_sequence<I...>) {
    return {&mirrored_tile<mirrored_rows(I + 1) + More, I + 1>...};
}
/// By vectors - 1; and with one row of B more, for when one would be left alone.
constexpr auto mirrored = mirrored_tiles<0>(std::make_index_sequence<mirrored_vectors>());
constexpr auto mirrored_taller = mirrored_tiles<1>(std::make_index_sequence<mirrored_vectors>());

/// One product, and what becomes of its C.
struct thin_product {
    const gemm_options& o;
    gemm_shape s;
    matrix_in a, b;
    matrix_out c;

    /// After the panel [p, p + k), whose sums are `acc`: `columns` of row r from column j on.
    void finish(const float* HWY_RESTRICT acc, std::size_t r, std::size_t j, std::size_t columns,
                std::size_t p, std::size_t k) const {
        const float_tag d;
        const bool add = o.accumulate || p > 0;
        const bool last = p + k == s.k;
        const bool flush = o.flush && last;
        const float* bias = last && o.bias != nullptr ? o.bias + j : nullptr;
        float* HWY_RESTRICT row = c.data + r * c.stride + j;
        const vector limit = hn::Set(d, flush ? smallest_operand : 0.0F);
        std::size_t i = 0;
        for (; i + lanes <= columns; i += lanes) {
            vector x = hn::Add(add ? hn::LoadU(d, row + i) : hn::Zero(d), hn::LoadU(d, acc + i));
            if (bias != nullptr) x = hn::Add(x, hn::LoadU(d, bias + i));
            hn::StoreU(hn::IfThenZeroElse(hn::Lt(hn::Abs(x), limit), x), d, row + i);
        }
        for (; i < columns; ++i) {
            float x = (add ? row[i] : 0.0F) + acc[i];
            if (bias != nullptr) x = x + bias[i];
            row[i] = flush ? numerics::flush(x) : x;
        }
    }
};

/// Columns computed together: a window of B, of which the last `columns` are new.
struct window {
    std::size_t first, columns, vectors;
};

/// The window that starts at `j` or, where fewer columns than it has are left, ends at `end`: those
/// before j are computed again and thrown away. end >= lanes.
window next_window(std::size_t j, std::size_t end, std::size_t wide, std::size_t narrow) {
    const std::size_t left = end - j;
    std::size_t vectors = wide;
    if (left < wide * lanes) vectors = left > 2 * lanes && end >= narrow * lanes ? narrow : 1;
    const std::size_t columns = std::min(left, vectors * lanes);
    return {j + columns - vectors * lanes, columns, vectors};
}

/// All rows of A by one window of B as (k, n) over one panel, by tiles of `most` rows. b: the
/// window's first element.
void run_window(const thin_product& t, std::size_t most, std::size_t p, const window& w,
                std::size_t j, matrix_in b) {
    alignas(64) float acc[rows_most * columns_most];
    const bool tn = t.o.form == gemm_form::tn;
    const std::size_t k = std::min(panel_length, t.s.k - p);
    for (std::size_t r = 0; r < t.s.m; r += most) {
        const std::size_t rows = std::min(most, t.s.m - r);
        const thin_job job{.k = k,
                           .a = t.a.data + (tn ? p * t.a.stride + r : r * t.a.stride + p),
                           .a_row = tn ? 1 : t.a.stride,
                           .a_k = tn ? t.a.stride : 1,
                           .b = b.data,
                           .b_step = b.stride,
                           .acc = acc};
        const thin_function* tiles = straight_single.data();
        if (w.vectors == narrow_vectors) tiles = straight_narrow.data();
        if (w.vectors == wide_vectors) tiles = straight_wide.data();
        tiles[rows - 1](job);
        for (std::size_t i = 0; i < rows; ++i) {
            t.finish(acc + i * w.vectors * lanes + (j - w.first), r + i, j, w.columns, p, k);
        }
    }
}

/// True where rows of B share so few places of the first cache that a few of them drive each other
/// out: they are a multiple of 2 KiB apart.
bool rows_collide(const thin_product& t) {
    return t.b.stride % 512 == 0;
}

/// B as (k, n): panels first, for then B is read along its rows.
void run_straight(const thin_product& t, std::size_t most, std::size_t begin, std::size_t end) {
    const std::size_t wide = most <= wide_rows ? wide_vectors : narrow_vectors;
    // What is read more than once and would not stay in the first cache is copied.
    const bool copies = most < t.s.m && rows_collide(t);
    alignas(64) float copy[panel_length * narrow_vectors * lanes];
    for (std::size_t p = 0; p < t.s.k; p += panel_length) {
        for (std::size_t j = begin; j < end;) {
            const window w = next_window(j, end, wide, narrow_vectors);
            matrix_in b{t.b.data + p * t.b.stride + w.first, t.b.stride};
            if (copies) {
                const std::size_t width = w.vectors * lanes;
                for (std::size_t q = 0; q < std::min(panel_length, t.s.k - p); ++q) {
                    const float* HWY_RESTRICT row = b.data + q * b.stride;
                    for (std::size_t i = 0; i < width; i += lanes) {
                        hn::Store(hn::LoadU(float_tag(), row + i), float_tag(),
                                  copy + q * width + i);
                    }
                }
                b = {copy, width};
            }
            run_window(t, most, p, w, j, b);
            j += w.columns;
        }
    }
}

/// `rows` rows of A from row r over a panel in fours (`four_at`); what fills up the last four does
/// not matter.
void turn_fours(const thin_product& t, std::size_t r, std::size_t rows, std::size_t first,
                std::size_t k, float* HWY_RESTRICT at) {
    const float_tag d;
    for (std::size_t g = 0; g < rows; g += 4, at += fours_step) {
        const float* row[4];
        for (std::size_t i = 0; i < 4; ++i) {
            row[i] = t.a.data + (r + std::min(g + i, rows - 1)) * t.a.stride + first;
        }
        std::size_t p = 0;
        for (; p + lanes <= k; p += lanes) {
            vector v[4];
#pragma GCC unroll 4
            for (std::size_t i = 0; i < 4; ++i) v[i] = hn::LoadU(d, row[i] + p);
            transpose_blocks(d, v);
#pragma GCC unroll 4
            for (std::size_t i = 0; i < 4; ++i) hn::StoreU(v[i], d, at + 4 * p + i * lanes);
        }
        for (; p < k; ++p) {
            for (std::size_t i = 0; i < 4; ++i) at[four_at(p) + i] = row[i][p];
        }
    }
}

/// Columns left beside whole vectors that ride along with windows, one each. More than these are
/// better computed as a vector of their own.
constexpr std::size_t odd_columns_most = 3;

/// A panel of one window of B as (n, k), and perhaps an odd column, by tiles of `most` rows.
void run_turned_window(const thin_product& t, std::size_t most, std::size_t p, const window& w,
                       std::size_t j, const std::size_t* odd) {
    alignas(64) float acc[turned_rows_most * 2 * lanes];
    alignas(64) float odd_a[fours_step * ((turned_rows_most + 3) / 4)];
    alignas(64) float odd_acc[turned_rows_most];
    const std::size_t k = std::min(panel_length, t.s.k - p);
    for (std::size_t r = 0; r < t.s.m; r += most) {
        const std::size_t rows = std::min(most, t.s.m - r);
        thin_job job{.k = k,
                     .a = t.a.data + r * t.a.stride + p,
                     .a_row = t.a.stride,
                     .a_k = 1,
                     .b = t.b.data + w.first * t.b.stride + p,
                     .b_step = t.b.stride,
                     .acc = acc};
        if (odd != nullptr) {
            turn_fours(t, r, rows, p, k, odd_a);
            job.odd = t.b.data + *odd * t.b.stride + p;
            job.odd_a = odd_a;
            job.odd_acc = odd_acc;
            (w.vectors == 2 ? turned_double_odd.data() : turned_single_odd.data())[rows - 1](job);
        } else {
            (w.vectors == 2 ? turned_double.data() : turned_single.data())[rows - 1](job);
        }
        for (std::size_t i = 0; i < rows; ++i) {
            t.finish(acc + i * w.vectors * lanes + (j - w.first), r + i, j, w.columns, p, k);
            if (odd != nullptr) t.finish(odd_acc + i, r + i, *odd, 1, p, k);
        }
    }
}

/// B as (n, k): columns first, for the same reason.
void run_turned(const thin_product& t, std::size_t begin, std::size_t end) {
    const std::size_t single = t.s.m > rows_most ? turned_rows_most : rows_most;
    const std::size_t groups = (t.s.m + single - 1) / single;
    const std::size_t most = (t.s.m + groups - 1) / groups;
    const std::size_t wide = rows_collide(t) || most > rows_most ? 1 : 2;
    const std::size_t left = (end - begin) % lanes;
    const bool rides = left <= odd_columns_most && left <= (end - begin) / (wide * lanes);
    const std::size_t whole = rides ? end - left : end;
    std::size_t odd = whole;
    for (std::size_t j = begin; j < whole;) {
        const window w = next_window(j, whole, wide, 1);
        for (std::size_t p = 0; p < t.s.k; p += panel_length) {
            run_turned_window(t, most, p, w, j, odd < end ? &odd : nullptr);
        }
        j += w.columns;
        ++odd;
    }
}

/// at[p * width + r] = A(r, first + p) for p < k; what stands beside the rows of A does not matter.
void turn_left(const thin_product& t, std::size_t first, std::size_t k, std::size_t width,
               float* at) {
    for (std::size_t r = 0; r < width; r += lanes) {
        const auto row = [&](std::size_t i) {
            return t.a.data + std::min(r + i, t.s.m - 1) * t.a.stride + first;
        };
        std::size_t p = 0;
        for (; p + lanes <= k; p += lanes) {
            vector turned[lanes];
            load_turned([&](std::size_t i) { return row(i) + p; }, turned);
            for (std::size_t j = 0; j < lanes; ++j) {
                hn::StoreU(turned[j], float_tag(), at + (p + j) * width + r);
            }
        }
        for (; p < k; ++p) {
            for (std::size_t i = 0; i < lanes; ++i) at[p * width + r + i] = row(i)[p];
        }
    }
}

/// B as (n, k), more rows of A: panels first, since each turns A. end >= mirrored_rows.
void run_mirrored(const thin_product& t, std::size_t vectors, std::size_t begin, std::size_t end) {
    const std::size_t width = vectors * lanes;
    const std::size_t height = mirrored_rows(vectors);
    alignas(64) float turned_a[panel_length * thin_rows_most];
    alignas(64) float acc[(thin_rows_most + 1) * thin_rows_most];
    alignas(64) float row[lanes];
    for (std::size_t p = 0; p < t.s.k; p += panel_length) {
        const std::size_t k = std::min(panel_length, t.s.k - p);
        turn_left(t, p, k, width, turned_a);
        for (std::size_t j = begin; j < end; j += height) {
            const std::size_t columns = std::min(height, end - j);
            const std::size_t first = j + columns - height;
            const bool taller = end - j == height + 1;
            const thin_job job{.k = k,
                               .a = turned_a,
                               .a_row = 0,
                               .a_k = 0,
                               .b = t.b.data + first * t.b.stride + p,
                               .b_step = t.b.stride,
                               .acc = acc};
            if (taller) {
                mirrored_taller[vectors - 1](job);
            } else {
                mirrored[vectors - 1](job);
            }
            // The sums are C turned: by squares back.
            for (std::size_t r = 0; r < t.s.m; r += lanes) {
                for (std::size_t i = 0; i < height; i += lanes) {
                    const auto sums = [&](std::size_t at) {
                        return acc + std::min(i + at, height - 1) * width + r;
                    };
                    vector turned[lanes];
                    load_turned(sums, turned);
                    // Of rows [first + i, first + i + lanes) of B, those from j to the end are new.
                    const std::size_t from = std::max(j, first + i);
                    const std::size_t to = std::min(first + height, first + i + lanes);
                    for (std::size_t at = 0; at < std::min(lanes, t.s.m - r) && from < to; ++at) {
                        hn::Store(turned[at], float_tag(), row);
                        t.finish(row + (from - first - i), r + at, from, to - from, p, k);
                    }
                }
            }
            if (!taller) continue;
            for (std::size_t r = 0; r < t.s.m; ++r) {
                t.finish(acc + height * width + r, r, end - 1, 1, p, k);
            }
            break;
        }
    }
}

void run_thin(const gemm_options& o, gemm_shape s, matrix_in a, matrix_in b, matrix_out c,
              std::size_t begin, std::size_t end) {
    const thin_product t{o, s, a, b, c};
    const std::size_t groups = (s.m + rows_most - 1) / rows_most;
    const std::size_t most = (s.m + groups - 1) / groups;
    if (o.form != gemm_form::nt) return run_straight(t, most, begin, end);
    const std::size_t vectors = (s.m + lanes - 1) / lanes;
    const bool mirrors = s.m >= mirrored_left_rows ||
                         (HWY_TARGET == HWY_AVX3 && s.m > rows_most && s.n * s.k > cached_floats);
    if (mirrors && end >= mirrored_rows(vectors)) {
        return run_mirrored(t, vectors, begin, end);
    }
    run_turned(t, begin, end);
}

bool is_thin_here(gemm_form form, gemm_shape shape) {
    const std::size_t most =
        form == gemm_form::nt ? thin_rows_most : straight_groups_most * rows_most;
    return shape.m > 0 && shape.m <= most && shape.k > 0 && shape.n >= lanes;
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

bool is_thin(gemm_form form, gemm_shape shape) {
    TEQUIO_RETURN_VECTOR(is_thin_here(form, shape));
    return false;
}

void multiply_thin(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                   matrix_out c, std::size_t begin, std::size_t end) {
    TEQUIO_RETURN_VECTOR(run_thin(options, shape, a, b, c, begin, end));
    base::ensure(false, "thin products have a vector target");
}

}  // namespace tequio::training::numerics
#endif
