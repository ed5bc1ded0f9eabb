#pragma once

/// Content-addressed bytes: a blob is named by the Merkle root over its 256 KiB pieces, so each
/// piece can be fetched from anyone and checked alone.

#include <optional>
#include <vector>

#include "base/merkle.hpp"

namespace tequio::base {

inline constexpr std::uint64_t piece_size_bytes = 256 * 1024;
/// A blob above this is refused before anything is allocated (guess: 16 TiB of pieces would need a
/// 2 GiB leaf list).
inline constexpr std::uint64_t blob_size_max_bytes = std::uint64_t{1} << 40;

/// Names a blob: the root says which bytes, the size how many pieces. Text form: 64 hex digits,
/// ':', decimal size.
struct blob_ref {
    digest root;
    std::uint64_t size = 0;

    auto operator<=>(const blob_ref&) const = default;
    /// Number of pieces; an empty blob has one empty piece, so that every blob has a leaf.
    std::uint64_t pieces() const {
        return size == 0 ? 1 : (size + piece_size_bytes - 1) / piece_size_bytes;
    }
    /// Bytes in piece `index` < pieces().
    std::uint64_t piece_size(std::uint64_t index) const;
    std::string text() const;
};

/// Consecutive pieces of a blob. None: the whole blob.
struct piece_run {
    std::uint64_t first = 0;
    std::uint64_t count = 0;

    auto operator<=>(const piece_run&) const = default;
    /// True when all of the blob is meant.
    bool whole() const { return count == 0; }
    /// Of the pieces of `ref` those that are meant, whole or not.
    piece_run within(const blob_ref& ref) const {
        return whole() ? piece_run{0, ref.pieces()} : *this;
    }
    /// True when all of them are pieces of `ref`. Safe on any numbers.
    bool fits(const blob_ref& ref) const {
        return whole() ? first == 0 : count <= ref.pieces() && first <= ref.pieces() - count;
    }
};

/// Errors: `errc::bad_encoding`; `errc::too_large` above `blob_size_max_bytes`.
result<blob_ref> parse_blob_ref(std::string_view text);

/// The leaf hashes of a blob's pieces.
std::vector<digest> blob_leaves(byte_view bytes);
/// Name of `bytes`. Cost: one SHA-256 pass.
blob_ref blob_ref_of(byte_view bytes);
/// Name of the blob whose pieces have these leaf hashes.
blob_ref blob_ref_of(std::span<const digest> leaves, std::uint64_t size);

/// One piece with its proof, as it travels.
struct blob_piece {
    std::uint64_t index = 0;
    byte_vector bytes;
    std::vector<digest> path;
};

/// True when the piece belongs to `ref`: right length, and its path leads to the root. Safe on any
/// input.
bool piece_verifies(const blob_ref& ref, const blob_piece& piece);

}  // namespace tequio::base
