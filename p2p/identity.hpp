#pragma once

/// Who a node is. The root Ed25519 key's public part is the node id; it signs nothing but role
/// certificates. Each thing a node signs is signed by the key of one role, derived from the root
/// (base::signing_key::derive) and certified by it, so what is signed for one purpose can never be
/// taken for another. Files are read and written by p2p/data_dir.hpp.

#include <array>

#include "base/signing.hpp"
#include "p2p/error.hpp"

namespace tequio::p2p {

/// What a derived key may sign. Numbers travel in certificates: append only.
enum class key_role : std::uint8_t {
    session,  ///< proves the node on a fresh channel
    message,  ///< peer records, crew facts
    log,      ///< ledger entries and heads
    witness,  ///< cosignatures of other nodes' heads
    swarm,    ///< founding notes
};
inline constexpr std::size_t key_role_count = 5;

/// "session", "message", "log", "witness", "swarm": also the name the key is derived under.
std::string_view name_of(key_role role);

/// The root key's statement that `key` is this node's key for `role`.
///
/// Signed bytes: "tequio/role-certificate/v1" 0x00, role name, 0x00, node id (32), role key (32).
/// It has no expiry: a key is retired with its node id (rotation is not in this version).
struct role_certificate {
    key_role role{};
    base::public_key key;
    base::signature root_signature{};

    /// 97 bytes: role (1), key (32), signature (64).
    base::byte_vector encode() const;
    bool operator==(const role_certificate&) const = default;
};
inline constexpr std::size_t role_certificate_size = 97;

/// Reads `role_certificate::encode`. Errors: `errc::bad_certificate` unless the bytes have that
/// form, name `expected`, and `node`'s root key signed. Safe on any input.
base::result<role_certificate> verify_role_certificate(const base::node_id& node, key_role expected,
                                                       base::byte_view encoded);

/// A node's root key and everything derived from it. Moves, never copies. Threads: const use from
/// any.
class identity {
public:
    explicit identity(base::signing_key root);

    const base::node_id& node() const { return node_; }
    const base::signing_key& root() const { return root_; }
    /// The key of one role, and the root's statement about it. Both live as long as this.
    const base::signing_key& key(key_role role) const;
    const role_certificate& certificate(key_role role) const;

private:
    base::signing_key root_;
    base::node_id node_;
    std::vector<base::signing_key> keys_;
    std::array<role_certificate, key_role_count> certificates_;
};

}  // namespace tequio::p2p
