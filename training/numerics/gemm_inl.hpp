// Included per target (hwy/foreach_target.h) by what products are made of: the shape of a tile, and
// transposes in registers. The guard toggles because one file includes this several times.

#if defined(TEQUIO_GEMM_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TEQUIO_GEMM_INL
#undef TEQUIO_GEMM_INL
#else
#define TEQUIO_GEMM_INL
#endif

#include <hwy/highway.h>

#include <cstddef>

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using float_tag = hn::ScalableTag<float>;
using vector = hn::Vec<float_tag>;
constexpr std::size_t lanes = hn::MaxLanes(float_tag());

// The tile of C held in registers: tile_rows x (tile_vectors vectors). 24 accumulators hide the
// latency of the multiply-add on AVX-512 and NEON (32 registers), 12 on AVX2 (16 registers).
constexpr std::size_t tile_rows = HWY_TARGET == HWY_AVX2 ? 4 : 8;
constexpr std::size_t tile_vectors = 3;
constexpr std::size_t tile_columns = tile_vectors * lanes;

/// Vectors of the next tile of B when `left` are left (`tile_start` in gemm_tiles.hpp).
HWY_INLINE std::size_t next_vectors(std::size_t left) {
    if (left == tile_vectors + 1) return tile_vectors - 1;
    return left < tile_vectors ? left : tile_vectors;
}

#if HWY_TARGET == HWY_AVX3
/// Blocks 0 and 2 of a, then of b. One instruction that Highway has no name for.
HWY_INLINE vector even_blocks(vector a, vector b) {
    return vector{_mm512_shuffle_f32x4(a.raw, b.raw, 0x88)};
}
/// Blocks 1 and 3 of a, then of b.
HWY_INLINE vector odd_blocks(vector a, vector b) {
    return vector{_mm512_shuffle_f32x4(a.raw, b.raw, 0xDD)};
}
#endif

/// Half of a long vector, a whole one elsewhere.
using short_tag = hn::CappedTag<float, 8>;
constexpr std::size_t short_lanes = hn::MaxLanes(short_tag());

/// 4 x 4 transposes in every 128-bit block: element i of v[j] becomes element j of v[i].
template <class Tag>
HWY_INLINE void transpose_blocks(Tag tag, hn::Vec<Tag>* v) {
    const hn::Repartition<double, Tag> wide;
    const auto low01 = hn::BitCast(wide, hn::InterleaveLower(tag, v[0], v[1]));
    const auto low23 = hn::BitCast(wide, hn::InterleaveLower(tag, v[2], v[3]));
    const auto high01 = hn::BitCast(wide, hn::InterleaveUpper(tag, v[0], v[1]));
    const auto high23 = hn::BitCast(wide, hn::InterleaveUpper(tag, v[2], v[3]));
    v[0] = hn::BitCast(tag, hn::InterleaveLower(wide, low01, low23));
    v[1] = hn::BitCast(tag, hn::InterleaveUpper(wide, low01, low23));
    v[2] = hn::BitCast(tag, hn::InterleaveLower(wide, high01, high23));
    v[3] = hn::BitCast(tag, hn::InterleaveUpper(wide, high01, high23));
}

/// Two groups of four vectors after `transpose_blocks`: blocks 0 and 1, and 2 and 3, change places
/// so that even[j] holds the groups' even blocks beside each other, odd[j] the odd ones.
template <class Tag>
HWY_INLINE void join_blocks(const hn::Vec<Tag>* first, const hn::Vec<Tag>* second,
                            hn::Vec<Tag>* even, hn::Vec<Tag>* odd) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
        even[j] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(second[j]), first[j]);
        odd[j] = hn::OddEvenBlocks(second[j], hn::SwapAdjacentBlocks(first[j]));
    }
}

/// Rows of memory, `step` floats apart. Every third has a pointer: x86 addresses reach the two that
/// follow. Left alone, the compiler keeps one for each row, mostly on the stack.
struct strided_rows {
    const float* third[(lanes + 2) / 3];
    std::size_t step;

    HWY_INLINE strided_rows(const float* first, std::size_t row_step) : step(row_step) {
        for (std::size_t i = 0; i < (lanes + 2) / 3; ++i) {
            third[i] = first;
            first += 3 * row_step;
            asm("" : "+r"(first));
        }
    }
    HWY_INLINE const float* operator()(std::size_t i) const { return third[i / 3] + i % 3 * step; }
};

/// 128 bits from each of `count` rows: first, first + 4, ...
template <class Tag, class Rows>
HWY_INLINE hn::Vec<Tag> load_quarters(Tag tag, const Rows& row, std::size_t first) {
    constexpr std::size_t n = hn::MaxLanes(Tag());
    if constexpr (n == 4) {
        return hn::LoadU(tag, row(first));
    } else {
        const hn::Half<Tag> half;
        return hn::Combine(tag, load_quarters(half, row, first + n / 2),
                           load_quarters(half, row, first));
    }
}

/// v[j]: element j of as many rows as a vector has lanes, for j < 4. row(i): where row i starts.
template <class Rows>
HWY_INLINE void load_turned_four(const Rows& row, vector (&v)[4]) {
    const float_tag d;
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) v[j] = load_quarters(d, row, j);
    transpose_blocks(d, v);
}

/// The same for j < short_lanes.
template <class Rows>
HWY_INLINE void load_turned_short(Rows row, vector (&v)[short_lanes]) {
    const float_tag d;
#if HWY_TARGET == HWY_AVX3
    const short_tag half;
    const auto load = [&](std::size_t i) HWY_ATTR {
        return hn::Combine(d, hn::LoadU(half, row(i + 4)), hn::LoadU(half, row(i)));
    };
    vector w[8];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 4; ++i) {
        w[i] = load(i);
        w[4 + i] = load(8 + i);
    }
    transpose_blocks(d, w);
    transpose_blocks(d, w + 4);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
        v[j] = even_blocks(w[j], w[4 + j]);
        v[4 + j] = odd_blocks(w[j], w[4 + j]);
    }
#else
#pragma GCC unroll 8
    for (std::size_t i = 0; i < short_lanes; ++i) v[i] = hn::LoadU(d, row(i));
    transpose_blocks(d, v);
    if constexpr (short_lanes == 8) {
        transpose_blocks(d, v + 4);
        vector even[4];
        join_blocks<float_tag>(v, v + 4, even, v + 4);
#pragma GCC unroll 4
        for (std::size_t j = 0; j < 4; ++j) v[j] = even[j];
    }
#endif
}

/// The same for j < lanes: each row is read once, so that rows that share a place in the first
/// cache do not drive each other out.
template <class Rows>
HWY_INLINE void load_turned(Rows row, vector (&v)[lanes]) {
#if HWY_TARGET == HWY_AVX3
    const float_tag d;
    vector w[16];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < 16; ++i) w[i] = hn::LoadU(d, row(i));
#pragma GCC unroll 4
    for (std::size_t g = 0; g < 16; g += 4) transpose_blocks(d, w + g);
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) {
        const vector low_even = even_blocks(w[j], w[4 + j]);
        const vector low_odd = odd_blocks(w[j], w[4 + j]);
        const vector high_even = even_blocks(w[8 + j], w[12 + j]);
        const vector high_odd = odd_blocks(w[8 + j], w[12 + j]);
        v[j] = even_blocks(low_even, high_even);
        v[4 + j] = even_blocks(low_odd, high_odd);
        v[8 + j] = odd_blocks(low_even, high_even);
        v[12 + j] = odd_blocks(low_odd, high_odd);
    }
#else
    load_turned_short(row, v);
#endif
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
#endif
