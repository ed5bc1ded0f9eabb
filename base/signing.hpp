#pragma once

/// Ed25519 (RFC 8032) by libsodium 1.0.18. Peers must agree on which signatures are valid, and
/// libraries differ on low-order points: this library's answer is the protocol's.

#include <array>
#include <memory>

#include "base/ids.hpp"

namespace tequio::base {

using signature = std::array<std::uint8_t, 64>;

/// A secret Ed25519 key. Wiped from memory when destroyed; moves, never copies.
class signing_key {
public:
    /// The key of a 32-byte seed (RFC 8032 section 5.1.5).
    static signing_key from_seed(std::span<const std::uint8_t, 32> seed);
    /// A fresh key from the system's random source. Not for cores.
    static signing_key generate();

    signing_key(signing_key&& other) noexcept;
    signing_key& operator=(signing_key&& other) noexcept;
    signing_key(const signing_key&) = delete;
    signing_key& operator=(const signing_key&) = delete;
    ~signing_key();

    const public_key& public_part() const { return public_; }
    /// The seed that makes this key again: as secret as the key. A view into this object.
    std::span<const std::uint8_t, 32> seed() const;
    /// Deterministic: the same message gives the same signature. Cost: about 35 us.
    signature sign(byte_view message) const;
    /// A key for one role of this identity: seed = SHA-256("tequio/role/v1" 0x00 role 0x00 seed).
    /// No two roles share a key, so what one signs can never be taken for the other's.
    signing_key derive(std::string_view role) const;

private:
    signing_key() = default;
    std::array<std::uint8_t, 64> secret_{};
    public_key public_;
};

/// True when `s` is `key`'s signature of `message`.
bool signature_verifies(const public_key& key, byte_view message, const signature& s);
/// Errors: `errc::bad_encoding` unless there are exactly 64 bytes.
result<signature> signature_from_bytes(byte_view bytes);

}  // namespace tequio::base
