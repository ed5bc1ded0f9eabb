#include "training/merge.hpp"

#include <algorithm>
#include <bit>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/numerics/f32_grid.hpp"
#include "training/round/mean_reader.hpp"
#include "training/round/outer_step.hpp"
#include "training/round/partial_sums.hpp"
#include "training/round/synchronous_step.hpp"
#include "training/round/units.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the sums' digest is over little-endian bytes, taken straight from memory");

template <class Integer>
base::byte_view bytes_of(std::span<const Integer> values) {
    return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

template <class Integer>
void add_all(std::span<const Integer> from, std::span<Integer> to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

constexpr std::string_view part_magic = "TQPART01";

struct part_header {
    contribution_run units, pieces;
    double loss = 0;
    std::uint64_t saturated = 0, flushed = 0;
};

void write_part_header(const part_header& h, base::byte_vector& out) {
    base::byte_writer w(out);
    w.raw(base::as_bytes(part_magic));
    w.u32(static_cast<std::uint32_t>(h.units.first));
    w.u32(static_cast<std::uint32_t>(h.units.count));
    w.u64(h.pieces.first);
    w.u64(h.pieces.count);
    w.f64(h.loss);
    w.u64(h.saturated);
    w.u64(h.flushed);
    w.u64(0);
}

/// Errors: none but nothing, for bytes that are no header.
std::optional<part_header> read_part_header(base::byte_view bytes) {
    if (bytes.size() < part_header_bytes) return std::nullopt;
    base::byte_reader in(bytes.first(part_header_bytes));
    if (base::as_text(in.raw(part_magic.size())) != part_magic) return std::nullopt;
    part_header h;
    h.units.first = in.u32();
    h.units.count = in.u32();
    h.pieces.first = in.u64();
    h.pieces.count = in.u64();
    h.loss = in.f64();
    h.saturated = in.u64();
    h.flushed = in.u64();
    if (in.u64() != 0) return std::nullopt;
    return h;
}

base::error bad_part(std::size_t index, const std::string& why) {
    return fail(errc::bad_contribution, "sum: part " + std::to_string(index) + " " + why);
}

}  // namespace

base::error lane_added_twice(std::uint64_t lane) {
    return fail(errc::bad_contribution, "sum: lane " + std::to_string(lane) + " was added before");
}

shard_extent shard_extent_of(const contribution_shape& lane, const contribution_shape& mean,
                             contribution_run units) {
    base::ensure(units.count > 0 && units.end() <= mean.units(), "a shard is of units there are");
    const auto piece = base::piece_size_bytes / integer_bytes(lane.codec);
    const auto pieces_to = [&](std::uint64_t element) { return (element + piece - 1) / piece; };
    shard_extent out;
    out.units = units;
    out.elements = mean.elements_of(units);
    const auto first = pieces_to(out.elements.first);
    out.pieces = {first, std::max(first, pieces_to(out.elements.end())) - first};
    const auto pieces_end =
        out.pieces.count == 0 ? 0 : std::min(mean.elements, out.pieces.end() * piece);
    out.summed = {out.elements.first,
                  std::max(out.elements.end(), pieces_end) - out.elements.first};
    out.lane_units = lane.units_over(out.summed);
    out.part_bytes =
        part_header_bytes + out.pieces.count * sizeof(base::digest) + mean.bytes_of(units);
    return out;
}

element_sums::element_sums(contribution_codec codec, contribution_run run)
    : codec_(codec), run_(run) {
    base::ensure(run.first % block_elements == 0 && run.count % block_elements == 0,
                 "sums are of whole blocks");
    if (codec == contribution_codec::f32) {
        wide_.resize(run.count);
    } else {
        narrow_.resize(run.count);
    }
}

void element_sums::add_unit(const contribution_shape& shape, std::uint64_t index,
                            base::byte_view unit) {
    base::ensure(shape.codec == codec_, "lanes have the codec of their sums");
    const auto here = shape.elements_of({index, 1});
    const auto first = std::max(here.first, run_.first);
    const auto end = std::min(here.end(), run_.end());
    if (first >= end) return;
    const auto blocks = blocks_of(shape, index, parts_of(shape, index, unit), {first, end - first});
    if (codec_ == contribution_codec::f32) {
        add_blocks(blocks, std::span(wide_).subspan(first - run_.first, end - first));
    } else {
        add_blocks(codec_, blocks, std::span(narrow_).subspan(first - run_.first, end - first));
    }
}

void element_sums::add(const element_sums& other) {
    base::ensure(other.codec_ == codec_ && other.run_ == run_, "both sums are of one run");
    add_all(other.narrow(), std::span(narrow_));
    add_all(other.wide(), std::span(wide_));
}

base::byte_view element_sums::bytes() const {
    return codec_ == contribution_codec::f32 ? bytes_of(wide()) : bytes_of(narrow());
}

void element_sums::mean(std::uint64_t lanes, int window, std::span<float> out) const {
    base::ensure(out.size() == run_.count, "a mean has the size of its sums");
    if (codec_ != contribution_codec::f32) return mean_of_sums(narrow_, lanes, window, out);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = numerics::f32_grid_mean(wide_[i], lanes);
}

summation::summation(const recipe& r, const state_layout& layout)
    : summation(r, layout, {0, shape_of(contribution_kind::mean, r, layout).units()}) {}

summation::summation(const recipe& r, const state_layout& layout, contribution_run units)
    : recipe_(r),
      layout_(layout),
      extent_(shard_extent_of(shape_of(contribution_kind::lane, r, layout),
                              shape_of(contribution_kind::mean, r, layout), units)),
      sums_(codec_of(contribution_kind::lane, r), extent_.summed),
      losses_(r.train.lanes) {}

bool summation::has(base::lane_index lane) const {
    return lane.value < losses_.size() && losses_[lane.value].has_value();
}

base::result<void> summation::add(base::lane_index lane, base::byte_view contribution) {
    if (lane.value >= losses_.size()) {
        return fail(errc::bad_contribution, "sum: found lane " + std::to_string(lane.value) +
                                                ", the recipe has " +
                                                std::to_string(losses_.size()));
    }
    if (has(lane)) return lane_added_twice(lane.value);
    const auto shape = shape_of(contribution_kind::lane, recipe_, layout_);
    if (contribution.size() != shape.size_bytes()) {
        return fail(errc::bad_contribution,
                    "contribution: found " + std::to_string(contribution.size()) +
                        " bytes, the recipe says " + std::to_string(shape.size_bytes()));
    }
    const auto& units = extent_.lane_units;
    const auto unit = [&](std::uint64_t u) {
        return contribution.subspan(u * base::piece_size_bytes, shape.bytes_in(u));
    };
    for (auto u = units.first; u < units.end(); ++u) {
        TEQUIO_CHECK(
            check_contribution_unit(contribution_kind::lane, recipe_, layout_, u, unit(u)));
    }
    for (auto u = units.first; u < units.end(); ++u) sums_.add_unit(shape, u, unit(u));
    // With the mean's unit 0 goes the loss: units over the same elements may hold the lanes' too.
    losses_[lane.value] = extent_.units.first == 0 ? header_of(contribution).loss : 0;
    ++lanes_added_;
    return {};
}

base::result<void> summation::add(const summation& other) {
    base::ensure(other.losses_.size() == losses_.size() && other.extent_.units == extent_.units,
                 "both summations have one recipe, and are of one shard");
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (losses_[l] && other.losses_[l]) return lane_added_twice(l);
    }
    sums_.add(other.sums_);
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (other.losses_[l]) losses_[l] = other.losses_[l];
    }
    lanes_added_ += other.lanes_added_;
    return {};
}

base::result<double> summation::mean_loss() const {
    double loss = 0;
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (!losses_[l]) {
            return fail(errc::incomplete_sum, "sum: lane " + std::to_string(l) + " is missing");
        }
        loss += *losses_[l];
    }
    return loss / static_cast<double>(recipe_.train.lanes);
}

base::result<sum_output> summation::finish() const {
    base::ensure(sums_.run().count == layout_.padded_size, "the sums are of everything");
    sum_output out;
    TEQUIO_TRY(out.loss, mean_loss());
    const auto lanes = recipe_.train.lanes;
    out.sum = base::blob_ref_of(sums_.bytes()).root;
    std::vector<float> mean(layout_.padded_size);
    sums_.mean(lanes, recipe_.train.window, mean);
    TEQUIO_TRY(out.mean, encode_contribution(contribution_kind::mean, recipe_, layout_, mean,
                                             out.loss, lanes * lane_tokens(recipe_)));
    return out;
}

base::result<base::byte_vector> summation::part() const {
    part_header header;
    header.units = extent_.units;
    header.pieces = extent_.pieces;
    TEQUIO_TRY(header.loss, mean_loss());
    std::vector<float> mean(extent_.summed.count);
    sums_.mean(recipe_.train.lanes, recipe_.train.window, mean);
    const auto shape = shape_of(contribution_kind::mean, recipe_, layout_);
    base::byte_vector units(shape.bytes_of(extent_.units));
    TEQUIO_TRY(const auto counts,
               encode_units(contribution_kind::mean, recipe_, layout_, extent_.units,
                            std::span(mean).first(extent_.elements.count), units));
    header.saturated = counts.saturated;
    header.flushed = counts.flushed;
    base::byte_vector out;
    out.reserve(extent_.part_bytes);
    write_part_header(header, out);
    base::byte_writer w(out);
    const auto skipped =
        extent_.summed.first * integer_bytes(codec_of(contribution_kind::lane, recipe_));
    for (auto p = extent_.pieces.first; p < extent_.pieces.end(); ++p) {
        const auto rest = sums_.bytes().subspan(p * base::piece_size_bytes - skipped);
        const auto size = std::min<std::size_t>(rest.size(), base::piece_size_bytes);
        w.raw(base::merkle_leaf(rest.first(size)).view());
    }
    w.raw(units);
    return out;
}

base::result<sum_output> join_parts(const recipe& r, const state_layout& layout,
                                    std::span<const base::byte_view> parts) {
    const auto lane = shape_of(contribution_kind::lane, r, layout);
    const auto shape = shape_of(contribution_kind::mean, r, layout);
    sum_output out;
    out.mean.reserve(shape.size_bytes());
    std::vector<base::digest> leaves;
    contribution_header facts;
    facts.tokens = r.train.lanes * lane_tokens(r);
    std::uint64_t next = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        const auto header = read_part_header(parts[i]);
        if (!header) return bad_part(i, "is none");
        if (header->units.first != next || header->units.count == 0 ||
            header->units.end() > shape.units()) {
            return bad_part(i, "does not begin where the one before it ends");
        }
        const auto extent = shard_extent_of(lane, shape, header->units);
        if (header->pieces != extent.pieces || parts[i].size() != extent.part_bytes) {
            return bad_part(i, "has not the size of its units");
        }
        base::byte_reader in(parts[i].subspan(part_header_bytes));
        for (std::uint64_t p = 0; p < extent.pieces.count; ++p) {
            const auto leaf = in.raw(sizeof(base::digest));
            std::copy(leaf.begin(), leaf.end(), leaves.emplace_back().bytes.begin());
        }
        const auto units = in.raw(shape.bytes_of(header->units));
        out.mean.insert(out.mean.end(), units.begin(), units.end());
        if (next == 0) facts.loss = header->loss;
        if (header->saturated > layout.parameters || header->flushed > layout.parameters) {
            return bad_part(i, "counts more values than there are");
        }
        facts.saturated += header->saturated;
        facts.flushed += header->flushed;
        next = header->units.end();
    }
    if (next != shape.units()) {
        return fail(errc::incomplete_sum, "sum: unit " + std::to_string(next) + " is missing");
    }
    write_facts(facts, out.mean);
    TEQUIO_CHECK(check_contribution(contribution_kind::mean, r, layout, out.mean));
    out.sum = base::merkle_root(leaves);
    out.loss = facts.loss;
    return out;
}

base::result<void> apply_mean(const recipe& r, const state_layout& layout, base::round_index round,
                              base::byte_view mean, state_span state) {
    return apply_mean(r, layout, layout, round, mean, state);
}

base::result<void> apply_mean(const recipe& r, const state_layout& whole, const state_layout& part,
                              base::round_index round, base::byte_view mean, state_span state) {
    const auto second_size = r.train.synchronous() ? part.padded_size : 0;
    base::ensure(state.parameters.size() == part.padded_size &&
                     state.momentum.size() == part.padded_size &&
                     state.second.size() == second_size,
                 "a state has the size of its layout, and the arrays of its method");
    TEQUIO_CHECK(check_contribution(contribution_kind::mean, r, whole, mean));
    const mean_reader reader(r, whole, mean);
    if (r.train.synchronous()) {
        synchronous_step(r.train, whole, part, round, reader, state);
        return {};
    }
    const outer_scalars scalars{static_cast<float>(r.train.outer.lr),
                                static_cast<float>(r.train.outer.momentum)};
    for (const auto& t : part.tensors) {
        reader.for_each_run(whole.tensor(t.name), [&](std::uint64_t first,
                                                      std::span<const float> values) {
            outer_step(scalars, values, state.parameters.subspan(t.offset + first, values.size()),
                       state.momentum.subspan(t.offset + first, values.size()));
        });
    }
    return {};
}

}  // namespace tequio::training
