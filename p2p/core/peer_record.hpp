#pragma once

/// A node's signed statement of where it can be reached. Layout, little-endian:
///
///     version u8 = 1, node id 32, message role's certificate 97, sequence u64, expires u64
///     (unix seconds), count u8 (0 to 8), then per address: length u8, text
///     signature 64, by the message key over "tequio/peer-record/v1" 0x00 and all bytes before it
///
/// Of two records of one node the higher sequence number counts. Addresses are literals in
/// canonical text with a port: a stranger may not make our resolver ask for names.

#include <optional>
#include <vector>

#include "base/time.hpp"
#include "p2p/address.hpp"
#include "p2p/identity.hpp"

namespace tequio::p2p {

inline constexpr std::size_t record_addresses_max = 8;

struct peer_record {
    base::node_id node;
    std::uint64_t sequence = 0;
    base::unix_time expires;
    std::vector<address> addresses;
};

/// Signs a record of `self`; addresses that may not stand in a record, and those beyond the cap,
/// are left out.
base::byte_vector sign_peer_record(const identity& self, std::uint64_t sequence,
                                   base::unix_time expires, const std::vector<address>& addresses);
/// Errors: `errc::bad_message`, `errc::bad_certificate`. Safe on any input. Expiry is the caller's.
base::result<peer_record> verify_peer_record(base::byte_view bytes);

/// Whose record it claims to be, unverified: to drop what is known already before checking
/// signatures.
struct record_claim {
    base::node_id node;
    std::uint64_t sequence = 0;
};
std::optional<record_claim> peek_peer_record(base::byte_view bytes);

}  // namespace tequio::p2p
