#include "training/contribution.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/errc.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/mxint8.hpp"
#include "training/round/units.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

static_assert(block_elements == numerics::mx_block && block_elements == tensor_align_floats);
static_assert(contribution_header_bytes + unit_blocks * (1 + block_elements) ==
              base::piece_size_bytes);

/// A mean of float32 losses is below 3.5e38, and 65,536 of these stay finite when they are added.
constexpr double loss_max = 1e39;
constexpr std::string_view unit_magic = "TQCONTR1";

void write_unit_header(contribution_kind kind, const contribution_shape& shape, std::uint64_t unit,
                       const contribution_header& header, std::span<std::uint8_t> out) {
    base::byte_vector bytes;
    bytes.reserve(contribution_header_bytes);
    base::byte_writer w(bytes);
    w.raw(base::as_bytes(unit_magic));
    w.u32(static_cast<std::uint32_t>(kind));
    w.u32(static_cast<std::uint32_t>(unit));
    w.u32(static_cast<std::uint32_t>(shape.units()));
    w.u32(static_cast<std::uint32_t>(shape.blocks_in(unit)));
    if (unit == 0) {
        w.f64(header.loss);
        w.u64(header.tokens);
        w.u64(header.saturated);
        w.u64(header.flushed);
    }
    bytes.resize(contribution_header_bytes, 0);
    std::copy(bytes.begin(), bytes.end(), out.begin());
}

contribution_header read_header(base::byte_view unit) {
    base::byte_reader in(unit.subspan(unit_fixed_bytes));
    contribution_header out;
    out.loss = in.f64();
    out.tokens = in.u64();
    out.saturated = in.u64();
    out.flushed = in.u64();
    return out;
}

base::error bad(std::uint64_t unit, const std::string& why) {
    return fail(errc::bad_contribution, "contribution, unit " + std::to_string(unit) + ": " + why);
}

base::result<void> check_unit(contribution_kind kind, const contribution_shape& shape,
                              std::uint64_t unit, const contribution_header& header,
                              const const_unit& u) {
    // The header is small and has one form: write it and compare.
    std::array<std::uint8_t, contribution_header_bytes> expected;
    write_unit_header(kind, shape, unit, header, expected);
    if (!std::equal(expected.begin(), expected.end(), u.header.begin())) {
        return bad(unit, "the header is not the one of this place and kind");
    }
    if (numerics::mxint8_canonical(u.scales, u.codes, u.codes.size())) return {};
    for (std::uint64_t b = 0; b < u.scales.size(); ++b) {
        const auto codes = u.codes.subspan(b * block_elements, block_elements);
        if (!numerics::mxint8_canonical(u.scales.subspan(b, 1), codes, block_elements)) {
            return bad(unit, "block " + std::to_string(b) + " is not canonical");
        }
    }
    return bad(unit, "not canonical");
}

base::result<void> check_counts(contribution_kind kind, const recipe& r, const state_layout& layout,
                                const contribution_header& h) {
    if (!(std::abs(h.loss) <= loss_max)) return bad(0, "the loss is not finite");
    const auto tokens = lane_tokens(r) * (kind == contribution_kind::mean ? r.train.lanes : 1);
    if (h.tokens != tokens) {
        return bad(0, "found " + std::to_string(h.tokens) + " tokens, the recipe says " +
                          std::to_string(tokens));
    }
    if (h.saturated > layout.parameters || h.flushed > layout.parameters - h.saturated) {
        return bad(0, "more values saturated and flushed than there are");
    }
    return {};
}

/// Elements between a tensor's end and the next one's start carry code 0.
base::result<void> check_padding(const state_layout& layout, const contribution_shape& shape,
                                 base::byte_view bytes) {
    for (const auto& t : layout.tensors) {
        const auto end = t.offset + t.size;
        const auto padded_end = (end + block_elements - 1) / block_elements * block_elements;
        if (end == padded_end) continue;
        const auto unit = end / unit_elements;
        const auto codes = unit_of(shape, bytes, unit).codes;
        const auto tail = codes.subspan(end - unit * unit_elements, padded_end - end);
        if (std::any_of(tail.begin(), tail.end(), [](std::int8_t c) { return c != 0; })) {
            return bad(unit, "the padding of " + t.name + " is not 0");
        }
    }
    return {};
}

bool padding_is_zero(const state_layout& layout, std::span<const float> values) {
    for (const auto& t : layout.tensors) {
        for (auto i = t.offset + t.size; i % block_elements != 0; ++i) {
            if (std::bit_cast<std::uint32_t>(values[i]) != 0) return false;
        }
    }
    return true;
}

}  // namespace

std::uint64_t contribution_shape::blocks_in(std::uint64_t index) const {
    return std::min(unit_blocks, blocks() - index * unit_blocks);
}

const_unit unit_of(const contribution_shape& shape, base::byte_view bytes, std::uint64_t index) {
    const auto blocks = shape.blocks_in(index);
    const auto unit = bytes.subspan(index * base::piece_size_bytes,
                                    contribution_header_bytes + blocks * (1 + block_elements));
    const auto codes = unit.subspan(contribution_header_bytes + blocks);
    return {unit.first(contribution_header_bytes),
            unit.subspan(contribution_header_bytes, blocks),
            {reinterpret_cast<const std::int8_t*>(codes.data()), codes.size()}};
}

contribution_header header_of(base::byte_view checked) {
    return read_header(checked);
}

base::result<base::byte_vector> encode_contribution(contribution_kind kind, const recipe& r,
                                                    const state_layout& layout,
                                                    std::span<const float> values, double loss,
                                                    std::uint64_t tokens) {
    base::ensure(values.size() == layout.padded_size, "values have the size of their layout");
    base::ensure(padding_is_zero(layout, values), "padding is +0");
    if (!std::isfinite(loss)) return fail(errc::not_finite, "contribution: the loss is not finite");
    const contribution_shape shape{layout.padded_size};
    base::byte_vector out(shape.size_bytes());
    numerics::codec_counts counts;
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto elements = shape.blocks_in(u) * block_elements;
        auto rest = std::span(out).subspan(u * base::piece_size_bytes + contribution_header_bytes);
        const auto scales = rest.first(shape.blocks_in(u));
        const auto codes = rest.subspan(scales.size(), elements);
        if (!numerics::mxint8_encode(
                values.subspan(u * unit_elements, elements), r.train.window, scales,
                {reinterpret_cast<std::int8_t*>(codes.data()), codes.size()}, counts)) {
            return fail(errc::not_finite, "contribution: value " +
                                              std::to_string(first_not_finite(values)) +
                                              " is not finite");
        }
    }
    const contribution_header header{loss, tokens, counts.saturated, counts.flushed};
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        write_unit_header(
            kind, shape, u, header,
            std::span(out).subspan(u * base::piece_size_bytes, contribution_header_bytes));
    }
    return out;
}

base::result<contribution_header> check_contribution(contribution_kind kind, const recipe& r,
                                                     const state_layout& layout,
                                                     base::byte_view bytes) {
    const contribution_shape shape{layout.padded_size};
    if (bytes.size() != shape.size_bytes()) {
        return fail(errc::bad_contribution, "contribution: found " + std::to_string(bytes.size()) +
                                                " bytes, the recipe says " +
                                                std::to_string(shape.size_bytes()));
    }
    const auto header = read_header(bytes);
    TEQUIO_CHECK(check_counts(kind, r, layout, header));
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        TEQUIO_CHECK(check_unit(kind, shape, u, header, unit_of(shape, bytes, u)));
    }
    TEQUIO_CHECK(check_padding(layout, shape, bytes));
    return header;
}

void decode_contribution(const recipe& r, base::byte_view bytes, std::span<float> out) {
    const contribution_shape shape{out.size()};
    base::ensure(bytes.size() == shape.size_bytes(), "the contribution was checked");
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto unit = unit_of(shape, bytes, u);
        numerics::mxint8_decode(unit.scales, unit.codes, r.train.window,
                                out.subspan(u * unit_elements, unit.codes.size()));
    }
}

std::uint64_t first_not_finite(std::span<const float> values) {
    const auto it = std::find_if_not(values.begin(), values.end(), numerics::finite);
    return static_cast<std::uint64_t>(it - values.begin());
}

base::digest diverged::digest() const {
    return base::sha256("tequio/diverged/v1\nstep " + std::to_string(step) + "\ntensor " + tensor +
                        "\n");
}

}  // namespace tequio::training
