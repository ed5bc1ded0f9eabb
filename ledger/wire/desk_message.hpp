#pragma once

/// What two receipt desks say to one another. Layout: README.md in this folder.

#include <string>
#include <variant>

#include "base/bytes.hpp"
#include "ledger/key_certificate.hpp"
#include "ledger/receipt.hpp"

namespace tequio::ledger {

/// The sender's log key. `asks`: please send yours.
struct introduction {
    certified_key key;
    bool asks = false;
    bool operator==(const introduction&) const = default;
};
/// A receipt signed by the checker, for the worker to sign.
struct offer {
    std::string note;
    bool operator==(const offer&) const = default;
};
/// The same receipt with both signatures.
struct answer {
    std::string note;
    bool operator==(const answer&) const = default;
};
enum class refusal_code : std::uint8_t {
    disagree = 1,  ///< the worker knows it otherwise
    conflict       ///< the worker signed another text for this work
};
struct refusal {
    base::digest text;  ///< SHA-256 of the offered receipt's text
    refusal_code code = refusal_code::disagree;
    std::string reason;  ///< for people
    bool operator==(const refusal&) const = default;
};
using message = std::variant<introduction, offer, answer, refusal>;

inline constexpr std::size_t refusal_reason_max_bytes = 200;
/// Cap on an encoded message.
inline constexpr std::size_t message_size_max_bytes = receipt_size_max_bytes + 16;

base::byte_vector encode_message(const message& m);
/// Errors: `errc::bad_message` unless `bytes` is exactly what `encode_message` writes.
base::result<message> decode_message(base::byte_view bytes);

}  // namespace tequio::ledger
