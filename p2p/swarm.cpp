#include "p2p/swarm.hpp"

#include <openssl/hmac.h>
#include <sodium.h>

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"
#include "base/text.hpp"

namespace tequio::p2p {
namespace {

constexpr std::string_view signer = "tequio/swarm";
constexpr std::size_t note_max = 16 * 1024;
constexpr std::uint8_t zero_byte[1] = {0};

base::error bad_note(std::string what) {
    return fail(errc::bad_swarm_note, "not a swarm's founding note: " + std::move(what));
}

base::error bad_invite(std::string what) {
    return fail(errc::bad_invite, "not a valid invite: " + std::move(what) +
                                      "; ask for the whole line, which starts with \"" +
                                      std::string(invite_prefix) + "\"");
}

base::digest check_of(const swarm_secret& secret) {
    return base::sha256_stream()
        .add("tequio/swarm-secret/v1")
        .add(base::byte_view(zero_byte))
        .add(base::byte_view(secret))
        .finish();
}

// An open swarm keeps no secret: its proof only shows that the speaker knows the note.
swarm_secret open_secret(const base::swarm_id& id) {
    return base::sha256_stream()
        .add("tequio/open-swarm/v1")
        .add(base::byte_view(zero_byte))
        .add(id.view())
        .finish()
        .bytes;
}

bool swarm_name_is_valid(std::string_view name) {
    if (name.empty() || name.size() > swarm_name_max) return false;
    if (name.front() == ' ' || name.back() == ' ') return false;
    return std::all_of(name.begin(), name.end(), [](char c) {
        const auto u = static_cast<unsigned char>(c);
        return u >= 0x20 && u != 0x7f;
    });
}

std::string text_of(const swarm_description& d) {
    std::string out = "tequio/swarm/v1\nname " + d.name + "\n";
    out += std::string("admission ") + (d.admission == admission::open ? "open" : "invited") + "\n";
    for (const auto& admin : d.admins) {
        out +=
            "admin " + admin.node.hex() + " " + base::to_base64(admin.certificate.encode()) + "\n";
    }
    out += "created " + base::to_rfc3339(d.created) + "\n";
    out +=
        "secret-check " + (d.admission == admission::open ? "none" : d.secret_check.hex()) + "\n";
    out += "nonce " + base::to_hex(d.nonce) + "\n";
    return out;
}

base::result<swarm_admin> read_admin(std::string_view value) {
    const auto parts = base::split(value, ' ');
    if (parts.size() != 2) return bad_note("an admin line has a node id and a certificate");
    swarm_admin admin;
    TEQUIO_TRY(admin.node, base::parse_id<base::node_id>(parts[0]));
    TEQUIO_TRY(const auto bytes, base::from_base64(parts[1]));
    TEQUIO_TRY(admin.certificate, verify_role_certificate(admin.node, key_role::swarm, bytes));
    return admin;
}

// Takes "key value" off the front of `lines`.
base::result<std::string_view> take(std::vector<std::string_view>& lines, std::string_view key) {
    if (lines.empty() || !lines.front().starts_with(key) || lines.front().size() <= key.size() ||
        lines.front()[key.size()] != ' ') {
        return bad_note("the line \"" + std::string(key) + "\" is missing");
    }
    const auto value = lines.front().substr(key.size() + 1);
    lines.erase(lines.begin());
    return value;
}

base::result<swarm_description> read_text(std::string_view text) {
    auto lines = base::split(text, '\n');
    if (lines.size() < 2 || lines.front() != "tequio/swarm/v1") {
        return bad_note("it does not start with \"tequio/swarm/v1\"");
    }
    lines.erase(lines.begin());
    swarm_description d;
    TEQUIO_TRY(const auto name, take(lines, "name"));
    if (!swarm_name_is_valid(name)) return bad_note("a swarm's name has 1 to 64 bytes");
    d.name = name;
    TEQUIO_TRY(const auto who, take(lines, "admission"));
    d.admission = who == "open" ? admission::open : admission::invited;
    while (!lines.empty() && lines.front().starts_with("admin ")) {
        if (d.admins.size() == swarm_admins_max) return bad_note("more than 16 admins");
        TEQUIO_TRY(const auto value, take(lines, "admin"));
        TEQUIO_TRY(auto admin, read_admin(value));
        d.admins.push_back(std::move(admin));
    }
    TEQUIO_TRY(const auto created, take(lines, "created"));
    TEQUIO_TRY(d.created, base::from_rfc3339(created));
    TEQUIO_TRY(const auto check, take(lines, "secret-check"));
    if (d.admission == admission::invited) {
        TEQUIO_TRY(d.secret_check, base::parse_id<base::digest>(check));
    }
    TEQUIO_TRY(const auto nonce_text, take(lines, "nonce"));
    TEQUIO_TRY(const auto nonce, base::from_hex(nonce_text));
    if (nonce.size() != d.nonce.size()) return bad_note("the nonce has 16 bytes");
    std::copy(nonce.begin(), nonce.end(), d.nonce.begin());
    const bool ascending =
        std::adjacent_find(d.admins.begin(), d.admins.end(), [](const auto& a, const auto& b) {
            return a.node >= b.node;
        }) == d.admins.end();
    if (d.admins.empty() || !ascending) return bad_note("admins are named once, by node id");
    if (text_of(d) != text) return bad_note("it is not in its canonical form");
    return d;
}

base::note_key key_of(const swarm_admin& admin) {
    return {std::string(signer), admin.certificate.key};
}

std::string to_base64url(base::byte_view bytes) {
    auto text = base::to_base64(bytes);
    while (!text.empty() && text.back() == '=') text.pop_back();
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    return text;
}

base::result<base::byte_vector> from_base64url(std::string_view text) {
    std::string standard(text);
    if (standard.find_first_of("+/=") != std::string::npos) return bad_invite("it is damaged");
    std::replace(standard.begin(), standard.end(), '-', '+');
    std::replace(standard.begin(), standard.end(), '_', '/');
    while (standard.size() % 4 != 0) standard += '=';
    auto bytes = base::from_base64(standard);
    if (!bytes) return bad_invite("it is damaged");
    return bytes;
}

base::digest checksum_of(base::byte_view body) {
    return base::sha256_stream().add("tequio/invite/v1").add(body).finish();
}

}  // namespace

base::result<membership> found_swarm(std::string_view name, admission who, const identity& founder,
                                     base::unix_time created, const base::digest& entropy) {
    if (!swarm_name_is_valid(name)) {
        return fail(errc::bad_swarm_note,
                    "a swarm's name has 1 to 64 bytes, no control characters, and does not start "
                    "or end with a space");
    }
    swarm_secret secret =
        base::sha256_stream().add("tequio/swarm-entropy/secret").add(entropy.view()).finish().bytes;
    const auto nonce =
        base::sha256_stream().add("tequio/swarm-entropy/nonce").add(entropy.view()).finish();
    swarm_description d;
    d.name = name;
    d.admission = who;
    d.admins.push_back({founder.node(), founder.certificate(key_role::swarm)});
    d.created = created;
    if (who == admission::invited) d.secret_check = check_of(secret);
    std::copy_n(nonce.bytes.begin(), d.nonce.size(), d.nonce.begin());
    base::signed_note note;
    note.text = text_of(d);
    note.sign(signer, founder.key(key_role::swarm));
    if (who == admission::open) {
        secret = open_secret(base::id_of<base::swarm_id>(base::as_bytes(note.text)));
    }
    return membership_of(note.encode(), secret);
}

base::result<swarm_description> parse_swarm_note(std::string_view text) {
    if (text.size() > note_max) return bad_note("it is larger than 16 KiB");
    const auto note = base::parse_signed_note(text);
    if (!note) return bad_note(note.error().message());
    auto d = read_text(note->text);
    if (!d) {
        if (d.error().is(errc::bad_swarm_note)) return d;
        return bad_note(d.error().message());
    }
    for (const auto& admin : d->admins) {
        if (const auto ok = note->verify(key_of(admin)); !ok) {
            return bad_note("admin " + admin.node.brief() + " did not sign it");
        }
    }
    return d;
}

base::result<membership> membership_of(std::string note, const swarm_secret& secret) {
    membership out;
    TEQUIO_TRY(out.description, parse_swarm_note(note));
    TEQUIO_TRY(const auto parsed, base::parse_signed_note(note));
    out.id = base::id_of<base::swarm_id>(base::as_bytes(parsed.text));
    out.note = std::move(note);
    out.secret = secret;
    const bool fits = out.description.admission == admission::open
                          ? secret == open_secret(out.id)
                          : check_of(secret) == out.description.secret_check;
    if (!fits) return bad_invite("its secret is not this swarm's");
    return out;
}

const membership& nameless_swarm() {
    static const membership nameless = [] {
        membership m;
        m.description.name = "(nameless, on this machine)";
        m.description.admission = admission::open;
        m.secret = open_secret(m.id);
        return m;
    }();
    return nameless;
}

base::result<std::string> make_invite(const membership& swarm, const invite_options& options) {
    if (options.uses) {
        return fail(errc::not_in_this_version,
                    "--uses: counting the uses of an invite is not in this version (has: "
                    "--expires); leave it out");
    }
    if (options.addresses.empty() || options.addresses.size() > invite_addresses_max) {
        return fail(errc::bad_invite,
                    "an invite names 1 to 16 addresses of members; start the "
                    "node with --listen so that it has one");
    }
    base::byte_vector body;
    base::byte_writer w(body);
    w.u32(static_cast<std::uint32_t>(swarm.note.size()));
    w.raw(base::as_bytes(swarm.note));
    w.raw(swarm.secret);
    w.u64(options.expires ? static_cast<std::uint64_t>(options.expires->seconds) : 0);
    w.u32(0);  // uses: reserved
    w.u8(static_cast<std::uint8_t>(options.addresses.size()));
    for (const auto& a : options.addresses) {
        const auto text = a.text();
        w.u16(static_cast<std::uint16_t>(text.size()));
        w.raw(base::as_bytes(text));
    }
    w.raw(checksum_of(body).view().first(8));
    return std::string(invite_prefix) + to_base64url(body);
}

base::result<invite> parse_invite(std::string_view line, base::unix_time now) {
    const auto first = line.find_first_not_of(" \t\r\n");
    const auto last = line.find_last_not_of(" \t\r\n");
    if (first == std::string_view::npos) return bad_invite("it is empty");
    line = line.substr(first, last - first + 1);
    if (!line.starts_with(invite_prefix)) return bad_invite("it does not start as one");
    if (line.size() > 2 * note_max + 16 * 1024) return bad_invite("it is too long");
    TEQUIO_TRY(const auto bytes, from_base64url(line.substr(invite_prefix.size())));
    if (bytes.size() < 8) return bad_invite("it is cut short");
    const auto body = base::byte_view(bytes).first(bytes.size() - 8);
    const auto checksum = checksum_of(body);
    if (!std::equal(bytes.end() - 8, bytes.end(), checksum.bytes.begin())) {
        return bad_invite("it is damaged or cut short");
    }
    base::byte_reader in(body);
    const auto note_size = in.u32();
    if (note_size > note_max) return bad_invite("its note is too long");
    const auto note = in.raw(note_size);
    const auto secret_bytes = in.raw(32);
    const auto expires = in.u64();
    const auto uses = in.u32();
    const auto count = in.u8();
    std::vector<address> seeds;
    for (int i = 0; i < count && !in.failed(); ++i) {
        const auto text = in.raw(in.u16());
        if (in.failed()) break;
        TEQUIO_TRY(auto where, parse_address(base::as_text(text)));
        seeds.push_back(std::move(where));
    }
    if (in.failed() || !in.at_end() || count == 0 || count > invite_addresses_max || uses != 0 ||
        expires > static_cast<std::uint64_t>(INT64_MAX)) {
        return bad_invite("its fields do not fit");
    }
    invite out;
    if (expires != 0) {
        out.expires = base::unix_time{static_cast<std::int64_t>(expires)};
        if (now > *out.expires) {
            return fail(errc::invite_expired,
                        "this invite expired at " + base::to_rfc3339(*out.expires) +
                            "; ask a member for a new one (tequio swarm invite)");
        }
    }
    swarm_secret secret{};
    std::copy(secret_bytes.begin(), secret_bytes.end(), secret.begin());
    TEQUIO_TRY(out.swarm, membership_of(std::string(base::as_text(note)), secret));
    out.swarm.seeds = std::move(seeds);
    return out;
}

base::digest membership_proof(const membership& swarm, session_side prover,
                              base::byte_view exporter, const base::node_id& node) {
    base::byte_vector message;
    base::byte_writer w(message);
    w.raw(base::as_bytes("tequio/swarm-proof/v1"));
    w.u8(0);
    w.raw(swarm.id.view());
    w.u8(static_cast<std::uint8_t>(prover));
    w.raw(exporter);
    w.raw(node.view());
    base::digest out;
    unsigned size = 0;
    const auto* ok = HMAC(EVP_sha256(), swarm.secret.data(), static_cast<int>(swarm.secret.size()),
                          message.data(), message.size(), out.bytes.data(), &size);
    base::ensure(ok != nullptr && size == out.bytes.size(), "HMAC-SHA-256 gives 32 bytes");
    return out;
}

bool membership_proof_verifies(const membership& swarm, session_side prover,
                               base::byte_view exporter, const base::node_id& node,
                               base::byte_view proof) {
    const auto expected = membership_proof(swarm, prover, exporter, node);
    return proof.size() == expected.bytes.size() &&
           sodium_memcmp(proof.data(), expected.bytes.data(), expected.bytes.size()) == 0;
}

}  // namespace tequio::p2p
