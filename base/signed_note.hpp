#pragma once

/// C2SP signed notes (signed-note v1.0.0): plain text, an empty line, one line a signature.
///
///     text            lines, the last one ended by 0x0A; signatures cover exactly these bytes
///     (empty line)
///     — name base64(keyid[4] || signature[64])
///
/// keyid = first 4 bytes of SHA-256(name || 0x0A || 0x01 || public key). A key's own text form
/// ("vkey") is name+hex(keyid)+base64(0x01 || public key). We sign and verify the bytes received,
/// never a re-encoding.

#include <string>
#include <vector>

#include "base/signing.hpp"

namespace tequio::base {

/// Caps on what is parsed (the specification asks for at least 16 signatures to be accepted).
inline constexpr std::size_t note_size_max_bytes = 1024 * 1024;
inline constexpr std::size_t note_signatures_max = 64;

/// A named verifier key. The name has no space and no '+'.
struct note_key {
    std::string name;
    public_key key;
    auto operator<=>(const note_key&) const = default;
    std::array<std::uint8_t, 4> key_id() const;
    std::string text() const;  ///< the vkey line
};

/// Errors: `errc::bad_encoding` for a malformed line or a key id that does not belong to the key.
result<note_key> parse_note_key(std::string_view text);

/// One signature line, whoever made it and of whatever type.
struct note_signature {
    std::string name;
    std::array<std::uint8_t, 4> key_id{};
    byte_vector blob;  ///< what follows the key id: 64 bytes for Ed25519
    bool operator==(const note_signature&) const = default;
};

/// A note as parsed; nothing is verified yet.
struct signed_note {
    std::string text;
    std::vector<note_signature> signatures;

    /// The whole note, text and signature lines.
    std::string encode() const;
    /// Adds a signature of `text` under `name`. Ensures that the text may be signed (see
    /// `note_text_is_valid`).
    void sign(std::string_view name, const signing_key& key);
    /// True when `key` signed: a line with its name and key id is present and verifies.
    /// A line with that name and key id that does not verify makes `verify` fail, whatever else is
    /// there. Errors: `errc::bad_signature`, naming the key.
    result<void> verify(const note_key& key) const;
    bool has_signature_by(const note_key& key) const;
};

/// Valid UTF-8 is the caller's business; here: non-empty, ends in a newline, no byte below 0x20 but
/// newline.
bool note_text_is_valid(std::string_view text);

/// Errors: `errc::bad_encoding`, `errc::too_large`. Safe on any input.
result<signed_note> parse_signed_note(std::string_view note);

}  // namespace tequio::base
