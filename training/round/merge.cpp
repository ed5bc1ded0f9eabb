#include "training/merge.hpp"

#include <algorithm>
#include <bit>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/numerics/f32_grid.hpp"
#include "training/round/outer_step.hpp"
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

base::error twice(std::uint64_t lane) {
    return fail(errc::bad_contribution, "sum: lane " + std::to_string(lane) + " was added before");
}

}  // namespace

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
    : recipe_(r),
      layout_(layout),
      sums_(codec_of(contribution_kind::lane, r), {0, layout.padded_size}),
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
    if (has(lane)) return twice(lane.value);
    TEQUIO_TRY(const auto header,
               check_contribution(contribution_kind::lane, recipe_, layout_, contribution));
    const auto shape = shape_of(contribution_kind::lane, recipe_, layout_);
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        sums_.add_unit(shape, u,
                       contribution.subspan(u * base::piece_size_bytes, shape.bytes_in(u)));
    }
    losses_[lane.value] = header.loss;
    ++lanes_added_;
    return {};
}

base::result<void> summation::add(const summation& other) {
    base::ensure(other.losses_.size() == losses_.size(), "both summations have one recipe");
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (losses_[l] && other.losses_[l]) return twice(l);
    }
    sums_.add(other.sums_);
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (other.losses_[l]) losses_[l] = other.losses_[l];
    }
    lanes_added_ += other.lanes_added_;
    return {};
}

base::result<sum_output> summation::finish() const {
    double loss = 0;
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (!losses_[l]) {
            return fail(errc::incomplete_sum, "sum: lane " + std::to_string(l) + " is missing");
        }
        loss += *losses_[l];
    }
    const auto lanes = recipe_.train.lanes;
    sum_output out;
    out.sum = base::blob_ref_of(sums_.bytes()).root;
    out.loss = loss / static_cast<double>(lanes);
    std::vector<float> mean(layout_.padded_size);
    sums_.mean(lanes, recipe_.train.window, mean);
    TEQUIO_TRY(out.mean, encode_contribution(contribution_kind::mean, recipe_, layout_, mean,
                                             out.loss, lanes * lane_tokens(recipe_)));
    return out;
}

base::result<void> apply_mean(const recipe& r, const state_layout& layout, base::round_index round,
                              base::byte_view mean, state_span state) {
    const auto second_size = r.train.synchronous() ? layout.padded_size : 0;
    base::ensure(state.parameters.size() == layout.padded_size &&
                     state.momentum.size() == layout.padded_size &&
                     state.second.size() == second_size,
                 "a state has the size of its layout, and the arrays of its method");
    TEQUIO_CHECK(check_contribution(contribution_kind::mean, r, layout, mean));
    if (r.train.synchronous()) {
        std::vector<float> gradient(layout.padded_size);
        decode_contribution(contribution_kind::mean, r, mean, gradient);
        synchronous_step(r.train, layout, round, gradient, state);
        return {};
    }
    const outer_scalars scalars{static_cast<float>(r.train.outer.lr),
                                static_cast<float>(r.train.outer.momentum)};
    const auto shape = shape_of(contribution_kind::mean, r, layout);
    std::vector<float> decoded(std::min(shape.unit_elements(), shape.elements));
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto run = shape.elements_of({u, 1});
        const auto values = std::span(decoded).first(run.count);
        decode_blocks(shape.codec, r.train.window, unit_of(shape, mean, u).blocks, values);
        outer_step(scalars, values, state.parameters.subspan(run.first, run.count),
                   state.momentum.subspan(run.first, run.count));
    }
    return {};
}

}  // namespace tequio::training
