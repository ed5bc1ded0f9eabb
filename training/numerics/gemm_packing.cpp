#include "training/numerics/gemm_tiles.hpp"

#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/gemm_packing.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "base/ensure.hpp"
#include "training/numerics/gemm_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

/// Floats of a cache line.
constexpr std::size_t line = 16;

/// out[p * width + r] = source[r * stride + p] for r < lanes, p < k.
HWY_INLINE void transpose_squares(const float* HWY_RESTRICT source, std::size_t stride,
                                  std::size_t k, std::size_t width, float* HWY_RESTRICT out) {
    std::size_t p = 0;
    for (; p + lanes <= k; p += lanes) {
        const float* HWY_RESTRICT at = source + p;
        if (p % line == 0) {
#pragma GCC unroll 16
            for (std::size_t r = 0; r < lanes; ++r) __builtin_prefetch(at + (r + lanes) * stride);
        }
        vector turned[lanes];
        load_turned([=](std::size_t i) { return at + i * stride; }, turned);
#pragma GCC unroll 16
        for (std::size_t j = 0; j < lanes; ++j) {
            hn::StoreU(turned[j], float_tag(), out + (p + j) * width);
        }
    }
    for (; p < k; ++p) {
        for (std::size_t r = 0; r < lanes; ++r) out[p * width + r] = source[r * stride + p];
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

/// `transpose_squares` for four rows.
HWY_INLINE void transpose_four(const float* HWY_RESTRICT source, std::size_t stride, std::size_t k,
                               std::size_t width, float* HWY_RESTRICT out) {
    const float_tag d;
    std::size_t p = 0;
    for (; p + lanes <= k; p += lanes) {
        vector v[4];
#pragma GCC unroll 4
        for (std::size_t r = 0; r < 4; ++r) {
            __builtin_prefetch(source + (r + 4) * stride + p);
            v[r] = hn::LoadU(d, source + r * stride + p);
        }
        transpose_blocks(d, v);
#pragma GCC unroll 4
        for (std::size_t j = 0; j < 4; ++j) store_blocks(d, v[j], out + (p + j) * width, 4 * width);
    }
    for (; p < k; ++p) {
        for (std::size_t r = 0; r < 4; ++r) out[p * width + r] = source[r * stride + p];
    }
}

#if HWY_TARGET == HWY_AVX3
/// `transpose_squares` for eight rows.
HWY_INLINE void transpose_eight(const float* HWY_RESTRICT source, std::size_t stride, std::size_t k,
                                std::size_t width, float* HWY_RESTRICT out) {
    const float_tag d;
    const hn::Half<float_tag> half;
    std::size_t p = 0;
    for (; p + lanes <= k; p += lanes) {
        vector v[8];
#pragma GCC unroll 8
        for (std::size_t r = 0; r < 8; ++r) {
            __builtin_prefetch(source + (r + 8) * stride + p);
            v[r] = hn::LoadU(d, source + r * stride + p);
        }
        transpose_blocks(d, v);
        transpose_blocks(d, v + 4);
        vector even[4], odd[4];
        join_blocks<float_tag>(v, v + 4, even, odd);
#pragma GCC unroll 4
        for (std::size_t j = 0; j < 4; ++j) {
            float* HWY_RESTRICT to = out + (p + j) * width;
            hn::StoreU(hn::LowerHalf(half, even[j]), half, to);
            hn::StoreU(hn::LowerHalf(half, odd[j]), half, to + 4 * width);
            hn::StoreU(hn::UpperHalf(half, even[j]), half, to + 8 * width);
            hn::StoreU(hn::UpperHalf(half, odd[j]), half, to + 12 * width);
        }
    }
    for (; p < k; ++p) {
        for (std::size_t r = 0; r < 8; ++r) out[p * width + r] = source[r * stride + p];
    }
}
#endif

/// out[p * width + r] = source[r * stride + p] for r < rows, p < k, and 0 for rows <= r < width.
void pack_transposed(const float* HWY_RESTRICT source, std::size_t stride, std::size_t rows,
                     std::size_t k, std::size_t width, float* HWY_RESTRICT out) {
    std::size_t r = 0;
    for (; r + lanes <= rows; r += lanes) {
        transpose_squares(source + r * stride, stride, k, width, out + r);
    }
#if HWY_TARGET == HWY_AVX3
    for (; r + 8 <= rows; r += 8) {
        transpose_eight(source + r * stride, stride, k, width, out + r);
    }
#endif
    for (; r + 4 <= rows; r += 4) {
        transpose_four(source + r * stride, stride, k, width, out + r);
    }
    for (; r < width; ++r) {
        for (std::size_t p = 0; p < k; ++p) {
            out[p * width + r] = r < rows ? source[r * stride + p] : 0.0F;
        }
    }
}

/// Rows of memory copied before going to the next tile: their pages stay in the TLB.
constexpr std::size_t straight_rows = 16;

/// out[p * Width + j] = source[p * stride + j] for j < Width, p < k. The width is fixed, since the
/// compiler makes a call of memmove out of a copy of unknown length.
template <class Tag, std::size_t Width>
HWY_INLINE void copy_rows(Tag tag, const float* HWY_RESTRICT source, std::size_t stride,
                          std::size_t k, float* HWY_RESTRICT out) {
    constexpr std::size_t step = hn::MaxLanes(Tag());
    static_assert(Width % step == 0);
    for (std::size_t p = 0; p < k; ++p) {
#pragma GCC unroll 8
        for (std::size_t j = 0; j < Width; j += step) {
            hn::StoreU(hn::LoadU(tag, source + p * stride + j), tag, out + p * Width + j);
        }
#pragma GCC unroll 8
        for (std::size_t j = 0; j < Width; j += line) {
            __builtin_prefetch(source + (p + straight_rows) * stride + j);
        }
    }
}

/// out[p * width + j] = source[p * stride + j] for j < columns, p < k, and 0 up to width.
void pack_straight(const float* HWY_RESTRICT source, std::size_t stride, std::size_t columns,
                   std::size_t k, std::size_t width, float* HWY_RESTRICT out) {
    if (columns == tile_columns) {
        return copy_rows<float_tag, tile_columns>(float_tag(), source, stride, k, out);
    }
    if (columns == tile_rows && width == tile_rows) {
        using tag = hn::CappedTag<float, tile_rows>;
        return copy_rows<tag, tile_rows>(tag(), source, stride, k, out);
    }
    for (std::size_t p = 0; p < k; ++p) {
        std::memcpy(out + p * width, source + p * stride, columns * sizeof(float));
        for (std::size_t j = columns; j < width; ++j) out[p * width + j] = 0.0F;
    }
}

/// Calls body(first, width) for each tile of some rows of A.
template <class Body>
HWY_INLINE void over_left(std::size_t row, std::size_t rows, Body body) {
    for (std::size_t r = row; r < row + rows; r += tile_rows) {
        body(r, std::min(tile_rows, row + rows - r));
    }
}
/// Calls body(first, columns in memory, width packed) for each tile of some columns of B.
template <class Body>
HWY_INLINE void over_right(const packing& to, std::size_t column, std::size_t columns, Body body) {
    const std::size_t padded = round_up(to.extent, lanes);
    for (std::size_t j = column; j < column + columns;) {
        const std::size_t width = next_vectors((padded - j) / lanes) * lanes;
        body(j, std::min(width, to.extent - j), width);
        j += width;
    }
}

/// A stretch of k inside a panel of a packed operand.
struct stretch {
    std::size_t panel, panel_k;  ///< where its panel starts, and how long it is
    std::size_t first, k;
};
/// Calls body(stretch) for pieces of [p, p + k) of at most `most`.
template <class Body>
HWY_INLINE void over_k(const packing& to, std::size_t p, std::size_t k, std::size_t most,
                       Body body) {
    for (std::size_t q = p; q < p + k;) {
        const std::size_t panel = q / panel_length * panel_length;
        const std::size_t panel_k = std::min(panel_length, to.k - panel);
        const std::size_t length = std::min({most, panel + panel_k - q, p + k - q});
        body(stretch{panel, panel_k, q, length});
        q += length;
    }
}

void pack_left_here(gemm_form form, matrix_in a, const packing& to, std::size_t row,
                    std::size_t rows, std::size_t p, std::size_t k) {
    const auto place = [&](const stretch& s, std::size_t r, std::size_t height) {
        return to.data + s.panel * to.extent + r * s.panel_k + (s.first - s.panel) * height;
    };
    if (form == gemm_form::tn) {
        over_k(to, p, k, straight_rows, [&](const stretch& s) HWY_ATTR {
            over_left(row, rows, [&](std::size_t r, std::size_t height) HWY_ATTR {
                pack_straight(a.data + s.first * a.stride + r, a.stride, height, s.k, height,
                              place(s, r, height));
            });
        });
        return;
    }
    over_left(row, rows, [&](std::size_t r, std::size_t height) HWY_ATTR {
        over_k(to, p, k, panel_length, [&](const stretch& s) HWY_ATTR {
            pack_transposed(a.data + r * a.stride + s.first, a.stride, height, s.k, height,
                            place(s, r, height));
        });
    });
}

void pack_right_here(gemm_form form, matrix_in b, const packing& to, std::size_t column,
                     std::size_t columns, std::size_t p, std::size_t k) {
    const std::size_t padded = round_up(to.extent, lanes);
    const auto place = [&](const stretch& s, std::size_t j, std::size_t width) {
        return to.data + s.panel * padded + j * s.panel_k + (s.first - s.panel) * width;
    };
    if (form != gemm_form::nt) {
        over_k(to, p, k, straight_rows, [&](const stretch& s) HWY_ATTR {
            over_right(to, column, columns,
                       [&](std::size_t j, std::size_t filled, std::size_t width) HWY_ATTR {
                           pack_straight(b.data + s.first * b.stride + j, b.stride, filled, s.k,
                                         width, place(s, j, width));
                       });
        });
        return;
    }
    over_right(to, column, columns,
               [&](std::size_t j, std::size_t filled, std::size_t width) HWY_ATTR {
                   over_k(to, p, k, panel_length, [&](const stretch& s) HWY_ATTR {
                       pack_transposed(b.data + j * b.stride + s.first, b.stride, filled, s.k,
                                       width, place(s, j, width));
                   });
               });
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

void pack_left(gemm_form form, matrix_in a, const packing& to, std::size_t row, std::size_t rows,
               std::size_t p, std::size_t k) {
    TEQUIO_RETURN_VECTOR(pack_left_here(form, a, to, row, rows, p, k));
    base::ensure(false, "operands are packed for a vector target");
}

void pack_right(gemm_form form, matrix_in b, const packing& to, std::size_t column,
                std::size_t columns, std::size_t p, std::size_t k) {
    TEQUIO_RETURN_VECTOR(pack_right_here(form, b, to, column, columns, p, k));
    base::ensure(false, "operands are packed for a vector target");
}

}  // namespace tequio::training::numerics
#endif
