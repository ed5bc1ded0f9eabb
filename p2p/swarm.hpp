#pragma once

/// Swarms: who may meet whom. A founding note says what a swarm is; an invite line lets somebody
/// in; a proof in each session shows that both sides are members.
///
/// First form: whoever holds the swarm's secret is a member. Nobody can be removed, and an invite
/// can be passed on (p2p/README.md, "What a swarm protects"). A node is in at most one swarm.

#include <optional>
#include <string>
#include <vector>

#include "base/signed_note.hpp"
#include "base/time.hpp"
#include "p2p/address.hpp"
#include "p2p/identity.hpp"

namespace tequio::p2p {

/// How one becomes a member.
enum class admission : std::uint8_t {
    open,     ///< who knows the note may join; the secret follows from the id
    invited,  ///< a secret that only invites carry
};

/// An administrator and the certificate of its swarm key.
struct swarm_admin {
    base::node_id node;
    role_certificate certificate;
    bool operator==(const swarm_admin&) const = default;
};

inline constexpr std::size_t swarm_admins_max = 16;
inline constexpr std::size_t swarm_name_max = 64;  ///< bytes of UTF-8

/// What a founding note says. Its text, signed by each admin as "tequio/swarm":
///
///     tequio/swarm/v1
///     name physics-lab
///     admission invited
///     admin <node id> <base64 of the swarm role's certificate>     one line an admin, by node id
///     created 2026-11-23T06:28:00Z
///     secret-check <SHA-256("tequio/swarm-secret/v1" 0x00 secret)> or "none" when open
///     nonce <32 hex digits>
struct swarm_description {
    std::string name;
    p2p::admission admission = admission::invited;
    std::vector<swarm_admin> admins;
    base::unix_time created;
    base::digest secret_check;  ///< zero when open
    std::array<std::uint8_t, 16> nonce{};
};

/// The 32 bytes that members share. Keep as the key file is kept.
using swarm_secret = std::array<std::uint8_t, 32>;

/// A swarm a node is in: the note as received, what it says, and the secret.
struct membership {
    base::swarm_id id;  ///< SHA-256 of the note's text without signatures
    std::string note;   ///< the whole signed note
    swarm_description description;
    swarm_secret secret{};
    std::vector<address> seeds;  ///< where the invite said that members are; kept over restarts
};

/// Founds a swarm with `founder` as its only admin. `entropy`: 32 fresh random bytes
/// (`fresh_entropy` in p2p/data_dir.hpp). Errors: `errc::bad_swarm_note` when the name is empty,
/// too long, or has control characters.
base::result<membership> found_swarm(std::string_view name, admission who, const identity& founder,
                                     base::unix_time created, const base::digest& entropy);

/// Reads and verifies a founding note: form, certificates, and a signature of every admin. Errors:
/// `errc::bad_swarm_note`.
base::result<swarm_description> parse_swarm_note(std::string_view note);

/// The membership that a note and a secret give. Errors: `errc::bad_swarm_note`; `errc::bad_invite`
/// when the secret is not this swarm's.
base::result<membership> membership_of(std::string note, const swarm_secret& secret);

/// The nameless swarm of nodes on loopback that belong to no swarm: zero id, a published secret.
const membership& nameless_swarm();
inline bool is_nameless(const membership& m) {
    return m.id.is_zero();
}

/// What an invite carries.
struct invite {
    membership swarm;                        ///< its seeds: where to find members, best first
    std::optional<base::unix_time> expires;  ///< checked when joining, by the joiner's clock
};

inline constexpr std::string_view invite_prefix = "tequio-invite:1:";
inline constexpr std::size_t invite_addresses_max = 16;

/// Options of `swarm invite`.
struct invite_options {
    std::vector<address> addresses;
    std::optional<base::unix_time> expires;
    std::optional<std::uint64_t> uses;  ///< refused: `errc::not_in_this_version`
};

/// One line to paste: `invite_prefix`, then unpadded base64url. Errors: `errc::not_in_this_version`
/// for `uses`; `errc::bad_invite` without an address or with too many.
base::result<std::string> make_invite(const membership& swarm, const invite_options& options);

/// Reads an invite line (surrounding white space is ignored) and checks everything in it. Errors:
/// `errc::bad_invite`, `errc::bad_swarm_note`, `errc::invite_expired`.
base::result<invite> parse_invite(std::string_view line, base::unix_time now);

/// Which end of a connection speaks.
enum class session_side : std::uint8_t { initiator = 1, responder = 2 };

/// HMAC-SHA-256 by the swarm's secret over "tequio/swarm-proof/v1" 0x00, swarm id, side (1 byte),
/// the TLS exporter's 32 bytes, node id of the prover: says that the speaker of this very
/// connection knows the secret.
base::digest membership_proof(const membership& swarm, session_side prover,
                              base::byte_view exporter, const base::node_id& node);

/// Compares in constant time.
bool membership_proof_verifies(const membership& swarm, session_side prover,
                               base::byte_view exporter, const base::node_id& node,
                               base::byte_view proof);

}  // namespace tequio::p2p
