#pragma once

/// A root key's word that another key speaks for its node in one role. What is signed is a note
/// text that follows from (node, role, key) alone, so a certificate travels as 96 bytes and every
/// receipt carries the two that an auditor needs:
///
///     tequio/key/v1
///     node <64 hex>
///     role log
///     key <64 hex>
///
/// signed by the root key under the name "tequio/root".

#include <string>

#include "base/signed_note.hpp"

namespace tequio::ledger {

/// The role whose key signs receipts, openings and checkpoints.
inline constexpr std::string_view log_role = "log";

/// A key and the root's signature of its certificate text; whose key it is stands beside it.
struct certified_key {
    base::public_key key;
    base::signature root_signature{};
    auto operator<=>(const certified_key&) const = default;
    /// "<64 hex> <base64 of the signature>": the form inside receipts and openings.
    std::string text() const;
};

/// Errors: `errc::bad_receipt` unless exactly the form that `certified_key::text` writes.
base::result<certified_key> parse_certified_key(std::string_view text);

/// The text that the root key signs.
std::string key_certificate_text(const base::node_id& node, std::string_view role,
                                 const base::public_key& key);

/// Certifies `key` for `role` of the node whose root key this is.
certified_key certify_key(const base::signing_key& root, std::string_view role,
                          const base::public_key& key);

/// True when `node`'s root key certified `certified.key` as its log key. Cost: one Ed25519 check.
bool log_key_verifies(const base::node_id& node, const certified_key& certified);

/// The certificate as a signed note, for people and stock tools.
base::signed_note key_certificate_note(const base::node_id& node, std::string_view role,
                                       const certified_key& certified);

}  // namespace tequio::ledger
