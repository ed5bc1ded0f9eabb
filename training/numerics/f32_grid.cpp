#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/f32_grid.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "base/ensure.hpp"
#include "training/numerics/f32_grid.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {
namespace {

using int_tag = hn::RebindToSigned<float_tag>;
using bits_tag = hn::Rebind<std::uint32_t, float_tag>;
/// Two words of 64 bits for each sum; a vector has half as many as it has floats.
using word_tag = hn::ScalableTag<std::uint64_t>;
using word_vector = hn::Vec<word_tag>;
constexpr std::size_t words = lanes / 2;

/// x on the grid; zeros of both signs as +0.
HWY_INLINE vector on_grid(vector x) {
    const float_tag d;
    const vector magic = hn::Set(d, 0x1p-57F);
    const vector size = hn::Abs(x);
    const vector near = hn::Sub(hn::Add(size, magic), magic);
    const vector rounded = hn::IfThenElse(hn::Lt(size, magic), near, size);
    const auto sign = hn::AndNot(hn::BitCast(d, hn::Set(bits_tag(), 0x7fffffffU)), x);
    return hn::IfThenZeroElse(hn::Eq(rounded, hn::Zero(d)), hn::Or(rounded, sign));
}

/// The largest magnitude seen, as bits: numbers order like them, infinities and NaN above all.
HWY_INLINE hn::Vec<int_tag> larger(hn::Vec<int_tag> largest, vector x) {
    const int_tag di;
    const auto bits = hn::And(hn::BitCast(di, x), hn::Set(di, 0x7fffffff));
    return hn::IfThenElse(hn::Gt(bits, largest), bits, largest);
}

HWY_INLINE bool all_below_limit(hn::Vec<int_tag> largest) {
    const int_tag di;
    constexpr auto limit = std::int32_t{0x4b000000};  // 2^23
    return hn::AllFalse(di, hn::Gt(largest, hn::Set(di, limit - 1)));
}

/// n: a multiple of a vector.
bool encode_vectors(const float* values, std::size_t n, float* codes, codec_counts* counts) {
    const float_tag d;
    auto largest = hn::Zero(int_tag());
    std::size_t vanished = 0;
    for (std::size_t i = 0; i < n; i += lanes) {
        const vector x = hn::LoadU(d, values + i);
        const vector code = on_grid(x);
        largest = larger(largest, x);
        vanished += hn::CountTrue(d, hn::And(hn::Eq(code, hn::Zero(d)), hn::Ne(x, hn::Zero(d))));
        hn::StoreU(code, d, codes + i);
    }
    counts->flushed += vanished;
    return all_below_limit(largest);
}

bool vectors_canonical(const float* codes, std::size_t n) {
    const float_tag d;
    const bits_tag du;
    auto largest = hn::Zero(int_tag());
    auto different = hn::Zero(du);
    for (std::size_t i = 0; i < n; i += lanes) {
        const vector x = hn::LoadU(d, codes + i);
        largest = larger(largest, x);
        different = hn::Or(different, hn::Xor(hn::BitCast(du, on_grid(x)), hn::BitCast(du, x)));
    }
    return all_below_limit(largest) && hn::AllTrue(du, hn::Eq(different, hn::Zero(du)));
}

/// Integers of 128 bits, in two vectors of words.
struct wide_words {
    word_vector low, high;
};

/// Codes' bits as words -> value * 2^80, all ones in `negative` where it has to be negated.
HWY_INLINE wide_words magnitudes_of(word_vector bits) {
    const word_tag d;
    const auto one = hn::Set(d, 1);
    const auto biased = hn::ShiftRight<23>(hn::And(bits, hn::Set(d, 0x7fffffff)));
    const auto fraction = hn::And(bits, hn::Set(d, 0x7fffff));
    const auto mantissa =
        hn::IfThenZeroElse(hn::Eq(biased, hn::Zero(d)), hn::Or(fraction, hn::Set(d, 0x800000)));
    // mantissa * 2^s with s = biased - 70, -23..79. Turned left by s modulo 64 bits, its words lie
    // over each other in one: below bit s - 40 stands what belongs into the upper one, the rest is
    // the lower one's. A negative s turns right, where a code on the grid has zeros.
    const auto s = hn::Sub(biased, hn::Set(d, 70));
    const auto turn = hn::And(s, hn::Set(d, 63));
    const auto back = hn::Xor(turn, hn::Set(d, 63));
    const auto turned = hn::Or(hn::Shl(mantissa, turn), hn::Shr(hn::ShiftRight<1>(mantissa), back));
    // biased is at most 149, so that the border is at most 39.
    const auto over = hn::Gt(biased, hn::Set(d, 110));
    const auto border = hn::IfThenElseZero(over, hn::Sub(biased, hn::Set(d, 110)));
    const auto upper = hn::Sub(hn::Shl(one, border), one);
    return {hn::AndNot(upper, turned), hn::And(upper, turned)};
}

/// sums + x, two words a sum, the lower one first: words are added, and a carry out of a lower one
/// is where it became smaller than what was added.
HWY_INLINE void add_wide(word_vector x, std::uint64_t* sums) {
    const word_tag d;
    const auto sum = hn::Add(hn::LoadU(d, sums), x);
    const auto carry = hn::VecFromMask(d, hn::Lt(sum, x));
    hn::StoreU(hn::Sub(sum, hn::ShiftLeftBytes<8>(d, carry)), d, sums);
}

/// n: a multiple of a vector.
void add_vectors(const float* codes, std::size_t n, std::uint64_t* sums) {
    const word_tag d;
    const hn::Half<bits_tag> half;
    // Interleaving works within 128 bits: turned round like this, sums come out in order.
    HWY_ALIGN std::int32_t order[words];
    for (std::size_t i = 0; i < words; ++i) {
        order[i] = static_cast<std::int32_t>(i / 2 + i % 2 * (words / 2));
    }
    const auto indices = hn::SetTableIndices(half, order);
    for (std::size_t i = 0; i < n; i += words) {
        const auto loaded = hn::LoadU(half, reinterpret_cast<const std::uint32_t*>(codes + i));
        const auto bits = hn::PromoteTo(d, hn::TableLookupLanes(loaded, indices));
        const auto units = magnitudes_of(bits);
        // Two's complement: -x = ~x + 1, and the 1 is a carry into the upper word only out of 0.
        const auto negative = hn::Sub(hn::Zero(d), hn::ShiftRight<31>(bits));
        const auto low = hn::Sub(hn::Xor(units.low, negative), negative);
        const auto carry = hn::And(negative, hn::VecFromMask(d, hn::Eq(low, hn::Zero(d))));
        const auto high = hn::Sub(hn::Xor(units.high, negative), carry);
        add_wide(hn::InterleaveLower(d, low, high), sums + 2 * i);
        add_wide(hn::InterleaveUpper(d, low, high), sums + 2 * i + words);
    }
}

constexpr std::size_t vector_floats = lanes;

std::size_t floats_a_vector() {
    return vector_floats;
}

}  // namespace
}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {
namespace {

/// Floats that the active target takes at a time; 1 for the reference.
std::size_t step() {
    TEQUIO_RETURN_VECTOR(floats_a_vector());
    return 1;
}

bool encode_vectors(const float* values, std::size_t n, float* codes, codec_counts* counts) {
    TEQUIO_RETURN_VECTOR(encode_vectors(values, n, codes, counts));
    return f32_grid_encode_reference({values, n}, {reinterpret_cast<std::uint8_t*>(codes), 4 * n},
                                     *counts);
}

bool vectors_canonical(const float* codes, std::size_t n) {
    TEQUIO_RETURN_VECTOR(vectors_canonical(codes, n));
    return f32_grid_canonical_reference({reinterpret_cast<const std::uint8_t*>(codes), 4 * n});
}

void add_vectors(const float* codes, std::size_t n, grid_sum* sums) {
    TEQUIO_RETURN_VECTOR(add_vectors(codes, n, reinterpret_cast<std::uint64_t*>(sums)));
    f32_grid_accumulate_reference({reinterpret_cast<const std::uint8_t*>(codes), 4 * n}, {sums, n});
}

}  // namespace

bool f32_grid_encode(std::span<const float> values, std::span<std::uint8_t> codes,
                     codec_counts& counts) {
    base::ensure(codes.size() == 4 * values.size(), "codes have the size of the values");
    const std::size_t whole = values.size() / step() * step();
    return encode_vectors(values.data(), whole, reinterpret_cast<float*>(codes.data()), &counts) &&
           f32_grid_encode_reference(values.subspan(whole), codes.subspan(4 * whole), counts);
}

void f32_grid_accumulate(std::span<const std::uint8_t> codes, std::span<grid_sum> sums) {
    base::ensure(codes.size() == 4 * sums.size(), "codes have the size of the sums");
    const std::size_t whole = sums.size() / step() * step();
    add_vectors(reinterpret_cast<const float*>(codes.data()), whole, sums.data());
    f32_grid_accumulate_reference(codes.subspan(4 * whole), sums.subspan(whole));
}

bool f32_grid_canonical(std::span<const std::uint8_t> codes) {
    const std::size_t whole = codes.size() / 4 / step() * step();
    return vectors_canonical(reinterpret_cast<const float*>(codes.data()), whole) &&
           f32_grid_canonical_reference(codes.subspan(4 * whole));
}

}  // namespace tequio::training::numerics
#endif
