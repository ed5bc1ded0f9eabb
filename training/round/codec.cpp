#include "training/round/codec.hpp"

#include <algorithm>
#include <array>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "training/numerics/mxfp4.hpp"
#include "training/numerics/mxint8.hpp"

namespace tequio::training {
namespace {

constexpr codec_sizes mxint8{"mxint8", 1, 32, 7936};
constexpr codec_sizes mxfp4{"mxfp4", 1, numerics::mxfp4_block_bytes, 15360};
constexpr codec_sizes f32{"f32", 0, 4 * block_elements, 2046};
static_assert(block_elements == numerics::mx_block);
static_assert(contribution_header_bytes + 7936 * 33 == base::piece_size_bytes);
static_assert(contribution_header_bytes + 15360 * 17 + 768 == base::piece_size_bytes);
static_assert(contribution_header_bytes + 2046 * 128 == base::piece_size_bytes);

std::span<const std::int8_t> as_signed(base::byte_view codes) {
    return {reinterpret_cast<const std::int8_t*>(codes.data()), codes.size()};
}

}  // namespace

const codec_sizes& sizes_of(contribution_codec codec) {
    switch (codec) {
        case contribution_codec::mxint8:
            return mxint8;
        case contribution_codec::mxfp4:
            return mxfp4;
        case contribution_codec::f32:
            return f32;
    }
    base::ensure(false, "a codec is one of three");
    return mxint8;
}

bool encode_blocks(contribution_codec codec, int window, std::span<const float> values,
                   std::span<std::uint8_t> scales, std::span<std::uint8_t> codes,
                   numerics::codec_counts& counts) {
    switch (codec) {
        case contribution_codec::mxint8:
            return numerics::mxint8_encode(
                values, window, scales,
                {reinterpret_cast<std::int8_t*>(codes.data()), codes.size()}, counts);
        case contribution_codec::mxfp4:
            return numerics::mxfp4_encode(values, window, scales, codes, counts);
        case contribution_codec::f32:
            break;
    }
    return numerics::f32_grid_encode(values, codes, counts);
}

bool canonical(contribution_codec codec, const coded_blocks& blocks) {
    const auto n = blocks.scales.size() * block_elements;
    switch (codec) {
        case contribution_codec::mxint8:
            return numerics::mxint8_canonical(blocks.scales, as_signed(blocks.codes), n);
        case contribution_codec::mxfp4:
            return numerics::mxfp4_canonical(blocks.scales, blocks.codes, n);
        case contribution_codec::f32:
            break;
    }
    return numerics::f32_grid_canonical(blocks.codes);
}

void decode_blocks(contribution_codec codec, int window, const coded_blocks& blocks,
                   std::span<float> values) {
    switch (codec) {
        case contribution_codec::mxint8:
            return numerics::mxint8_decode(blocks.scales, as_signed(blocks.codes), window, values);
        case contribution_codec::mxfp4:
            return numerics::mxfp4_decode(blocks.scales, blocks.codes, window, values);
        case contribution_codec::f32:
            return numerics::f32_grid_decode(blocks.codes, values);
    }
}

void add_blocks(contribution_codec codec, const coded_blocks& blocks,
                std::span<std::int64_t> sums) {
    base::ensure(codec != contribution_codec::f32, "sums of f32 are wider");
    if (codec == contribution_codec::mxint8) {
        numerics::mxint8_accumulate(blocks.scales, as_signed(blocks.codes), sums);
    } else {
        numerics::mxfp4_accumulate(blocks.scales, blocks.codes, sums);
    }
}

void add_blocks(const coded_blocks& blocks, std::span<numerics::grid_sum> sums) {
    numerics::f32_grid_accumulate(blocks.codes, sums);
}

bool code_is_zero(contribution_codec codec, base::byte_view codes, std::uint64_t i) {
    switch (codec) {
        case contribution_codec::mxint8:
            return codes[i] == 0;
        case contribution_codec::mxfp4:
            return numerics::mxfp4_code(codes, i) == 0;
        case contribution_codec::f32:
            break;
    }
    const auto code = codes.subspan(4 * i, 4);
    return std::all_of(code.begin(), code.end(), [](std::uint8_t byte) { return byte == 0; });
}

}  // namespace tequio::training
