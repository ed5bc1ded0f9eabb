#include "base/signed_note.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::base {
namespace {

constexpr std::uint8_t type_ed25519 = 0x01;
constexpr std::string_view signature_mark = "\xE2\x80\x94 ";  // em dash, space

/// Spaces beyond ASCII (Unicode White_Space), as UTF-8: the specification allows none in a name.
constexpr std::array<std::string_view, 19> wide_spaces{
    "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
    "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
    "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
    "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};

bool name_is_valid(std::string_view name) {
    if (std::any_of(wide_spaces.begin(), wide_spaces.end(), [&](std::string_view space) {
            return name.find(space) != std::string_view::npos;
        })) {
        return false;
    }
    return !name.empty() && std::none_of(name.begin(), name.end(), [](char c) {
        return static_cast<unsigned char>(c) <= ' ' || c == '+' || c == '\x7f';
    });
}

byte_vector typed_key(const public_key& key) {
    byte_vector out;
    byte_writer(out).u8(type_ed25519);
    byte_writer(out).raw(key.view());
    return out;
}

result<note_signature> parse_signature_line(std::string_view line) {
    const auto bad = [&](const char* why) {
        return fail(errc::bad_encoding, std::string("signature line: ") + why);
    };
    if (!line.starts_with(signature_mark))
        return bad("it does not begin with an em dash and a space");
    line.remove_prefix(signature_mark.size());
    const auto space = line.find(' ');
    if (space == std::string_view::npos) return bad("no space after the name");
    note_signature out;
    out.name = line.substr(0, space);
    if (!name_is_valid(out.name)) return bad("a name is not empty and has no space and no '+'");
    TEQUIO_TRY(const auto blob, from_base64(line.substr(space + 1)));
    if (blob.size() < 5) return bad("shorter than a key id and a signature");
    std::copy_n(blob.begin(), 4, out.key_id.begin());
    out.blob.assign(blob.begin() + 4, blob.end());
    return out;
}

}  // namespace

std::array<std::uint8_t, 4> note_key::key_id() const {
    const auto hash = sha256_stream().add(name).add("\n").add(typed_key(key)).finish();
    std::array<std::uint8_t, 4> out;
    std::copy_n(hash.bytes.begin(), 4, out.begin());
    return out;
}

std::string note_key::text() const {
    return name + "+" + to_hex(key_id()) + "+" + to_base64(typed_key(key));
}

result<note_key> parse_note_key(std::string_view text) {
    const auto bad = [&] {
        return fail(errc::bad_encoding,
                    "not a verifier key (name+id+base64): " + std::string(text));
    };
    const auto first = text.find('+');
    if (first == std::string_view::npos) return bad();
    const auto second = text.find('+', first + 1);  // base64 may hold further '+'
    if (second == std::string_view::npos) return bad();
    TEQUIO_TRY(const auto bytes, from_base64(text.substr(second + 1)));
    if (bytes.size() != 33 || bytes[0] != type_ed25519) return bad();
    note_key key;
    key.name = text.substr(0, first);
    std::copy(bytes.begin() + 1, bytes.end(), key.key.bytes.begin());
    if (!name_is_valid(key.name) || key.text() != text) return bad();
    return key;
}

bool note_text_is_valid(std::string_view text) {
    return !text.empty() && text.back() == '\n' && text.size() <= note_size_max_bytes &&
           std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; });
}

std::string signed_note::encode() const {
    std::string out = text + "\n";
    for (const auto& s : signatures) {
        byte_vector blob(s.key_id.begin(), s.key_id.end());
        blob.insert(blob.end(), s.blob.begin(), s.blob.end());
        out += std::string(signature_mark) + s.name + " " + to_base64(blob) + "\n";
    }
    return out;
}

void signed_note::sign(std::string_view name, const signing_key& key) {
    ensure(note_text_is_valid(text), "a note's text may be signed");
    ensure(name_is_valid(name), "a signer's name has no space and no '+'");
    const note_key verifier{std::string(name), key.public_part()};
    const auto s = key.sign(as_bytes(text));
    signatures.push_back({verifier.name, verifier.key_id(), byte_vector(s.begin(), s.end())});
}

bool signed_note::has_signature_by(const note_key& key) const {
    const auto id = key.key_id();
    return std::any_of(signatures.begin(), signatures.end(), [&](const note_signature& s) {
        return s.name == key.name && s.key_id == id;
    });
}

result<void> signed_note::verify(const note_key& key) const {
    const auto id = key.key_id();
    bool found = false;
    for (const auto& s : signatures) {
        if (s.name != key.name || s.key_id != id) continue;
        const auto bytes = signature_from_bytes(s.blob);
        if (!bytes || !signature_verifies(key.key, as_bytes(text), *bytes)) {
            return fail(errc::bad_signature, "the signature of " + key.name + " does not verify");
        }
        found = true;
    }
    if (!found) return fail(errc::bad_signature, "no signature by " + key.name);
    return {};
}

result<signed_note> parse_signed_note(std::string_view note) {
    if (note.size() > note_size_max_bytes) {
        return fail(errc::too_large, "a note of " + std::to_string(note.size()) +
                                         " bytes; at most " + std::to_string(note_size_max_bytes));
    }
    // The last empty line parts text from signatures.
    const auto at = note.rfind("\n\n");
    if (at == std::string_view::npos) return fail(errc::bad_encoding, "a note without signatures");
    signed_note out;
    out.text = note.substr(0, at + 1);
    if (!note_text_is_valid(out.text)) {
        return fail(errc::bad_encoding,
                    "a note's text has a control character or no final newline");
    }
    auto rest = note.substr(at + 2);
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        if (end == std::string_view::npos)
            return fail(errc::bad_encoding, "a signature line without end");
        if (out.signatures.size() == note_signatures_max) {
            return fail(errc::too_large, "a note with more than " +
                                             std::to_string(note_signatures_max) + " signatures");
        }
        TEQUIO_TRY(auto line, parse_signature_line(rest.substr(0, end)));
        out.signatures.push_back(std::move(line));
        rest.remove_prefix(end + 1);
    }
    if (out.signatures.empty()) return fail(errc::bad_encoding, "a note without signatures");
    return out;
}

}  // namespace tequio::base
