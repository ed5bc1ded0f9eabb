#pragma once

/// What linked nodes tell each other, decoded: see network.proto. `decode_message` checks every cap
/// below before it copies anything.

#include <variant>
#include <vector>

#include "base/blob.hpp"
#include "p2p/error.hpp"

namespace tequio::p2p::wire {

inline constexpr std::size_t records_per_message = 64;
inline constexpr std::size_t record_size_max = 1024;
inline constexpr std::size_t ids_per_offer = 16384;
inline constexpr std::size_t ids_per_request = 64;
inline constexpr std::size_t path_length_max = 40;  ///< blob_size_max_bytes has 22 levels

struct peer_records {
    std::vector<base::byte_vector> records;
    bool operator==(const peer_records&) const = default;
};
struct note_offer {
    std::vector<base::digest> ids;
    bool complete = false;
    bool operator==(const note_offer&) const = default;
};
struct note_request {
    std::vector<base::digest> ids;
    bool operator==(const note_request&) const = default;
};
struct note {
    std::uint8_t kind = 0;
    base::byte_vector bytes;
    bool operator==(const note&) const = default;
};
struct note_summary {
    base::digest digest;
    bool operator==(const note_summary&) const = default;
};
struct piece_request {
    base::blob_ref ref;
    std::uint64_t index = 0;
    bool operator==(const piece_request&) const = default;
};
enum class piece_status : std::uint8_t { found = 1, not_found = 2, busy = 3 };
struct piece_answer {
    base::blob_ref ref;
    piece_status status = piece_status::not_found;
    std::uint64_t index = 0;
    base::byte_vector bytes;         ///< found only
    std::vector<base::digest> path;  ///< found only
    bool operator==(const piece_answer&) const = default;
};
struct app {
    std::uint8_t topic = 0;
    base::byte_vector bytes;
    bool operator==(const app&) const = default;
};
using message = std::variant<peer_records, note_offer, note_request, note, note_summary,
                             piece_request, piece_answer, app>;

base::byte_vector encode(const message& m);
/// Errors: `errc::bad_message`, naming the rule broken. Safe on any input.
base::result<message> decode_message(base::byte_view bytes);

}  // namespace tequio::p2p::wire
