#pragma once

/// merge(state, contributions) -> state: an exact integer sum (so no order can show), a division by
/// the lane count, one rounding in `codec_down`, one step of the outer optimizer. NUMERICS.md,
/// Contributions and their sums; DESIGN.md section 6.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/contribution.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

struct state_layout;
struct state_span;

/// What a round's contributions come to.
struct sum_output {
    /// Blob root of the sums in the order of the padded layout (`element_sums::bytes`).
    base::digest sum;
    base::byte_vector mean;  ///< container of kind `mean`
    double loss = 0;         ///< mean of the lanes' losses: added in ascending lane order, divided
};

/// What the owner of a shard, a run of the mean's units, works on. Three things are cut at
/// different places, for codecs and integers differ in size: the mean into units, lanes'
/// contributions into units, and the sums' bytes into pieces, over whose hashes the sum's digest
/// is. Every piece belongs to the shard that holds its first element, so an owner needs at most one
/// unit more of each lane than the shard's own elements lie in.
struct shard_extent {
    contribution_run units;       ///< of the mean
    contribution_run elements;    ///< of those units
    contribution_run summed;      ///< elements: `elements`, and what the last of `pieces` holds
    contribution_run pieces;      ///< of the sums' bytes; may be none
    contribution_run lane_units;  ///< of every lane: those over `summed`
    std::uint64_t part_bytes = 0;
};
/// `units`: at least one, all of them the mean's.
shard_extent shard_extent_of(const contribution_shape& lane, const contribution_shape& mean,
                             contribution_run units);

/// The exact sums over a run of elements, in integers that no order of adding can change:
///
///     mxint8, mxfp4   int64 in units of 2^E. A summand is below 2^46, so that 65,536 of them stay
///                     below 2^62
///     f32             int128 in units of 2^-80. A summand is below 2^103, so that 65,536 of them
///                     stay below 2^119
///
/// Memory: 8 or 16 bytes an element. Threads: none; a value belongs to one thread.
class element_sums {
public:
    /// Of lanes' contributions in `codec`; starts at 0. `run`: multiples of 32.
    element_sums(contribution_codec codec, contribution_run run);

    contribution_run run() const { return run_; }
    /// Adds what unit `index` of a lane's container holds of the run, which may be nothing. `unit`
    /// passed `check_contribution`, or `check_contribution_unit`; `shape`: of the container.
    void add_unit(const contribution_shape& shape, std::uint64_t index, base::byte_view unit);
    /// Adds other lanes' sums over the same run.
    void add(const element_sums& other);
    /// Adds what others' sums over `from`, which holds this run, come to here. `bytes`: as
    /// `bytes()` of those, of which the rest is not looked at. False when an integer is no sum of
    /// so many lanes; nothing is added then, so that nobody's bytes make a sum overflow.
    bool add_bytes(contribution_run from, base::byte_view bytes, std::uint64_t lanes);

    /// The integers, little-endian, in two's complement: 8 or 16 bytes each.
    base::byte_view bytes() const;
    /// The integers themselves; of the codec that is not this one's: empty.
    std::span<const std::int64_t> narrow() const { return narrow_; }
    std::span<const __int128> wide() const { return wide_; }

    /// mean: (run().count). Each value is the sum divided by `lanes` (1..65536) and rounded to
    /// float32: int64 as float32(float64(sum) / float64(lanes)) * 2^window, int128 correctly.
    void mean(std::uint64_t lanes, int window, std::span<float> out) const;

private:
    contribution_codec codec_;
    contribution_run run_;
    std::vector<std::int64_t> narrow_;
    std::vector<__int128> wide_;
};

/// Sums that are published before any division (`partial_sums`): of a run of lanes, over a run of
/// the mean's units. Groups of a large crew sum their own lanes so, and whoever adds all groups'
/// finishes: integers do not mind how they are grouped. The bytes follow from the contributions
/// alone:
///
///     0  magic "TQSUMS01"      12  units, u32         20  lanes, u32
///     8  first unit, u32       16  first lane, u32    24  zero
///     64  when unit 0 is among the units, these lanes' losses in ascending order, f64 bits: the
///         round's loss is added in lane order, as floating point minds; then `element_sums::bytes`
///         over `shard_extent::summed` of the units
///
/// Little-endian.
inline constexpr std::uint64_t partial_header_bytes = 64;

/// Sizes of published sums, and what of them a shard within their units needs.
struct partial_extent {
    std::uint64_t bytes = 0;  ///< of all of it
    /// Pieces of the blob over what the shard needs: its integers, of the shard with the first unit
    /// also header and losses.
    contribution_run pieces;
};
/// `shard`: units, all of them among `sums.units`. Shapes: of a lane's contribution and the mean.
partial_extent partial_extent_of(const contribution_shape& lane, const contribution_shape& mean,
                                 const partial_sums& sums, contribution_run shard);

/// Adds lanes' contributions, in any order. Threads: none; one summation belongs to one thread.
class summation {
public:
    /// Of everything. Keeps references: both must outlive the summation.
    summation(const recipe& r, const state_layout& layout);
    /// Of one shard: a run of the mean's units.
    summation(const recipe& r, const state_layout& layout, contribution_run units);

    const shard_extent& extent() const { return extent_; }
    /// `contribution`: as long as a whole one; of a shard only its `lane_units` are looked at.
    /// Errors: `errc::bad_contribution` when a unit is not canonical or the lane was added before
    /// or does not exist; nothing is added then.
    base::result<void> add(base::lane_index lane, base::byte_view contribution);

    /// Adds what another summation of the same recipe and units has gathered from other lanes.
    /// Errors: `errc::bad_contribution` when a lane is in both; nothing is added then.
    base::result<void> add(const summation& other);
    /// The same of one that was published (`partial_sums` below), perhaps of more units than these.
    /// `bytes`: as long as the whole one; only `partial_extent::pieces` of these units is looked
    /// at. Errors: also when the bytes are no such sums. Safe on any input.
    base::result<void> add_partial(const partial_sums& which, base::byte_view bytes);

    /// The sums so far, over `extent().summed`.
    const element_sums& sums() const { return sums_; }
    /// True when this lane was added.
    bool has(base::lane_index lane) const;
    std::uint64_t lanes_added() const { return lanes_added_; }

    /// Divides and encodes; ensures that the sums are of everything. May be called again. Errors:
    /// `errc::incomplete_sum`, naming the first missing lane.
    base::result<sum_output> finish() const;
    /// The same of a shard: its part (below).
    base::result<base::byte_vector> part() const;
    /// What was added, for others to add theirs to. `lanes`: a run of lanes. Errors:
    /// `errc::incomplete_sum`, naming the first lane of the run that is missing, or the first
    /// beyond it that was added.
    base::result<base::byte_vector> partial(contribution_run lanes) const;

private:
    base::result<double> mean_loss() const;

    const recipe& recipe_;
    const state_layout& layout_;
    shard_extent extent_;
    element_sums sums_;
    std::vector<std::optional<double>> losses_;  ///< by lane
    std::uint64_t lanes_added_ = 0;
};

/// What a shard's owner publishes, so that everybody can put the round's sum together:
///
///     0  magic "TQPART01"      16  first piece, u64     32  loss, f64 bits (0 without unit 0)
///     8  first unit, u32       24  pieces, u64          40  saturated u64   48  flushed u64
///    12  units, u32                                     56  zero
///    64  the 32-byte leaf hashes of those pieces of the sums' bytes; then the units of the mean,
///        as `encode_units` leaves them
///
/// Little-endian. A part follows from the contributions alone, so two owners make the same bytes.
inline constexpr std::uint64_t part_header_bytes = 64;

/// Puts parts together that cover every unit once, in their order: what `summation::finish` of all
/// the lanes gives. Whether the numbers are right nobody can see who has not summed. Errors:
/// `errc::bad_contribution`, naming the part, when one is not of its place or not canonical. Safe
/// on any input.
base::result<sum_output> join_parts(const recipe& r, const state_layout& layout,
                                    std::span<const base::byte_view> parts);

/// The step from S(round) to S(round + 1), with d = decoded mean.
///
/// Method diloco: Nesterov, in float32, element by element, no fused operation:
///
///     v = flush_subnormal(mu * v + d)
///     p = flush(p - eta * (d + mu * v))
///
/// mu and eta are the recipe's outer momentum and learning rate rounded to float32; flush replaces
/// |x| < 2^-48 (and so -0) by +0, flush_subnormal |x| < 2^-126. Padding stays +0. The round does
/// not matter.
/// Source: Sutskever et al. 2013 in PyTorch's form (torch.optim.SGD, nesterov), as DiLoCo uses it.
///
/// Method synchronous: one step of AdamW with the recipe's inner settings, the (round + 1)-th, as a
/// lane of diloco takes it: the norm of d over all tensors in order of name (`square_sum`) and
/// `clip_scale`, then `adamw_step` with `inner_learning_rate(train, round, 0)`, then `adamw_update`
/// tensor by tensor (training/numerics: reduce.hpp, adamw.hpp). At last a new parameter that is not
/// finite becomes the largest finite number of its sign, so every state is finite: the lanes of
/// the next round say that the job diverges.
///
/// Errors: `errc::bad_contribution` when `mean` is not a canonical mean of this recipe; the state
/// is then unchanged. Memory: a few hundred KiB, whatever the model's size.
base::result<void> apply_mean(const recipe& r, const state_layout& layout, base::round_index round,
                              base::byte_view mean, state_span state);
/// The same of the tensors of one slice alone. `part`: the layout of `state`, with some tensors of
/// `whole`. The mean is of all of them: with method synchronous its norm is.
base::result<void> apply_mean(const recipe& r, const state_layout& whole, const state_layout& part,
                              base::round_index round, base::byte_view mean, state_span state);

}  // namespace tequio::training
