#pragma once

/// Merkle trees of RFC 6962 section 2.1: leaf = SHA-256(0x00 || data), node = SHA-256(0x01 || left
/// || right), split at the largest power of two below n. One mechanism for blobs, contributions,
/// tensors, and the ledger.

#include <span>
#include <vector>

#include "base/ids.hpp"

namespace tequio::base {

/// The hash of a leaf, and of a node over two subtrees.
digest merkle_leaf(byte_view data);
digest merkle_node(const digest& left, const digest& right);

/// Root over leaf hashes; SHA-256 of nothing for none. Cost: n - 1 node hashes.
digest merkle_root(std::span<const digest> leaves);

/// Audit path of leaf `index` (RFC 6962 section 2.1.1), from the leaf upwards. `index` <
/// leaves.size().
std::vector<digest> merkle_path(std::span<const digest> leaves, std::uint64_t index);

/// True when `path` leads from `leaf` at `index` of `count` leaves to `root` (RFC 9162
/// section 2.1.3.2). Safe on any input.
bool merkle_path_verifies(const digest& root, const digest& leaf, std::uint64_t index,
                          std::uint64_t count, std::span<const digest> path);

}  // namespace tequio::base
