#pragma once

/// What a product is made of: packed operands, and blocks of C computed from them tile by tile, on
/// the calling thread, by the vector target in use. gemm_blocked.cpp and gemm_serial.cpp cut
/// products into blocks. Not for the reference target, nor for empty operands.

#include <cstddef>

#include "training/numerics/gemm.hpp"
#include "training/numerics/split.hpp"

namespace tequio::training::numerics {

/// The tile of C that stays in registers over a panel.
struct tile_shape {
    std::size_t rows;     ///< most rows; the last tile of a block has fewer
    std::size_t columns;  ///< most columns, a multiple of lanes
    std::size_t lanes;    ///< floats of a vector
};
/// The active target's.
tile_shape active_tile();

/// The most columns that a tile of any target has, and a size that all their columns divide.
inline constexpr std::size_t tile_columns_most = 48;

/// Tiles of `columns` columns, and the column that tile `index` starts at (for index = count:
/// `columns` rounded up to a vector). All tiles are full but the last one or two: where one vector
/// would be left alone, the tile before gives it another, for a tile of one vector is slow.
std::size_t tile_count(const tile_shape& tile, std::size_t columns);
std::size_t tile_start(const tile_shape& tile, std::size_t columns, std::size_t index);

/// A left operand (rows, k). Packed: panel after panel, in it tile after tile, in it k after k;
/// nothing is padded. Not packed: where it lies.
struct left_operand {
    const float* data;
    std::size_t rows, k;   ///< packed: all of them
    std::size_t row_step;  ///< not packed: element (i, p) is data[i * row_step + p * k_step]
    std::size_t k_step;    ///< 0: packed
};

/// A right operand (k, columns), packed likewise; columns are padded to a vector with +0.
struct right_operand {
    const float* data;
    std::size_t columns, k;  ///< all of them
};

/// Where an operand is packed to: k floats for each row of A, or column of B (rounded up to a
/// vector), at 64-byte alignment.
struct packing {
    float* data;
    std::size_t extent;  ///< rows of A or columns of B, all of them
    std::size_t k;       ///< all of it
};

/// Packs rows [row, row + rows) of A over [p, p + k). `a`: at the operand's first row and first k.
/// `row` starts a tile; the rows end where a tile or the operand ends. Unless form is tn, `p`
/// starts a panel, and k ends where a panel or the operand ends.
void pack_left(gemm_form form, matrix_in a, const packing& to, std::size_t row, std::size_t rows,
               std::size_t p, std::size_t k);
/// The same for columns of B; p and k are free unless form is nt.
void pack_right(gemm_form form, matrix_in b, const packing& to, std::size_t column,
                std::size_t columns, std::size_t p, std::size_t k);

/// What happens to a block of C.
struct block_end {
    bool add;           ///< C starts at its old value, else at +0
    bool resume;        ///< one panel: acc starts at C and is stored as it is; nothing else happens
    bool flush;         ///< after the last panel
    const float* bias;  ///< after the last panel: of the block's first column; or null
};

/// Parts of matrices in memory that will be packed soon, the first sooner: fetched into the cache
/// bit by bit while tiles are computed. Fetching harms nothing anywhere: no address is too far.
class fetch_plan {
public:
    /// Floats of a row fetched at a time.
    static constexpr std::size_t piece = 48;

    /// Nothing to fetch; `idle`: any address.
    explicit fetch_plan(const float* idle) : idle_(idle) {}
    /// Adds a part; the third and later ones are left out, as are empty ones.
    void add(matrix_in data, std::size_t rows, std::size_t width) {
        if (rows == 0 || width == 0 || count_ == 2) return;
        parts_[count_++] = {data, rows, width};
    }
    /// Where the next `count` rows' piece stands; with nothing left, one place again and again.
    void take(std::size_t count, const float*& data, std::size_t& step) {
        data = idle_;
        step = 0;
        if (at_ == count_) return;
        const fetch_part& now = parts_[at_];
        data = now.data.data + row_ * now.data.stride + column_;
        step = now.data.stride;
        row_ += count;
        if (row_ < now.rows) return;
        row_ = 0;
        column_ += piece;
        if (column_ < now.width) return;
        column_ = 0;
        ++at_;
    }

private:
    struct fetch_part {
        matrix_in data;
        std::size_t rows, width;
    };
    const float* idle_;
    fetch_part parts_[2] = {};
    std::size_t count_ = 0;
    std::size_t at_ = 0, row_ = 0, column_ = 0;  ///< where it goes on
};

/// C (m, n) from rows [row, row + m) of `a` and columns [column, column + n) of `b`, over k of both
/// from their start. `row` and `column` start tiles. What `ahead` names is fetched on the way.
void run_block(gemm_shape shape, const left_operand& a, std::size_t row, const right_operand& b,
               std::size_t column, matrix_out c, const block_end& end, fetch_plan& ahead);

}  // namespace tequio::training::numerics
