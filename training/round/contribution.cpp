#include "training/contribution.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "training/errc.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/round/codec.hpp"
#include "training/round/units.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

static_assert(block_elements == tensor_align_floats);

/// A mean of float32 losses is below 3.5e38, and 65,536 of these stay finite when they are added.
constexpr double loss_max = 1e39;
constexpr std::string_view unit_magic = "TQCONTR1";

void write_unit_header(contribution_kind kind, const contribution_shape& shape, std::uint64_t unit,
                       std::span<std::uint8_t> out) {
    base::byte_vector bytes;
    bytes.reserve(contribution_header_bytes);
    base::byte_writer w(bytes);
    w.raw(base::as_bytes(unit_magic));
    w.u16(static_cast<std::uint16_t>(kind));
    w.u16(static_cast<std::uint16_t>(shape.codec));
    w.u32(static_cast<std::uint32_t>(unit));
    w.u32(static_cast<std::uint32_t>(shape.units()));
    w.u32(static_cast<std::uint32_t>(shape.blocks_in(unit)));
    bytes.resize(contribution_header_bytes, 0);
    std::copy(bytes.begin(), bytes.end(), out.begin());
}

base::error bad(std::uint64_t unit, const std::string& why) {
    return fail(errc::bad_contribution, "contribution, unit " + std::to_string(unit) + ": " + why);
}

bool all_zero(base::byte_view bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

/// One block of several.
coded_blocks block_of(const contribution_shape& shape, const coded_blocks& blocks,
                      std::uint64_t index) {
    const auto& sizes = sizes_of(shape.codec);
    return {blocks.scales.subspan(index * sizes.scale_bytes, sizes.scale_bytes),
            blocks.codes.subspan(index * sizes.code_bytes, sizes.code_bytes)};
}

base::result<void> check_codes(const contribution_shape& shape, std::uint64_t unit,
                               const const_unit& u) {
    if (!all_zero(u.filling)) return bad(unit, "the filling is not 0");
    if (canonical(shape.codec, u.blocks)) return {};
    for (std::uint64_t b = 0; b < shape.blocks_in(unit); ++b) {
        if (!canonical(shape.codec, block_of(shape, u.blocks, b))) {
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
    if (codec_of(kind, r) == contribution_codec::f32 && h.saturated != 0) {
        return bad(0, "values saturated, which f32 does not do");
    }
    if (h.saturated > layout.parameters || h.flushed > layout.parameters - h.saturated) {
        return bad(0, "more values saturated and flushed than there are");
    }
    return {};
}

/// Elements between a tensor's end and the next one's start, as far as they lie in this unit, carry
/// code 0. Padding does not cross the border of a block, nor then of a unit.
base::result<void> check_padding(const state_layout& layout, const contribution_shape& shape,
                                 std::uint64_t unit, const const_unit& u) {
    const auto run = shape.elements_of({unit, 1});
    auto t = std::partition_point(layout.tensors.begin(), layout.tensors.end(),
                                  [&](const auto& x) { return x.offset + x.size < run.first; });
    for (; t != layout.tensors.end() && t->offset + t->size < run.end(); ++t) {
        for (auto i = t->offset + t->size; i % block_elements != 0; ++i) {
            if (!code_is_zero(shape.codec, u.blocks.codes, i - run.first)) {
                return bad(unit, "the padding of " + t->name + " is not 0");
            }
        }
    }
    return {};
}

double share_of(std::uint64_t count, std::uint64_t results, std::uint64_t parameters) {
    if (results == 0) return 0;
    return static_cast<double>(count) /
           (static_cast<double>(results) * static_cast<double>(parameters));
}

std::string percent(double share) {
    const auto tenths = static_cast<std::uint64_t>(share * 1000);
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " %";
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

contribution_codec codec_of(contribution_kind kind, const recipe& r) {
    const auto& word = kind == contribution_kind::lane ? r.train.codec : r.train.codec_down;
    for (const auto codec :
         {contribution_codec::mxint8, contribution_codec::mxfp4, contribution_codec::f32}) {
        if (sizes_of(codec).name == word) return codec;
    }
    base::ensure(false, "a checked recipe names a codec that there is");
    return contribution_codec::mxint8;
}

std::uint64_t contribution_shape::unit_blocks() const {
    return sizes_of(codec).unit_blocks;
}

std::uint64_t contribution_shape::blocks_in(std::uint64_t index) const {
    return std::min(unit_blocks(), blocks() - index * unit_blocks());
}

std::uint64_t contribution_shape::bytes_in(std::uint64_t index) const {
    if (index + 1 < units()) return base::piece_size_bytes;
    return contribution_header_bytes + blocks_in(index) * sizes_of(codec).block_bytes();
}

contribution_run contribution_shape::elements_of(contribution_run units) const {
    const auto first = units.first * unit_elements();
    return {first, std::min(elements, units.end() * unit_elements()) - first};
}

contribution_run contribution_shape::units_over(contribution_run run) const {
    const auto first = run.first / unit_elements();
    return {first, (run.end() + unit_elements() - 1) / unit_elements() - first};
}

std::uint64_t contribution_shape::bytes_of(contribution_run units) const {
    if (units.count == 0) return 0;
    return (units.count - 1) * base::piece_size_bytes + bytes_in(units.end() - 1);
}

contribution_shape shape_of(contribution_kind kind, const recipe& r, const state_layout& layout) {
    return {codec_of(kind, r), layout.padded_size};
}

const_unit parts_of(const contribution_shape& shape, std::uint64_t index, base::byte_view unit) {
    const auto& sizes = sizes_of(shape.codec);
    const auto blocks = shape.blocks_in(index);
    const auto scales = contribution_header_bytes;
    const auto codes = scales + blocks * sizes.scale_bytes;
    const auto filling = codes + blocks * sizes.code_bytes;
    return {unit.first(scales),
            {unit.subspan(scales, codes - scales), unit.subspan(codes, filling - codes)},
            unit.subspan(filling)};
}

const_unit unit_of(const contribution_shape& shape, base::byte_view bytes, std::uint64_t index) {
    return parts_of(shape, index,
                    bytes.subspan(index * base::piece_size_bytes, shape.bytes_in(index)));
}

coded_blocks blocks_of(const contribution_shape& shape, std::uint64_t index, const const_unit& unit,
                       contribution_run run) {
    const auto& sizes = sizes_of(shape.codec);
    const auto first = run.first / block_elements - index * shape.unit_blocks();
    const auto count = run.count / block_elements;
    return {unit.blocks.scales.subspan(first * sizes.scale_bytes, count * sizes.scale_bytes),
            unit.blocks.codes.subspan(first * sizes.code_bytes, count * sizes.code_bytes)};
}

coded_blocks blocks_at(contribution_codec codec, const coded_blocks& blocks, std::uint64_t first,
                       std::uint64_t count) {
    const auto& sizes = sizes_of(codec);
    const auto part = [&](base::byte_view bytes, std::uint64_t block_bytes) {
        return bytes.subspan(first / block_elements * block_bytes,
                             count / block_elements * block_bytes);
    };
    return {part(blocks.scales, sizes.scale_bytes), part(blocks.codes, sizes.code_bytes)};
}

base::byte_vector empty_contribution(contribution_kind kind, const contribution_shape& shape) {
    base::byte_vector out(shape.size_bytes());
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        write_unit_header(kind, shape, u,
                          std::span(out).subspan(u * base::piece_size_bytes, shape.bytes_in(u)));
    }
    return out;
}

void place_blocks(const contribution_shape& shape, contribution_run run, const coded_blocks& blocks,
                  std::span<std::uint8_t> container) {
    const auto& sizes = sizes_of(shape.codec);
    for (auto u = shape.units_over(run).first; u < shape.units_over(run).end(); ++u) {
        const auto here = shape.elements_of({u, 1});
        const auto first = std::max(here.first, run.first);
        const auto count = std::min(here.end(), run.end()) - first;
        const auto from = blocks_at(shape.codec, blocks, first - run.first, count);
        const auto block = (first - here.first) / block_elements;
        const auto unit = container.subspan(u * base::piece_size_bytes, shape.bytes_in(u));
        const auto scales = unit.subspan(contribution_header_bytes);
        const auto codes = scales.subspan(shape.blocks_in(u) * sizes.scale_bytes);
        std::copy(from.scales.begin(), from.scales.end(),
                  scales.begin() + static_cast<std::ptrdiff_t>(block * sizes.scale_bytes));
        std::copy(from.codes.begin(), from.codes.end(),
                  codes.begin() + static_cast<std::ptrdiff_t>(block * sizes.code_bytes));
    }
}

contribution_header header_of(base::byte_view checked) {
    base::byte_reader in(checked.subspan(unit_fixed_bytes));
    contribution_header out;
    out.loss = in.f64();
    out.tokens = in.u64();
    out.saturated = in.u64();
    out.flushed = in.u64();
    return out;
}

contribution_counts counts_of(const contribution_shape& shape, base::byte_view checked) {
    const auto header = header_of(checked);
    contribution_counts out{header.saturated, header.flushed};
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto scales = unit_of(shape, checked, u).blocks.scales;
        out.at_top += block_elements * static_cast<std::uint64_t>(std::count(
                                           scales.begin(), scales.end(), numerics::mx_scale_max));
    }
    return out;
}

void write_facts(const contribution_header& facts, std::span<std::uint8_t> unit_0) {
    base::byte_vector bytes;
    base::byte_writer w(bytes);
    w.f64(facts.loss);
    w.u64(facts.tokens);
    w.u64(facts.saturated);
    w.u64(facts.flushed);
    std::copy(bytes.begin(), bytes.end(), unit_0.begin() + unit_fixed_bytes);
}

base::result<contribution_counts> encode_units(contribution_kind kind, const recipe& r,
                                               const state_layout& layout, contribution_run units,
                                               std::span<const float> values,
                                               std::span<std::uint8_t> out) {
    const auto shape = shape_of(kind, r, layout);
    base::ensure(
        values.size() == shape.elements_of(units).count && out.size() == shape.bytes_of(units),
        "values and bytes are those of the units");
    const auto& sizes = sizes_of(shape.codec);
    numerics::codec_counts counts;
    for (auto u = units.first; u < units.end(); ++u) {
        const auto unit =
            out.subspan((u - units.first) * base::piece_size_bytes, shape.bytes_in(u));
        write_unit_header(kind, shape, u, unit);
        const auto scales =
            unit.subspan(contribution_header_bytes, shape.blocks_in(u) * sizes.scale_bytes);
        const auto codes = unit.subspan(contribution_header_bytes + scales.size(),
                                        shape.blocks_in(u) * sizes.code_bytes);
        const auto end = contribution_header_bytes + scales.size() + codes.size();
        std::fill(unit.begin() + static_cast<std::ptrdiff_t>(end), unit.end(), std::uint8_t{0});
        const auto in =
            values.subspan((u - units.first) * shape.unit_elements(), shape.elements_in(u));
        if (!encode_blocks(shape.codec, r.train.window, in, scales, codes, counts)) {
            const auto at = shape.elements_of(units).first + first_refused(shape.codec, values);
            return fail(errc::not_finite,
                        "contribution: value " + std::to_string(at) +
                            (shape.codec == contribution_codec::f32
                                 ? " is not finite, or at least 2^23, which f32 refuses"
                                 : " is not finite"));
        }
    }
    return contribution_counts{counts.saturated, counts.flushed};
}

base::result<base::byte_vector> encode_contribution(contribution_kind kind, const recipe& r,
                                                    const state_layout& layout,
                                                    std::span<const float> values, double loss,
                                                    std::uint64_t tokens) {
    base::ensure(values.size() == layout.padded_size, "values have the size of their layout");
    base::ensure(padding_is_zero(layout, values), "padding is +0");
    if (!std::isfinite(loss)) return fail(errc::not_finite, "contribution: the loss is not finite");
    const auto shape = shape_of(kind, r, layout);
    base::byte_vector out(shape.size_bytes());
    TEQUIO_TRY(const auto counts, encode_units(kind, r, layout, {0, shape.units()}, values, out));
    write_facts({loss, tokens, counts.saturated, counts.flushed}, out);
    return out;
}

base::result<void> check_contribution_unit(contribution_kind kind, const recipe& r,
                                           const state_layout& layout, std::uint64_t index,
                                           base::byte_view unit) {
    const auto shape = shape_of(kind, r, layout);
    if (index >= shape.units()) {
        return bad(index, "the recipe has " + std::to_string(shape.units()) + " units");
    }
    if (unit.size() != shape.bytes_in(index)) {
        return bad(index, "found " + std::to_string(unit.size()) + " bytes, the recipe says " +
                              std::to_string(shape.bytes_in(index)));
    }
    const auto u = parts_of(shape, index, unit);
    // The header is small and has one form: write it and compare.
    std::array<std::uint8_t, contribution_header_bytes> expected;
    write_unit_header(kind, shape, index, expected);
    if (index == 0) {
        const auto facts = header_of(unit);
        TEQUIO_CHECK(check_counts(kind, r, layout, facts));
        write_facts(facts, expected);
    }
    if (!std::equal(expected.begin(), expected.end(), u.header.begin())) {
        return bad(index, "the header is not the one of this place, kind and codec");
    }
    TEQUIO_CHECK(check_codes(shape, index, u));
    return check_padding(layout, shape, index, u);
}

base::result<contribution_header> check_contribution(contribution_kind kind, const recipe& r,
                                                     const state_layout& layout,
                                                     base::byte_view bytes) {
    const auto shape = shape_of(kind, r, layout);
    if (bytes.size() != shape.size_bytes()) {
        return fail(errc::bad_contribution, "contribution: found " + std::to_string(bytes.size()) +
                                                " bytes, the recipe says " +
                                                std::to_string(shape.size_bytes()));
    }
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto unit = bytes.subspan(u * base::piece_size_bytes, shape.bytes_in(u));
        TEQUIO_CHECK(check_contribution_unit(kind, r, layout, u, unit));
    }
    return header_of(bytes);
}

void decode_contribution(contribution_kind kind, const recipe& r, base::byte_view bytes,
                         std::span<float> out) {
    const contribution_shape shape{codec_of(kind, r), out.size()};
    base::ensure(bytes.size() == shape.size_bytes(), "the contribution was checked");
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto run = shape.elements_of({u, 1});
        decode_blocks(shape.codec, r.train.window, unit_of(shape, bytes, u).blocks,
                      out.subspan(run.first, run.count));
    }
}

std::uint64_t first_refused(contribution_codec codec, std::span<const float> values) {
    const auto accepted = [codec](float x) {
        return numerics::finite(x) &&
               (codec != contribution_codec::f32 || std::abs(x) < numerics::f32_grid_limit);
    };
    const auto it = std::find_if_not(values.begin(), values.end(), accepted);
    return static_cast<std::uint64_t>(it - values.begin());
}

void contribution_tally::add(const contribution_counts& more) {
    ++results;
    counts.saturated += more.saturated;
    counts.flushed += more.flushed;
    counts.at_top += more.at_top;
}

double contribution_tally::saturated_share(std::uint64_t parameters) const {
    return share_of(counts.saturated, results, parameters);
}

double contribution_tally::flushed_share(std::uint64_t parameters) const {
    return share_of(counts.flushed, results, parameters);
}

std::string strain_of(contribution_kind kind, const recipe& r, const contribution_tally& tally) {
    const auto parameters = parameter_count(r.model).value_or(1);
    const auto codec = codec_of(kind, r);
    const auto name = std::string(sizes_of(codec).name);
    const auto window = " with window " + std::to_string(r.train.window);
    const std::string who = kind == contribution_kind::lane ? "lanes: " : "means: ";
    const auto saturated = tally.saturated_share(parameters);
    if (saturated > 0.001 && share_of(tally.counts.at_top, tally.results, parameters) > 0.001) {
        return who + percent(saturated) + " of the values were too large for " + name + window +
               " and were cut; a higher window keeps them";
    }
    const auto flushed = tally.flushed_share(parameters);
    if (flushed <= 0.5) return {};
    const auto what = who + percent(flushed) + " of the values were rounded to 0 by " + name;
    return codec == contribution_codec::f32 ? what
                                            : what + window + "; a lower window may keep them";
}

base::digest diverged::digest() const {
    return base::sha256("tequio/diverged/v1\nstep " + std::to_string(step) + "\ntensor " + tensor +
                        "\n");
}

}  // namespace tequio::training
