#pragma once

/// The container of results: what a lane sends (kind `lane`, in the recipe's `codec`) and what a
/// round's sum becomes (kind `mean`, in its `codec_down`). NUMERICS.md, Contributions and their
/// sums.
///
/// The flat padded state (training/state.hpp) is cut into blocks of 32 elements, and blocks into
/// units. A unit is encoded as
///
///     header   256 bytes
///     scales   mxint8, mxfp4: one byte a block, 0..39. f32: none
///     codes    mxint8: 32 bytes a block, int8 (numerics/mxint8.hpp)
///              mxfp4:  16 bytes a block, two codes a byte (numerics/mxfp4.hpp)
///              f32:   128 bytes a block, float32 on the grid of 2^-80 (numerics/f32_grid.hpp)
///     filling  zero bytes up to 262,144; none in the last unit, which ends with its codes
///
/// with 7,936 (mxint8), 15,360 (mxfp4) or 2,046 (f32) blocks a unit, the last one fewer. mxint8 and
/// f32 fill a unit to the last byte, mxfp4 leaves 768. So every unit is one piece of a blob, the
/// blob root of the container is the Merkle root over units, and one mechanism moves and proves
/// both. Header, little-endian:
///
///     0  magic "TQCONTR1"      16  units in all, u32       32  tokens u64     (unit 0 only,
///     8  kind u16              20  blocks here, u32        40  saturated u64   else zero)
///    10  codec u16             24  loss, f64 bits          48  flushed u64    rest zero
///    12  unit index u32
///
/// There is one encoding of each result; anything else is invalid.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "training/recipe.hpp"

namespace tequio::training {

struct state_layout;

inline constexpr std::uint64_t contribution_header_bytes = 256;
inline constexpr std::uint64_t block_elements = 32;

/// Whose values a container holds. Numbers stand in the header: append only.
enum class contribution_kind : std::uint16_t { lane = 1, mean = 2 };
/// How it holds them. Numbers stand in the header: append only.
enum class contribution_codec : std::uint16_t { mxint8 = 0, mxfp4 = 1, f32 = 2 };

/// The codec that a valid recipe asks for: `codec` of lanes, `codec_down` of the mean.
contribution_codec codec_of(contribution_kind kind, const recipe& r);

/// What encoding did to values; a value is counted at most once.
struct contribution_counts {
    std::uint64_t saturated = 0;  ///< values cut to the largest code of their block
    std::uint64_t flushed = 0;    ///< values other than 0 that became code 0
    /// Values in blocks whose scale is the window's highest: what would be larger has to saturate.
    std::uint64_t at_top = 0;
    bool operator==(const contribution_counts&) const = default;
};

/// What stands in unit 0 beside the codes. All of it is part of the contribution's digest.
struct contribution_header {
    double loss = 0;              ///< lane: mean over counted tokens; mean: mean over lanes; nats
    std::uint64_t tokens = 0;     ///< counted in `loss`
    std::uint64_t saturated = 0;  ///< see contribution_counts
    std::uint64_t flushed = 0;
    bool operator==(const contribution_header&) const = default;
};

/// Consecutive units, or consecutive elements: a shard of a container.
struct contribution_run {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::uint64_t end() const { return first + count; }
    bool operator==(const contribution_run&) const = default;
};

/// Names exact sums of a run of lanes over a run of the mean's units (training/merge.hpp).
struct partial_sums {
    contribution_run units;
    contribution_run lanes;
    bool operator==(const partial_sums&) const = default;
};

/// Sizes that follow from codec and number of elements (a multiple of 32, at least 32).
struct contribution_shape {
    contribution_codec codec = contribution_codec::mxint8;
    std::uint64_t elements = 0;

    /// Blocks in all.
    std::uint64_t blocks() const { return elements / block_elements; }
    /// Blocks, and elements, of every unit but the last.
    std::uint64_t unit_blocks() const;
    std::uint64_t unit_elements() const { return unit_blocks() * block_elements; }
    /// Units in all, the last one perhaps short.
    std::uint64_t units() const { return (blocks() + unit_blocks() - 1) / unit_blocks(); }
    /// Of unit `index` < units(): its blocks, its elements, its bytes with header and filling.
    std::uint64_t blocks_in(std::uint64_t index) const;
    std::uint64_t elements_in(std::uint64_t index) const {
        return blocks_in(index) * block_elements;
    }
    std::uint64_t bytes_in(std::uint64_t index) const;
    /// Bytes of the whole container; unit i starts at i * base::piece_size_bytes.
    std::uint64_t size_bytes() const { return bytes_of({0, units()}); }

    /// The elements of a run of units, at most all.
    contribution_run elements_of(contribution_run units) const;
    /// The fewest units that hold a run of elements. Units of two codecs share no borders: who sums
    /// a run of the mean's units needs the lanes' units over its elements, of which the first and
    /// the last may reach beyond it.
    contribution_run units_over(contribution_run run) const;
    /// Bytes of a run of units.
    std::uint64_t bytes_of(contribution_run units) const;
};

/// The shape of what lanes send, and of the mean.
contribution_shape shape_of(contribution_kind kind, const recipe& r, const state_layout& layout);

/// Encodes `values` (layout.padded_size floats, padding +0) in the codec and window that `r` fixes.
/// For a lane, values are the outer gradient: parameters at the round's start minus those at its
/// end. Errors: `errc::not_finite` when the loss is not finite or the codec refuses a value;
/// `first_refused` finds the tensor.
base::result<base::byte_vector> encode_contribution(contribution_kind kind, const recipe& r,
                                                    const state_layout& layout,
                                                    std::span<const float> values, double loss,
                                                    std::uint64_t tokens);

/// Checks that `bytes` is the one encoding of something that `kind` can be for this recipe: sizes,
/// headers, scales, codes, zero padding, token count, a finite loss.
/// Errors: `errc::bad_contribution`, naming unit and block. Safe on any input.
base::result<contribution_header> check_contribution(contribution_kind kind, const recipe& r,
                                                     const state_layout& layout,
                                                     base::byte_view bytes);

/// Decodes a checked contribution into `out` (layout.padded_size floats). No value is subnormal or
/// -0.
void decode_contribution(contribution_kind kind, const recipe& r, base::byte_view bytes,
                         std::span<float> out);

/// Index of the first value that a codec refuses: one that is not finite; for f32 also one of
/// magnitude 2^23 or more. values.size() when there is none.
std::uint64_t first_refused(contribution_codec codec, std::span<const float> values);

/// The header of a contribution that passed `check_contribution`.
contribution_header header_of(base::byte_view checked);

/// The header's counts, and those of the scales.
contribution_counts counts_of(const contribution_shape& shape, base::byte_view checked);

// A run of units by itself, for those who hold or make no more than that.

/// Encodes the elements of a run of units (`values` has as many) into `out` (bytes_of(units)), with
/// the facts of unit 0 (loss, tokens, counts) left zero; returns what was counted here. All runs of
/// a container, one after the other, and `write_facts` of the counts' sums give what
/// `encode_contribution` gives. Errors: as there.
base::result<contribution_counts> encode_units(contribution_kind kind, const recipe& r,
                                               const state_layout& layout, contribution_run units,
                                               std::span<const float> values,
                                               std::span<std::uint8_t> out);
/// Writes the facts into unit 0 of a container.
void write_facts(const contribution_header& facts, std::span<std::uint8_t> unit_0);
/// `check_contribution` of one unit alone; of unit 0 with its facts. Unit by unit it accepts the
/// same containers. Errors: as there. Safe on any input.
base::result<void> check_contribution_unit(contribution_kind kind, const recipe& r,
                                           const state_layout& layout, std::uint64_t index,
                                           base::byte_view unit);

/// Counts over several results of one kind.
struct contribution_tally {
    std::uint64_t results = 0;
    contribution_counts counts;
    void add(const contribution_counts& more);
    /// Of `parameters` values a result; 0 without results.
    double saturated_share(std::uint64_t parameters) const;
    double flushed_share(std::uint64_t parameters) const;
    bool operator==(const contribution_tally&) const = default;
};

/// A sentence for people when the counts say that the window does not fit, with what to do; empty
/// when they do not. Too much is 1 saturated value in 1,000 while as many lie in blocks of the
/// window's highest scale, or half of all values flushed; guesses both. Inside the window block
/// codes saturate too and mean nothing by it: MXFP4 cuts what lies in the highest quarter of a
/// block's last doubling, 1 value in 10 where all are alike, as in a first round of AdamW.
std::string strain_of(contribution_kind kind, const recipe& r, const contribution_tally& tally);

/// A lane's other possible result: at inner step `step` a value of `tensor` (or "loss", "norm") was
/// not finite.
struct diverged {
    std::uint64_t step = 0;
    std::string tensor;
    bool operator==(const diverged&) const = default;
    /// SHA-256 of "tequio/diverged/v1\nstep N\ntensor T\n": stands where a contribution's digest
    /// would.
    base::digest digest() const;
};

}  // namespace tequio::training
