#include "training/numerics/gemm_blocked.hpp"

#include <algorithm>

#include "training/numerics/gemm_shares.hpp"
#include "training/numerics/gemm_tiles.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training::numerics {

namespace {

/// Floats of a block, about, if all threads share it and if each has its own. It stays in the last
/// cache either way.
constexpr std::size_t shared_block_floats = std::size_t{3} << 19;
constexpr std::size_t own_block_floats = std::size_t{1} << 20;
/// More threads never pack blocks of their own.
constexpr unsigned own_block_threads = 4;

/// What of the strips' side the second cache of a core holds at a time.
struct strip_sizes {
    std::size_t k;     ///< of a group of panels
    std::size_t rows;  ///< of a strip of A (a strip of B is a tile wide)
};
constexpr strip_sizes strips_most{4 * panel_length, 96};
strip_sizes strip_sizes_of(simd_target target) {
    // Processors with AVX-512 have 1 MiB, others as little as a quarter of that.
    return target == simd_target::avx512 ? strips_most : strip_sizes{2 * panel_length, 48};
}

std::size_t parts_of(std::size_t n, std::size_t most) {
    return (n + most - 1) / most;
}

/// [0, n) in nearly equal parts that start at multiples of `unit`.
struct even_cut {
    std::size_t n, unit, count;
    even_cut(std::size_t size, std::size_t unit_size, std::size_t parts)
        : n(size), unit(unit_size), count(std::clamp<std::size_t>(parts, 1, units())) {}
    std::size_t units() const { return parts_of(n, unit); }
    std::size_t begin(std::size_t i) const { return std::min(n, i * units() / count * unit); }
    std::size_t size(std::size_t i) const { return begin(i + 1) - begin(i); }
};

/// One product, its operands as they lie in memory.
struct product {
    const gemm_options& options;
    gemm_shape shape;
    matrix_in a, b;
    matrix_out c;

    bool tn() const { return options.form == gemm_form::tn; }
    bool nt() const { return options.form == gemm_form::nt; }
    matrix_in left(std::size_t row, std::size_t p) const {
        return {a.data + (tn() ? p * a.stride + row : row * a.stride + p), a.stride};
    }
    matrix_in right(std::size_t p, std::size_t column) const {
        return {b.data + (nt() ? column * b.stride + p : p * b.stride + column), b.stride};
    }
    matrix_out result(std::size_t row, std::size_t column) const {
        return {c.data + row * c.stride + column, c.stride};
    }
    void fetch_left(fetch_plan& plan, unit_range rows, unit_range k) const {
        const bool turned = tn();
        plan.add(left(rows.begin, k.begin), turned ? k.size() : rows.size(),
                 turned ? rows.size() : k.size());
    }
    void fetch_right(fetch_plan& plan, unit_range columns, unit_range k) const {
        const bool turned = nt();
        plan.add(right(k.begin, columns.begin), turned ? columns.size() : k.size(),
                 turned ? k.size() : columns.size());
    }
    /// What becomes of C in the panels of [p, p + k); bias from this column on.
    block_end end(std::size_t p, std::size_t k, std::size_t column) const {
        const bool last = p + k == shape.k;
        return {.add = options.accumulate || p > 0,
                .resume = false,
                .flush = options.flush && last,
                .bias = last && options.bias != nullptr ? options.bias + column : nullptr};
    }
};

/// A block and a group of panels: rows or columns from `first` on, k from `p` on.
struct part {
    std::size_t first = 0, size = 0, p = 0, k = 0;
    unit_range ks() const { return {p, p + k}; }
};

/// True if each of `threads` should pack a block for itself: that costs little beside computing its
/// part of `split` rows (or columns) with it, and no thread waits for others or reads what another
/// core wrote, which between two dies of an EPYC takes longer than packing.
bool packs_own_blocks(std::size_t split, unsigned threads) {
    const std::size_t many = threads;
    return threads == 1 || (threads <= own_block_threads && split >= 64 * many * many);
}

std::size_t strip_floats(gemm_shape s) {
    return strips_most.rows * round_up(std::min(strips_most.k, s.k), 16);
}
std::size_t block_floats(gemm_shape s, std::size_t aim) {
    const std::size_t k = std::min(strips_most.k, s.k);
    const std::size_t all = round_up(std::max(s.m, s.n), 64) * k;
    return round_up(std::min(aim + tile_columns_most * k, all), 16);
}
std::size_t blocks_floats(gemm_shape s, unsigned threads) {
    // Monotonic in the threads, too: five share one block, but four need room for four.
    const std::size_t own =
        std::min(threads, own_block_threads) * block_floats(s, own_block_floats);
    return threads == 1 ? own : std::max(own, block_floats(s, shared_block_floats));
}

/// One product. One operand is packed by blocks that stay in the last cache, the other one by
/// strips that stay in a core's second cache, and what a strip is packed from is fetched while the
/// strip before it is computed. The block is packed along with computing its first strip: packing
/// alone would wait for memory.
class blocked_product {
public:
    blocked_product(const product& p, float* workspace, executor& run)
        : m_(p),
          pieces_(run, workspace),
          tile_(active_tile()),
          sizes_(strip_sizes_of(active_target())),
          groups_(p.shape.k, panel_length, parts_of(p.shape.k, sizes_.k)),
          strip_floats_(strip_floats(p.shape)),
          strips_(workspace + run.threads() * share_floats),
          blocks_(strips_ + run.threads() * strip_floats_) {}

    void compute() {
        const gemm_shape& s = m_.shape;
        const std::size_t room = own_block_floats / groups_.size(0);
        // What blocks are made of is packed once, and waits for memory; strips are packed once for
        // every block, but cost a third.
        const bool rows = s.m + s.n * parts_of(s.m, room) / 3 < s.n + s.m * parts_of(s.n, room) / 3;
        own_blocks_ = packs_own_blocks(rows ? s.n : s.m, pieces_.threads());
        block_floats_ = own_blocks_ ? block_floats(s, own_block_floats) : 0;
        const std::size_t most =
            (own_blocks_ ? own_block_floats : shared_block_floats) / groups_.size(0);
        const even_cut blocks = rows ? even_cut(s.m, tile_.rows, parts_of(s.m, most))
                                     : even_cut(s.n, tile_.columns, parts_of(s.n, most));
        const std::size_t parts = blocks.count * groups_.count;
        const auto part_at = [&](std::size_t i) -> part {
            if (i == parts) return {};
            const std::size_t b = i / groups_.count, g = i % groups_.count;
            return {blocks.begin(b), blocks.size(b), groups_.begin(g), groups_.size(g)};
        };
        for (std::size_t i = 0; i < parts; ++i) {
            if (rows) {
                block_of_rows(part_at(i), part_at(i + 1));
            } else {
                block_of_columns(part_at(i), part_at(i + 1));
            }
        }
    }

private:
    float* strip(unsigned thread) { return strips_ + thread * strip_floats_; }
    float* block(unsigned thread) { return blocks_ + thread * block_floats_; }

    /// [tiles of rows), as rows of `rows`.
    unit_range rows_of(unit_range tiles, std::size_t rows) const {
        return {std::min(rows, tiles.begin * tile_.rows), std::min(rows, tiles.end * tile_.rows)};
    }
    /// [tiles of columns), as columns of `columns`.
    unit_range columns_of(unit_range tiles, std::size_t columns) const {
        return {std::min(columns, tile_start(tile_, columns, tiles.begin)),
                std::min(columns, tile_start(tile_, columns, tiles.end))};
    }

    // Blocks of rows; strips of a tile's columns.

    void pack_strip_of_columns(unsigned thread, unit_range columns, const part& g) {
        pack_right(m_.options.form, m_.right(g.p, columns.begin),
                   {strip(thread), columns.size(), g.k}, 0, columns.size(), 0, g.k);
    }
    void run_rows(const float* block, unit_range rows, unsigned thread, unit_range columns,
                  const part& g, fetch_plan ahead) {
        run_block({rows.size(), columns.size(), g.k}, {block, g.size, g.k, 0, 0}, rows.begin,
                  {strip(thread), columns.size(), g.k}, 0,
                  m_.result(g.first + rows.begin, columns.begin), m_.end(g.p, g.k, columns.begin),
                  ahead);
    }
    /// Packs some of the block's rows and computes them with the thread's strip.
    void pack_and_run_rows(float* block, unit_range tiles, unsigned thread, unit_range columns,
                           const part& g, const fetch_plan& ahead) {
        const unit_range rows = rows_of(tiles, g.size);
        pack_left(m_.options.form, m_.left(g.first, g.p), {block, g.size, g.k}, rows.begin,
                  rows.size(), 0, g.k);
        run_rows(block, rows, thread, columns, g, ahead);
    }
    void fetch_block_rows(fetch_plan& plan, unit_range tiles, const part& g) const {
        const unit_range rows = rows_of(tiles, g.size);
        m_.fetch_left(plan, {g.first + rows.begin, g.first + rows.end}, g.ks());
    }
    /// The thread's own block and its first strip.
    void own_block_of_rows(unsigned thread, unit_range columns, const part& g,
                           const fetch_plan& after) {
        const std::size_t tiles = parts_of(g.size, tile_.rows);
        const std::size_t step = sizes_.rows / tile_.rows;
        for (std::size_t t = 0; t < tiles; t += step) {
            const unit_range here{t, std::min(tiles, t + step)};
            fetch_plan ahead(m_.a.data);
            fetch_block_rows(ahead, {here.end, std::min(tiles, here.end + step)}, g);
            pack_and_run_rows(block(thread), here, thread, columns, g,
                              here.end < tiles ? ahead : after);
        }
    }

    void block_of_rows(const part& g, const part& after) {
        const std::size_t n = m_.shape.n;
        std::size_t done = 0;  // tiles of columns
        if (!own_blocks_) {
            done = 1;
            const unit_range columns = columns_of({0, 1}, n);
            pieces_.each(parts_of(g.size, tile_.rows), sizes_.rows / tile_.rows, 4,
                         columns.size() * g.k * tile_.rows, [&](const piece_turn& turn) {
                             if (turn.first) pack_strip_of_columns(turn.thread, columns, g);
                             fetch_plan ahead(m_.a.data);
                             if (!turn.wraps) fetch_block_rows(ahead, turn.next, g);
                             pack_and_run_rows(blocks_, turn.piece, turn.thread, columns, g, ahead);
                         });
        }
        const auto columns_at = [&](unit_range t) {
            return columns_of({t.begin + done, t.end + done}, n);
        };
        pieces_.each(
            tile_count(tile_, n) - done, 1, 1, tile_.columns * g.k * g.size,
            [&](const piece_turn& turn) {
                const unit_range columns = columns_at(turn.piece);
                fetch_plan ahead(m_.b.data);
                m_.fetch_right(ahead, columns_at(turn.next), turn.wraps ? after.ks() : g.ks());
                if (turn.wraps) fetch_block_rows(ahead, {0, after.size}, after);
                pack_strip_of_columns(turn.thread, columns, g);
                if (own_blocks_ && turn.first) {
                    own_block_of_rows(turn.thread, columns, g, ahead);
                } else {
                    run_rows(block(turn.thread), {0, g.size}, turn.thread, columns, g, ahead);
                }
            });
    }

    // Blocks of columns; strips of rows.

    left_operand packed_strip(unsigned thread, unit_range rows, const part& g) {
        return {strip(thread), rows.size(), g.k, 0, 0};
    }
    /// Packed, or where they lie: with few columns packing them would cost more than it saves.
    bool reads_directly(const part& g) const { return !m_.tn() && g.size <= 2 * tile_.columns; }
    left_operand strip_of_rows(unsigned thread, unit_range rows, const part& g) {
        const matrix_in a = m_.left(rows.begin, g.p);
        if (reads_directly(g)) return {a.data, rows.size(), g.k, a.stride, 1};
        pack_left(m_.options.form, a, {strip(thread), rows.size(), g.k}, 0, rows.size(), 0, g.k);
        return packed_strip(thread, rows, g);
    }
    void run_columns(const float* block, unit_range columns, const left_operand& left,
                     std::size_t row, const part& g, fetch_plan ahead) {
        run_block({left.rows, columns.size(), g.k}, left, 0, {block, g.size, g.k}, columns.begin,
                  m_.result(row, g.first + columns.begin),
                  m_.end(g.p, g.k, g.first + columns.begin), ahead);
    }
    /// Packs some of the block's columns and computes them with the strip of rows from `row` on.
    void pack_and_run_columns(float* block, unit_range tiles, const left_operand& left,
                              std::size_t row, const part& g, const fetch_plan& ahead) {
        const unit_range columns = columns_of(tiles, g.size);
        pack_right(m_.options.form, m_.right(g.p, g.first), {block, g.size, g.k}, columns.begin,
                   columns.size(), 0, g.k);
        run_columns(block, columns, left, row, g, ahead);
    }
    void fetch_block_columns(fetch_plan& plan, unit_range tiles, const part& g) const {
        const unit_range columns = columns_of(tiles, g.size);
        m_.fetch_right(plan, {g.first + columns.begin, g.first + columns.end}, g.ks());
    }
    /// The thread's own block and its first strip.
    void own_block_of_columns(unsigned thread, const left_operand& left, std::size_t row,
                              const part& g, const fetch_plan& after) {
        const std::size_t tiles = tile_count(tile_, g.size);
        for (std::size_t t = 0; t < tiles; ++t) {
            fetch_plan ahead(m_.b.data);
            fetch_block_columns(ahead, {t + 1, t + 2}, g);
            pack_and_run_columns(block(thread), {t, t + 1}, left, row, g,
                                 t + 1 < tiles ? ahead : after);
        }
    }

    void block_of_columns(const part& g, const part& after) {
        const std::size_t m = m_.shape.m;
        unit_range done;  // rows
        if (!own_blocks_) {
            done.end = std::min(m, sizes_.rows);
            pieces_.each(tile_count(tile_, g.size), 1, 1, done.size() * g.k * tile_.columns,
                         [&](const piece_turn& turn) {
                             const bool there = !turn.first && !reads_directly(g);
                             const left_operand left = there ? packed_strip(turn.thread, done, g)
                                                             : strip_of_rows(turn.thread, done, g);
                             fetch_plan ahead(m_.b.data);
                             if (!turn.wraps) fetch_block_columns(ahead, turn.next, g);
                             pack_and_run_columns(blocks_, turn.piece, left, 0, g, ahead);
                         });
        }
        const std::size_t rest = m - done.end;
        const auto rows_at = [&](unit_range t) -> unit_range {
            const unit_range rows = rows_of(t, rest);
            return {done.end + rows.begin, done.end + rows.end};
        };
        pieces_.each(
            parts_of(rest, tile_.rows), sizes_.rows / tile_.rows, 4, g.size * g.k * tile_.rows,
            [&](const piece_turn& turn) {
                const unit_range rows = rows_at(turn.piece);
                fetch_plan ahead(m_.a.data);
                m_.fetch_left(ahead, rows_at(turn.next), turn.wraps ? after.ks() : g.ks());
                if (turn.wraps) fetch_block_columns(ahead, {0, 1}, after);
                const left_operand left = strip_of_rows(turn.thread, rows, g);
                if (own_blocks_ && turn.first) {
                    own_block_of_columns(turn.thread, left, rows.begin, g, ahead);
                } else {
                    run_columns(block(turn.thread), {0, g.size}, left, rows.begin, g, ahead);
                }
            });
    }

    const product& m_;
    piece_runner pieces_;
    tile_shape tile_;
    strip_sizes sizes_;
    even_cut groups_;
    std::size_t strip_floats_;
    float* strips_;                 ///< one for each thread
    float* blocks_;                 ///< one for all threads, or for each
    std::size_t block_floats_ = 0;  ///< from one thread's block to the next
    bool own_blocks_ = false;
};

}  // namespace

void multiply_blocked(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                      matrix_out c, float* workspace, executor& run) {
    const product p{options, shape, a, b, c};
    blocked_product(p, workspace, run).compute();
}

std::size_t blocked_floats(gemm_shape shape, unsigned threads) {
    return threads * (share_floats + strip_floats(shape)) + blocks_floats(shape, threads);
}

}  // namespace tequio::training::numerics
