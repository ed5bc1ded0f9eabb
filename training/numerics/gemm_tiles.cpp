#include "training/numerics/gemm_tiles.hpp"

#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/gemm_tiles.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gemm_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

/// Floats of a cache line.
constexpr std::size_t line = 16;

/// k between two rounds of prefetching in a tile, and packed lines fetched in a round. A tile needs
/// its next neighbours' rows of C soon, the packed operand that is streamed through the second
/// cache a little later, and what is packed next while all tiles of a strip are computed.
constexpr std::size_t round_k = 8;
constexpr std::size_t round_lines = 4;

/// One tile over one panel.
struct tile_job {
    std::size_t k;
    const float* a;  ///< element (r, p) at a[r * a_row + p * a_k]
    std::size_t a_row, a_k;
    const float* b;  ///< vectors of k = p at b + p * b_k
    std::size_t b_k;
    float* c;
    std::size_t c_row;
    std::size_t last;     ///< columns of the last vector that are C's; all but on AVX-512
    bool add;             ///< C = C + acc; else C = +0 + acc
    bool resume;          ///< acc starts at C and is stored as it is
    const float* c_next;  ///< rows of C that come next
    const float* stream;  ///< packed floats that come next
    std::size_t stream_step;
    const float* ahead;  ///< rows in memory to be packed later
    std::size_t ahead_row;
};

alignas(64) constexpr float zeros[tile_columns] = {};

// The last vector of a row of C may be cut: nothing is read or written beside C. Elsewhere than on
// AVX-512, where it costs nothing, cut tiles go through a buffer (`narrow_tile`).
#if HWY_TARGET == HWY_AVX3
constexpr bool cuts_vectors = true;
using cut_mask = hn::Mask<float_tag>;
HWY_INLINE cut_mask mask_of(std::size_t last) {
    return hn::FirstN(float_tag(), last);
}
HWY_INLINE vector load_cut(cut_mask mask, const float* place) {
    return hn::MaskedLoad(mask, float_tag(), place);
}
HWY_INLINE void store_cut(vector v, cut_mask mask, float* place) {
    hn::BlendedStore(v, mask, float_tag(), place);
}
#else
constexpr bool cuts_vectors = false;
struct cut_mask {};
HWY_INLINE cut_mask mask_of(std::size_t) {
    return {};
}
HWY_INLINE vector load_cut(cut_mask, const float* place) {
    return hn::LoadU(float_tag(), place);
}
HWY_INLINE void store_cut(vector v, cut_mask, float* place) {
    hn::StoreU(v, float_tag(), place);
}
#endif

/// What a tile fetches for later, a round at a time.
class fetch_rounds {
public:
    HWY_INLINE explicit fetch_rounds(const tile_job& t)
        : c_(t.c_next),
          stream_(t.stream),
          ahead_(t.ahead),
          c_row_(t.c_row),
          stream_step_(t.stream_step),
          ahead_row_(t.ahead_row) {}

    /// Every line that rows of `Floats` floats touch, at any alignment.
    template <std::size_t Floats>
    HWY_INLINE void next() {
        // Into the first cache what this tile's successor needs, into the second what comes later.
#pragma GCC unroll 4
        for (std::size_t i = 0; i < Floats; i += line) __builtin_prefetch(c_ + i, 1);
        __builtin_prefetch(c_ + Floats - 1, 1);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < fetch_plan::piece; i += line) {
            __builtin_prefetch(ahead_ + i, 0, 2);
        }
        __builtin_prefetch(ahead_ + fetch_plan::piece - 1, 0, 2);
#pragma GCC unroll 4
        for (std::size_t i = 0; i < round_lines; ++i) {
            __builtin_prefetch(stream_ + i * line, 0, 2);
        }
        c_ += c_row_;
        ahead_ += ahead_row_;
        stream_ += stream_step_;
    }

private:
    const float *c_, *stream_, *ahead_;
    std::size_t c_row_, stream_step_, ahead_row_;
};

template <std::size_t Rows, std::size_t Vectors>
void tile(const tile_job& t) {
    const float_tag d;
    constexpr std::size_t whole = Vectors - 1;
    const cut_mask mask = mask_of(t.last);
    vector acc[Rows][Vectors];
    const std::size_t c_row = t.c_row;
    float* c = t.c;
    // Where acc starts: C, or +0 by a row step of 0. (The same loop twice would cost code.)
    const float* from = t.resume ? c : zeros;
    std::size_t from_row = t.resume ? c_row : 0;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < whole; ++v) acc[r][v] = hn::LoadU(d, from + v * lanes);
        acc[r][whole] = load_cut(mask, from + whole * lanes);
        from += from_row;
    }
    // Rows in threes from a pointer each: x86 addresses reach base, base + step and base + 2 step.
    constexpr std::size_t groups = (Rows + 2) / 3;
    const std::size_t a_row = t.a_row;
    const std::size_t a_k = t.a_k;
    const std::size_t b_k = t.b_k;
    const float* a[groups];
#pragma GCC unroll 8
    for (std::size_t g = 0; g < groups; ++g) a[g] = t.a + 3 * g * a_row;
    const float* HWY_RESTRICT b = t.b;
    fetch_rounds fetch(t);
    for (std::size_t left = t.k; left != 0;) {
        fetch.next<Vectors * lanes>();
        std::size_t p = left < round_k ? left : round_k;
        left -= p;
        do {
            vector bv[Vectors];
#pragma GCC unroll 4
            for (std::size_t v = 0; v < Vectors; ++v) bv[v] = hn::LoadU(d, b + v * lanes);
#pragma GCC unroll 16
            for (std::size_t r = 0; r < Rows; ++r) {
                const vector av = hn::Set(d, a[r / 3][r % 3 * a_row]);
#pragma GCC unroll 4
                for (std::size_t v = 0; v < Vectors; ++v) {
                    acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
                }
            }
#pragma GCC unroll 8
            for (std::size_t g = 0; g < groups; ++g) a[g] += a_k;
            b += b_k;
        } while (--p != 0);
    }
    if (t.resume) {
#pragma GCC unroll 16
        for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
            for (std::size_t v = 0; v < whole; ++v) hn::StoreU(acc[r][v], d, c + v * lanes);
            store_cut(acc[r][whole], mask, c + whole * lanes);
            c += c_row;
        }
        return;
    }
    from = t.add ? c : zeros;
    from_row = t.add ? c_row : 0;
#pragma GCC unroll 16
    for (std::size_t r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
        for (std::size_t v = 0; v < whole; ++v) {
            hn::StoreU(hn::Add(hn::LoadU(d, from + v * lanes), acc[r][v]), d, c + v * lanes);
        }
        store_cut(hn::Add(load_cut(mask, from + whole * lanes), acc[r][whole]), mask,
                  c + whole * lanes);
        from += from_row;
        c += c_row;
    }
}

using tile_function = void (*)(const tile_job&);

template <std::size_t... I>
constexpr std::array<tile_function, sizeof...(I)> make_tiles(std::index_sequence<I...>) {
    return {&tile<I / tile_vectors + 1, I % tile_vectors + 1>...};
}

/// By (rows - 1) * tile_vectors + (vectors - 1).
constexpr auto tiles = make_tiles(std::make_index_sequence<tile_rows * tile_vectors>());

/// A tile of which only `columns` of its `full` width belong to C.
HWY_NOINLINE void narrow_tile(tile_function run, std::size_t rows, std::size_t columns,
                              std::size_t full, tile_job job) {
    alignas(64) float buffer[tile_rows * tile_columns] = {};
    float* c = job.c;
    const std::size_t c_row = job.c_row;
    for (std::size_t r = 0; (job.add || job.resume) && r < rows; ++r) {
        std::memcpy(buffer + r * full, c + r * c_row, columns * sizeof(float));
    }
    job.c = buffer;
    job.c_row = full;
    job.last = lanes;
    run(job);
    for (std::size_t r = 0; r < rows; ++r) {
        std::memcpy(c + r * c_row, buffer + r * full, columns * sizeof(float));
    }
}

/// What comes after the last panel: bias (at the first column, or null) and flush.
HWY_NOINLINE void finish_tile(std::size_t rows, std::size_t columns, matrix_out c, bool flush,
                              const float* bias) {
    const float_tag d;
    const vector limit = hn::Set(d, flush ? smallest_operand : 0.0F);
    for (std::size_t r = 0; r < rows; ++r) {
        float* row = c.data + r * c.stride;
        std::size_t j = 0;
        for (; j + lanes <= columns; j += lanes) {
            vector x = hn::LoadU(d, row + j);
            if (bias != nullptr) x = hn::Add(x, hn::LoadU(d, bias + j));
            hn::StoreU(hn::IfThenZeroElse(hn::Lt(hn::Abs(x), limit), x), d, row + j);
        }
        for (; j < columns; ++j) {
            if (bias != nullptr) row[j] = row[j] + bias[j];
            if (flush) row[j] = numerics::flush(row[j]);
        }
    }
}

/// One column of tiles over one panel.
struct tile_column {
    std::size_t p, k;         ///< the panel; k used
    std::size_t full, width;  ///< columns packed, and columns of C
    const float* b;
    std::size_t b_k;       ///< k packed
    float* c;              ///< first row
    const float* c_after;  ///< where C goes on
    bool only;             ///< no other column of tiles follows in the block
    bool finishes;         ///< bias and flush come after this panel
    const float* bias;     ///< at the first column, or null
};

void run_column(const tile_column& t, gemm_shape shape, const left_operand& a, std::size_t row,
                std::size_t c_row, const block_end& end, fetch_plan& ahead) {
    const std::size_t a_k = std::min(panel_length, a.k - t.p);
    const std::size_t rounds = (t.k + round_k - 1) / round_k;
    const bool cut = t.width != t.full && !(cuts_vectors && t.width > t.full - lanes);
    const tile_function* by_height = tiles.data() + (t.full / lanes - 1);
    tile_job job;
    job.k = t.k;
    job.b = t.b;
    job.b_k = t.full;
    job.c_row = c_row;
    job.last = cuts_vectors && !cut ? t.width - (t.full - lanes) : lanes;
    job.add = end.add || t.p > 0;
    job.resume = end.resume;
    for (std::size_t r = 0; r < shape.m; r += tile_rows) {
        const std::size_t height = std::min(tile_rows, shape.m - r);
        if (a.k_step == 0) {
            job.a = a.data + t.p * a.rows + (row + r) * a_k;
            job.a_row = 1;
            job.a_k = height;
        } else {
            job.a = a.data + (row + r) * a.row_step + t.p * a.k_step;
            job.a_row = a.row_step;
            job.a_k = a.k_step;
        }
        job.c = t.c + r * c_row;
        job.c_next = r + tile_rows < shape.m ? job.c + tile_rows * c_row : t.c_after;
        // The next tile's columns of B, bit by bit; in the last column of tiles, A two tiles on.
        job.stream = t.only ? job.a + 2 * tile_rows * t.k
                            : t.b + t.full * t.b_k + r / tile_rows * rounds * round_lines * line;
        job.stream_step = t.only ? round_k * tile_rows : round_lines * line;
        ahead.take(rounds, job.ahead, job.ahead_row);
        const tile_function run = by_height[(height - 1) * tile_vectors];
        if (cut) {
            narrow_tile(run, height, t.width, t.full, job);
        } else {
            run(job);
        }
        if (t.finishes) finish_tile(height, t.width, {job.c, c_row}, end.flush, t.bias);
    }
}

void run_block_here(gemm_shape shape, const left_operand& a, std::size_t row,
                    const right_operand& b, std::size_t column, matrix_out c, const block_end& end,
                    fetch_plan& ahead) {
    const std::size_t padded = round_up(b.columns, lanes);
    for (std::size_t j = 0; j < shape.n;) {
        const std::size_t full = next_vectors((padded - column - j) / lanes) * lanes;
        const std::size_t width = std::min(full, shape.n - j);
        for (std::size_t p = 0; p < shape.k; p += panel_length) {
            const std::size_t k = std::min(panel_length, shape.k - p);
            const std::size_t b_k = std::min(panel_length, b.k - p);
            const bool last = p + k == shape.k;
            const tile_column tiles_here{.p = p,
                                         .k = k,
                                         .full = full,
                                         .width = width,
                                         .b = b.data + p * padded + (column + j) * b_k,
                                         .b_k = b_k,
                                         .c = c.data + j,
                                         .c_after = c.data + j + (last ? width : 0),
                                         .only = j + full >= shape.n,
                                         .finishes = last && (end.flush || end.bias != nullptr),
                                         .bias = end.bias == nullptr ? nullptr : end.bias + j};
            run_column(tiles_here, shape, a, row, c.stride, end, ahead);
        }
        j += full;
    }
}

constexpr tile_shape tile_here{tile_rows, tile_columns, lanes};

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

tile_shape active_tile() {
    TEQUIO_RETURN_VECTOR(tile_here);
    return {1, 1, 1};
}

std::size_t tile_count(const tile_shape& tile, std::size_t columns) {
    return (columns + tile.columns - 1) / tile.columns;
}

std::size_t tile_start(const tile_shape& tile, std::size_t columns, std::size_t index) {
    const std::size_t count = tile_count(tile, columns);
    const std::size_t vectors = round_up(columns, tile.lanes) / tile.lanes;
    const std::size_t tile_vectors = tile.columns / tile.lanes;
    if (index >= count) return vectors * tile.lanes;
    const bool shortened =
        index > 0 && index + 1 == count && vectors % tile_vectors == 1 && tile_vectors > 1;
    return index * tile.columns - (shortened ? tile.lanes : 0);
}

void run_block(gemm_shape shape, const left_operand& a, std::size_t row, const right_operand& b,
               std::size_t column, matrix_out c, const block_end& end, fetch_plan& ahead) {
    TEQUIO_RETURN_VECTOR(run_block_here(shape, a, row, b, column, c, end, ahead));
    base::ensure(false, "blocks are computed by a vector target");
}

}  // namespace tequio::training::numerics
#endif
