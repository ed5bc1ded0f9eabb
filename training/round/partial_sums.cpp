// Sums that are published before any division, for others to add theirs to.
#include "training/round/partial_sums.hpp"

#include <cmath>
#include <cstring>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "training/merge.hpp"
#include "training/state.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view partial_magic = "TQSUMS01";

/// A lane's summand is below that, in powers of two (`element_sums`).
constexpr int narrow_bits = 46;
constexpr int wide_bits = 103;

/// Adds little-endian integers, each of a magnitude below `bound`; nothing when one is not.
template <class Integer>
bool add_bounded(base::byte_view bytes, Integer bound, std::span<Integer> to) {
    const auto at = [&](std::size_t i) {
        Integer x;
        std::memcpy(&x, bytes.data() + i * sizeof x, sizeof x);
        return x;
    };
    bool within = true;
    for (std::size_t i = 0; i < to.size(); ++i) within &= at(i) < bound && at(i) > -bound;
    if (!within) return false;
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += at(i);
    return true;
}

/// Where losses and integers begin.
std::uint64_t losses_bytes(const partial_sums& sums) {
    return sums.units.first == 0 ? sums.lanes.count * sizeof(double) : 0;
}

base::error bad_sums(const partial_sums& which, const std::string& why) {
    return fail(errc::bad_contribution, "sum: the sums of lanes " +
                                            std::to_string(which.lanes.first) + " to " +
                                            std::to_string(which.lanes.end() - 1) + " " + why);
}

base::byte_vector header_of(const partial_sums& which) {
    base::byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes(partial_magic));
    w.u32(static_cast<std::uint32_t>(which.units.first));
    w.u32(static_cast<std::uint32_t>(which.units.count));
    w.u32(static_cast<std::uint32_t>(which.lanes.first));
    w.u32(static_cast<std::uint32_t>(which.lanes.count));
    out.resize(partial_header_bytes);
    return out;
}

}  // namespace

partial_extent partial_extent_of(const contribution_shape& lane, const contribution_shape& mean,
                                 const partial_sums& sums, contribution_run shard) {
    base::ensure(shard.first >= sums.units.first && shard.end() <= sums.units.end(),
                 "a shard lies within the sums");
    const auto whole = shard_extent_of(lane, mean, sums.units).summed;
    const auto needed = shard_extent_of(lane, mean, shard).summed;
    const auto size = integer_bytes(lane.codec);
    const auto start = partial_header_bytes + losses_bytes(sums);
    partial_extent out;
    out.bytes = start + whole.count * size;
    const bool first = shard.first == sums.units.first;
    const auto from = first ? 0 : start + (needed.first - whole.first) * size;
    const auto end = start + (needed.end() - whole.first) * size;
    const auto piece = base::piece_size_bytes;
    out.pieces = {from / piece, (end + piece - 1) / piece - from / piece};
    return out;
}

bool element_sums::add_bytes(contribution_run from, base::byte_view bytes, std::uint64_t lanes) {
    base::ensure(run_.first >= from.first && run_.end() <= from.end() &&
                     bytes.size() == from.count * integer_bytes(codec_) && lanes >= 1 &&
                     lanes <= 65536,
                 "sums of a run, over another that holds it");
    const auto here = bytes.subspan((run_.first - from.first) * integer_bytes(codec_));
    if (codec_ == contribution_codec::f32) {
        return add_bounded(here, static_cast<__int128>(lanes) << wide_bits, std::span(wide_));
    }
    return add_bounded(here, static_cast<std::int64_t>(lanes) << narrow_bits, std::span(narrow_));
}

base::result<base::byte_vector> summation::partial(contribution_run lanes) const {
    base::ensure(lanes.count > 0 && lanes.end() <= losses_.size(), "lanes that there are");
    for (std::uint64_t l = 0; l < losses_.size(); ++l) {
        const bool wanted = l >= lanes.first && l < lanes.end();
        if (wanted == losses_[l].has_value()) continue;
        return fail(errc::incomplete_sum, "sum: lane " + std::to_string(l) +
                                              (wanted ? " is missing"
                                                      : " was added, and is not "
                                                        "of these"));
    }
    const partial_sums which{extent_.units, lanes};
    auto out = header_of(which);
    base::byte_writer w(out);
    if (losses_bytes(which) > 0) {
        for (auto l = lanes.first; l < lanes.end(); ++l) w.f64(*losses_[l]);
    }
    w.raw(sums_.bytes());
    return out;
}

base::result<void> summation::add_partial(const partial_sums& which, base::byte_view bytes) {
    const auto lane = shape_of(contribution_kind::lane, recipe_, layout_);
    const auto mean = shape_of(contribution_kind::mean, recipe_, layout_);
    const auto& units = which.units;
    const auto& lanes = which.lanes;
    if (lanes.count == 0 || lanes.first >= losses_.size() ||
        lanes.count > losses_.size() - lanes.first || units.count == 0 ||
        units.first > extent_.units.first || units.count > mean.units() ||
        units.first > mean.units() - units.count || units.end() < extent_.units.end()) {
        return bad_sums(which, "are not of this shard, or of lanes that there are not");
    }
    const auto extent = partial_extent_of(lane, mean, which, extent_.units);
    if (bytes.size() != extent.bytes) {
        return bad_sums(which, "have " + std::to_string(bytes.size()) +
                                   " bytes, allowed: " + std::to_string(extent.bytes));
    }
    for (auto l = lanes.first; l < lanes.end(); ++l) {
        if (losses_[l]) return lane_added_twice(l);
    }
    const auto header = header_of(which);
    if (units.first == extent_.units.first &&
        !std::equal(header.begin(), header.end(), bytes.begin())) {
        return bad_sums(which, "have another header");
    }
    std::vector<double> losses(lanes.count, 0);
    if (extent_.units.first == 0) {
        base::byte_reader in(bytes.subspan(partial_header_bytes, losses_bytes(which)));
        for (auto& loss : losses) {
            loss = in.f64();
            if (!std::isfinite(loss)) return bad_sums(which, "hold a loss that is not finite");
        }
    }
    const auto summed = shard_extent_of(lane, mean, units).summed;
    const auto integers = bytes.subspan(partial_header_bytes + losses_bytes(which));
    if (!sums_.add_bytes(summed, integers, lanes.count)) {
        return bad_sums(which, "hold a number that so many lanes cannot come to");
    }
    for (std::uint64_t i = 0; i < lanes.count; ++i) losses_[lanes.first + i] = losses[i];
    lanes_added_ += lanes.count;
    return {};
}

}  // namespace tequio::training
