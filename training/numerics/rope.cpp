#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/rope.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/rope.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// Turns n <= lanes pairs. In a short one the lanes beyond hold zeros.
HWY_INLINE void turn_pairs(vector c, vector s, vector& a, vector& b) {
    const vector ac = product(a, c);
    const vector bc = product(b, c);
    const vector first = flushed(hn::NegMulAdd(b, s, ac));
    b = flushed(hn::MulAdd(a, s, bc));
    a = first;
}

/// Heads of one token. cosine, sine: its position's row of the table.
void rope_row(float* x, const float* cosine, const float* sine, std::size_t heads, std::size_t half,
              bool back) {
    const float_tag d;
    // A flipped sign bit is the exact negative.
    const vector sign = hn::Set(d, back ? -0.0F : 0.0F);
    for (std::size_t h = 0; h < heads; ++h, x += 2 * half) {
        std::size_t i = 0;
        for (; i + lanes <= half; i += lanes) {
            vector a = hn::LoadU(d, x + i);
            vector b = hn::LoadU(d, x + half + i);
            turn_pairs(hn::LoadU(d, cosine + i), hn::Xor(hn::LoadU(d, sine + i), sign), a, b);
            hn::StoreU(a, d, x + i);
            hn::StoreU(b, d, x + half + i);
        }
        if (i == half) continue;
        const std::size_t rest = (half - i) * sizeof(float);
        HWY_ALIGN float buffers[4][lanes] = {};
        std::memcpy(buffers[0], x + i, rest);
        std::memcpy(buffers[1], x + half + i, rest);
        std::memcpy(buffers[2], cosine + i, rest);
        std::memcpy(buffers[3], sine + i, rest);
        vector a = hn::Load(d, buffers[0]);
        vector b = hn::Load(d, buffers[1]);
        turn_pairs(hn::Load(d, buffers[2]), hn::Xor(hn::Load(d, buffers[3]), sign), a, b);
        hn::Store(a, d, buffers[0]);
        hn::Store(b, d, buffers[1]);
        std::memcpy(x + i, buffers[0], rest);
        std::memcpy(x + half + i, buffers[1], rest);
    }
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

// The reference target never comes here: rope turns to the reference.
void rope_row(float* x, const float* cosine, const float* sine, std::size_t heads, std::size_t half,
              bool back) {
    TEQUIO_RETURN_VECTOR(rope_row(x, cosine, sine, heads, half, back));
}

}  // namespace

void rope(const rope_rows& x, const rope_table& table, rope_turn turn, executor& run) {
    const std::size_t elements = x.tokens * x.heads * x.head_width;
    run.note({"rope", 3 * elements, 8 * elements});
    if (active_target() == simd_target::reference) return rope_reference(x, table, turn);
    const std::size_t half = x.head_width / 2;
    const bool back = turn == rope_turn::backward;
    const auto grain = row_grain(x.heads * x.head_width);
    for_pieces(x.tokens, grain, run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) {
            const std::size_t at = p % x.time * half;
            rope_row(x.data + p * x.stride, table.cosine + at, table.sine + at, x.heads, half,
                     back);
        }
    });
}

}  // namespace tequio::training::numerics
#endif
