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
inline constexpr std::size_t stream_reason_max = 512;
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
struct stream_open {
    base::digest name;
    std::uint64_t epoch = 0;  ///< from 1
    std::uint64_t received = 0;
    bool answer = false;
    bool operator==(const stream_open&) const = default;
};
struct stream_chunk {
    base::digest name;
    std::uint64_t epoch = 0;
    std::uint64_t number = 0;
    std::uint64_t size = 0;  ///< at most stream_message_max
    std::uint64_t offset = 0;
    base::byte_vector
        bytes;  ///< at most stream_chunk_max, within the message; empty only of an empty one
    bool operator==(const stream_chunk&) const = default;
};
struct stream_ack {
    base::digest name;
    std::uint64_t epoch = 0;
    std::uint64_t bytes = 0;
    std::uint64_t received = 0;
    std::uint64_t taken = 0;  ///< at most `received`
    bool operator==(const stream_ack&) const = default;
};
struct stream_close {
    base::digest name;
    std::string reason;
    bool operator==(const stream_close&) const = default;
};
using message =
    std::variant<peer_records, note_offer, note_request, note, note_summary, piece_request,
                 piece_answer, app, stream_open, stream_chunk, stream_ack, stream_close>;

base::byte_vector encode(const message& m);
/// Errors: `errc::bad_message`, naming the rule broken. Safe on any input.
base::result<message> decode_message(base::byte_view bytes);

}  // namespace tequio::p2p::wire
