#pragma once

/// The container of MXINT8 results: what a lane sends (kind `lane`) and what a round's sum becomes
/// (kind `mean`). NUMERICS.md, Contributions and their sums.
///
/// The flat padded state (training/state.hpp) is cut into blocks of 32 elements, and blocks into
/// units of 7,936. A unit is encoded as
///
///     header   256 bytes
///     scales   one byte a block: b - E, 0..39
///     codes    32 bytes a block: int8, -127..127, value = code * 2^b
///
/// so that a full unit has 262,144 bytes: one piece of a blob. The blob root of the container is
/// the Merkle root over units, and one mechanism moves and proves both. Header, little-endian:
///
///     0  magic "TQCONTR1"      16  units in all, u32       32  tokens u64     (unit 0 only,
///     8  kind u32              20  blocks here, u32        40  saturated u64   else zero)
///    12  unit index u32        24  loss, f64 bits          48  flushed u64    rest zero
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
inline constexpr std::uint64_t unit_blocks = 7936;
inline constexpr std::uint64_t unit_elements = unit_blocks * block_elements;

/// Whose values a container holds. Numbers stand in the header: append only.
enum class contribution_kind : std::uint32_t { lane = 1, mean = 2 };

/// What stands in unit 0 beside the codes. All of it is part of the contribution's digest.
struct contribution_header {
    double loss = 0;              ///< lane: mean over counted tokens; mean: mean over lanes; nats
    std::uint64_t tokens = 0;     ///< counted in `loss`
    std::uint64_t saturated = 0;  ///< values cut to +-127 * 2^b
    std::uint64_t flushed = 0;    ///< values other than 0 that became code 0
    bool operator==(const contribution_header&) const = default;
};

/// Sizes that follow from the number of elements (a multiple of 32, at least 32).
struct contribution_shape {
    std::uint64_t elements = 0;
    std::uint64_t blocks() const { return elements / block_elements; }
    std::uint64_t units() const { return (blocks() + unit_blocks - 1) / unit_blocks; }
    /// Blocks in unit `index` < units().
    std::uint64_t blocks_in(std::uint64_t index) const;
    /// Bytes of the whole container.
    std::uint64_t size_bytes() const {
        return units() * contribution_header_bytes + blocks() * (1 + block_elements);
    }
};

/// Encodes `values` (layout.padded_size floats, padding +0) in the window that `r` fixes. For a
/// lane, values are the outer gradient: parameters at the round's start minus those at its end.
/// Errors: `errc::not_finite` when a value or the loss is not finite; `first_not_finite` finds the
/// tensor.
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

/// Decodes a checked contribution into `out` (layout.padded_size floats): code * 2^b, values below
/// 2^-126 in magnitude (-0 cannot occur) as +0.
void decode_contribution(const recipe& r, base::byte_view bytes, std::span<float> out);

/// Index of the first element that is not finite; values.size() when all are.
std::uint64_t first_not_finite(std::span<const float> values);

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
