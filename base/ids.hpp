#pragma once

/// Strong types for the 32-byte names and the counters of the protocol: two of them cannot be
/// swapped by mistake.

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"

namespace tequio::base {

/// 32 bytes that name something. Ordered by bytes, so it can key ordered containers and break ties.
template <class Tag>
struct id32 {
    std::array<std::uint8_t, 32> bytes{};

    auto operator<=>(const id32&) const = default;
    byte_view view() const { return bytes; }
    std::string hex() const { return to_hex(bytes); }
    /// The first 8 hexadecimal digits: for people, never for comparison.
    std::string brief() const { return hex().substr(0, 8); }
    bool is_zero() const { return *this == id32{}; }
};

/// Errors: `errc::bad_encoding` unless `hex` is 64 lower-case hexadecimal digits.
template <class Id>
result<Id> parse_id(std::string_view hex) {
    TEQUIO_TRY(const auto bytes, from_hex(hex));
    Id id;
    if (bytes.size() != id.bytes.size()) {
        return fail(errc::bad_encoding, "an id has 64 hexadecimal digits, found " +
                                            std::to_string(hex.size()) + ": " + std::string(hex));
    }
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    return id;
}

/// Errors: `errc::bad_encoding` unless there are exactly 32 bytes.
template <class Id>
result<Id> id_from_bytes(byte_view bytes) {
    Id id;
    if (bytes.size() != id.bytes.size()) {
        return fail(errc::bad_encoding,
                    "an id has 32 bytes, found " + std::to_string(bytes.size()));
    }
    std::copy(bytes.begin(), bytes.end(), id.bytes.begin());
    return id;
}

using digest = id32<struct digest_tag>;     ///< a SHA-256 or Merkle root
using public_key = id32<struct key_tag>;    ///< an Ed25519 public key
using node_id = id32<struct node_tag>;      ///< a node's root public key
using swarm_id = id32<struct swarm_tag>;    ///< SHA-256 of a swarm's founding note text
using task_id = id32<struct task_tag>;      ///< SHA-256 of a task's text without its signatures
using recipe_id = id32<struct recipe_tag>;  ///< SHA-256 of a recipe's canonical text

/// A counter of one kind of thing. Arithmetic is explicit, through `value`.
template <class Tag>
struct counter {
    std::uint64_t value = 0;
    auto operator<=>(const counter&) const = default;
    counter next() const { return {value + 1}; }
};

using round_index = counter<struct round_tag>;
using lane_index = counter<struct lane_tag>;
using entry_index = counter<struct entry_tag>;  ///< position in a ledger

}  // namespace tequio::base
