#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/cut_format.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "training/numerics/cut_format.hpp"
#include "training/numerics/cut_scales.hpp"
#include "training/numerics/float_formats.hpp"
#include "training/numerics/mx_block_inl.hpp"
#include "training/numerics/split.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

void round_bf16_range(float* x, std::size_t n) {
    const int_tag di;
    // In integers: magnitudes order like the numbers.
    const auto round = [di](vector a) HWY_ATTR {
        const auto bits = hn::BitCast(di, a);
        const auto magnitude = hn::And(bits, hn::Set(di, 0x7fffffff));
        const auto odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(di, 1));
        auto rounded = hn::Add(hn::Add(magnitude, hn::Set(di, 0x7fff)), odd);
        rounded = hn::And(rounded, hn::Set(di, static_cast<std::int32_t>(0xffff0000U)));
        const auto largest = hn::Set(di, 0x7f7f0000);
        rounded = hn::IfThenElse(hn::Gt(rounded, largest), largest, rounded);
        const auto sign = hn::And(bits, hn::Set(di, static_cast<std::int32_t>(0x80000000U)));
        const auto least = hn::Set(di, std::bit_cast<std::int32_t>(smallest_operand));
        auto result = hn::IfThenZeroElse(hn::Lt(rounded, least), hn::Or(sign, rounded));
        const auto not_finite = hn::Gt(magnitude, hn::Set(di, 0x7f7fffff));
        const auto nan = hn::Set(di, std::bit_cast<std::int32_t>(cut_nan));
        result = hn::IfThenElse(not_finite, nan, result);
        return hn::BitCast(float_tag(), result);
    };
    map(n, x, round, x);
}

namespace {

/// 32 values.
void round_block(float* x) {
    const float_tag d;
    alignas(16) std::int32_t four[4];
    const hn::Full128<std::int32_t> d4;
    hn::Store(fold_to_four(int_tag(), magnitudes_of(x)), d4, four);
    const auto amax = std::max(std::max(four[0], four[1]), std::max(four[2], four[3]));
    if (amax > 0x7f7fffff) return std::fill(x, x + mx_block, cut_nan);
    const int b = cut_exponent(static_cast<std::uint32_t>(amax));
    const auto factor = hn::Set(d, power_of_two(-b));
    const auto unit = hn::Set(d, power_of_two(b));
    const auto magic = hn::Set(d, 12582912.0F);
    const auto most = hn::Set(d, 127.0F);
    const auto least = hn::Set(d, -127.0F);
#pragma GCC unroll 8
    for (std::size_t v = 0; v < block_vectors; ++v) {
        const auto scaled = hn::Mul(hn::LoadU(d, x + v * lanes), factor);
        auto code = hn::Sub(hn::Add(scaled, magic), magic);
        code = hn::IfThenElse(hn::Gt(code, most), most, code);
        code = hn::IfThenElse(hn::Lt(code, least), least, code);
        hn::StoreU(hn::Mul(code, unit), d, x + v * lanes);
    }
}

}  // namespace

void round_mxint8_row(float* x, std::size_t width) {
    std::size_t at = 0;
    for (; at + mx_block <= width; at += mx_block) round_block(x + at);
    if (at == width) return;
    float last[mx_block] = {};
    std::copy(x + at, x + width, last);
    round_block(last);
    std::copy(last, last + (width - at), x + at);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void round_bf16_range(float* x, std::size_t n) {
    TEQUIO_RETURN_VECTOR(round_bf16_range(x, n));
    cut_round_reference(cut_format::bf16, x, 1, n);
}

void round_mxint8_row(float* x, std::size_t width) {
    TEQUIO_RETURN_VECTOR(round_mxint8_row(x, width));
    cut_round_reference(cut_format::mxint8, x, 1, width);
}

/// +0, or a magnitude that may be an operand, or not finite.
bool travels(float x) {
    return std::bit_cast<std::uint32_t>(flush(x)) == std::bit_cast<std::uint32_t>(x);
}

bool unpack_f32(std::span<const std::uint8_t> in, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::uint8_t* at = in.data() + 4 * i;
        values[i] = std::bit_cast<float>(std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8 |
                                         std::uint32_t{at[2]} << 16 | std::uint32_t{at[3]} << 24);
        if (!travels(values[i])) return false;
    }
    return true;
}

bool unpack_bf16(std::span<const std::uint8_t> in, std::span<float> values) {
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto half = static_cast<std::uint16_t>(in[2 * i] | in[2 * i + 1] << 8);
        values[i] = from_bf16(half);
        const bool is_nan =
            std::bit_cast<std::uint32_t>(values[i]) == std::bit_cast<std::uint32_t>(cut_nan);
        if (!is_nan && !(finite(values[i]) && travels(values[i]))) return false;
    }
    return true;
}

/// One block of n values; `code` is its codes.
bool unpack_block(std::uint8_t scale, const std::uint8_t* code, std::size_t n, float* values) {
    const int b = scale + cut_exponent_min;
    const bool is_nan = scale == cut_scale_nan;
    if (!is_nan && b > 121) return false;
    int most = 0;
    for (std::size_t j = 0; j < n; ++j) {
        const int q = static_cast<std::int8_t>(code[j]);
        if (q == -128) return false;
        most = std::max(most, q < 0 ? -q : q);
        values[j] = is_nan ? cut_nan : static_cast<float>(q) * power_of_two(b);
    }
    return is_nan ? most == 0 : most >= 64 || scale == 0;
}

/// Calls body(block, first value, values) for each block of each row.
template <class Body>
void for_blocks(std::size_t n, std::size_t width, Body body) {
    const auto row_blocks = cut_row_blocks(width);
    for (std::size_t row = 0; row < n / width; ++row) {
        for (std::size_t block = 0; block < row_blocks; ++block) {
            const auto at = block * mx_block;
            body(row * row_blocks + block, row * width + at, std::min(mx_block, width - at));
        }
    }
}

void pack_mxint8(std::span<const float> values, std::size_t width, std::span<std::uint8_t> out) {
    std::uint8_t* codes = out.data() + values.size() / width * cut_row_blocks(width);
    for_blocks(values.size(), width, [&](std::size_t block, std::size_t first, std::size_t n) {
        std::uint32_t amax = 0;
        for (std::size_t j = 0; j < n; ++j) {
            amax = std::max(amax, std::bit_cast<std::uint32_t>(values[first + j]) & 0x7fffffffU);
        }
        const bool is_nan = amax > 0x7f7fffffU;
        const int b = cut_exponent(amax);
        out[block] = is_nan ? cut_scale_nan : static_cast<std::uint8_t>(b - cut_exponent_min);
        for (std::size_t j = 0; j < n; ++j) {
            const int q = is_nan ? 0 : static_cast<int>(values[first + j] * power_of_two(-b));
            codes[first + j] = static_cast<std::uint8_t>(static_cast<std::int8_t>(q));
        }
    });
}

bool unpack_mxint8(std::span<const std::uint8_t> in, std::size_t width, std::span<float> values) {
    const std::uint8_t* codes = in.data() + values.size() / width * cut_row_blocks(width);
    bool valid = true;
    for_blocks(values.size(), width, [&](std::size_t block, std::size_t first, std::size_t n) {
        valid = valid && unpack_block(in[block], codes + first, n, values.data() + first);
    });
    return valid;
}

}  // namespace

cut_format cut_format_of(std::string_view name) {
    base::ensure(name == "f32" || name == "bf16" || name == "mxint8", "a checked recipe's word");
    return name == "f32" ? cut_format::f32 : name == "bf16" ? cut_format::bf16 : cut_format::mxint8;
}

void cut_round(cut_format format, float* values, std::size_t rows, std::size_t width,
               executor& run) {
    if (format == cut_format::f32) return;
    run.note({"rounding at a cut", 0, 8 * rows * width});
    for_pieces(rows, row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        if (format == cut_format::bf16) {
            return round_bf16_range(values + begin * width, (end - begin) * width);
        }
        for (std::size_t row = begin; row < end; ++row)
            round_mxint8_row(values + row * width, width);
    });
}

std::size_t cut_message_bytes(cut_format format, std::size_t rows, std::size_t width) {
    switch (format) {
        case cut_format::f32:
            return 4 * rows * width;
        case cut_format::bf16:
            return 2 * rows * width;
        case cut_format::mxint8:
            return rows * (cut_row_blocks(width) + width);
    }
    return 0;
}

void cut_pack(cut_format format, std::span<const float> values, std::size_t width,
              std::span<std::uint8_t> out) {
    base::ensure(values.size() % width == 0 &&
                     out.size() == cut_message_bytes(format, values.size() / width, width),
                 "a message has the size of its values");
    if (format == cut_format::mxint8) return pack_mxint8(values, width, out);
    const std::size_t bytes = format == cut_format::f32 ? 4 : 2;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto bits = std::bit_cast<std::uint32_t>(values[i]) >> (8 * (4 - bytes));
        for (std::size_t j = 0; j < bytes; ++j) {
            out[i * bytes + j] = static_cast<std::uint8_t>(bits >> (8 * j));
        }
    }
}

bool cut_unpack(cut_format format, std::span<const std::uint8_t> message, std::size_t width,
                std::span<float> values) {
    base::ensure(values.size() % width == 0, "values are whole rows");
    if (message.size() != cut_message_bytes(format, values.size() / width, width)) return false;
    if (format == cut_format::f32) return unpack_f32(message, values);
    if (format == cut_format::bf16) return unpack_bf16(message, values);
    return unpack_mxint8(message, width, values);
}

}  // namespace tequio::training::numerics
#endif
