#include "training/merge.hpp"

#include <algorithm>
#include <bit>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/numerics/mxint8.hpp"
#include "training/round/outer_step.hpp"
#include "training/round/units.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the sums' digest is over little-endian bytes, taken straight from memory");

base::byte_view int64_bytes(std::span<const std::int64_t> values) {
    return {reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()};
}

base::error twice(std::uint64_t lane) {
    return fail(errc::bad_contribution, "sum: lane " + std::to_string(lane) + " was added before");
}

}  // namespace

summation::summation(const recipe& r, const state_layout& layout)
    : recipe_(r), layout_(layout), sums_(layout.padded_size), losses_(r.train.lanes) {}

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
    const contribution_shape shape{layout_.padded_size};
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto unit = unit_of(shape, contribution, u);
        numerics::mxint8_accumulate(unit.scales, unit.codes,
                                    std::span(sums_).subspan(u * unit_elements, unit.codes.size()));
    }
    losses_[lane.value] = header.loss;
    ++lanes_added_;
    return {};
}

base::result<void> summation::add(const summation& other) {
    base::ensure(other.sums_.size() == sums_.size() && other.losses_.size() == losses_.size(),
                 "both summations have one recipe");
    for (std::size_t l = 0; l < losses_.size(); ++l) {
        if (losses_[l] && other.losses_[l]) return twice(l);
    }
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
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
    out.sum = base::blob_ref_of(int64_bytes(sums_)).root;
    out.loss = loss / static_cast<double>(lanes);
    std::vector<float> mean(sums_.size());
    mean_of_sums(sums_, lanes, recipe_.train.window, mean);
    TEQUIO_TRY(out.mean, encode_contribution(contribution_kind::mean, recipe_, layout_, mean,
                                             out.loss, lanes * lane_tokens(recipe_)));
    return out;
}

base::result<void> apply_mean(const recipe& r, const state_layout& layout, base::byte_view mean,
                              state_span state) {
    base::ensure(state.parameters.size() == layout.padded_size &&
                     state.momentum.size() == layout.padded_size,
                 "a state has the size of its layout");
    TEQUIO_CHECK(check_contribution(contribution_kind::mean, r, layout, mean));
    const outer_scalars scalars{static_cast<float>(r.train.outer.lr),
                                static_cast<float>(r.train.outer.momentum)};
    const contribution_shape shape{layout.padded_size};
    std::vector<float> decoded(std::min(unit_elements, layout.padded_size));
    for (std::uint64_t u = 0; u < shape.units(); ++u) {
        const auto unit = unit_of(shape, mean, u);
        const auto n = unit.codes.size();
        const auto values = std::span(decoded).first(n);
        numerics::mxint8_decode(unit.scales, unit.codes, r.train.window, values);
        outer_step(scalars, values, state.parameters.subspan(u * unit_elements, n),
                   state.momentum.subspan(u * unit_elements, n));
    }
    return {};
}

}  // namespace tequio::training
