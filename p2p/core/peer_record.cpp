#include "p2p/core/peer_record.hpp"

#include <algorithm>

namespace tequio::p2p {
namespace {

constexpr std::uint8_t record_version = 1;

base::error bad_record(std::string what) {
    return fail(errc::bad_message, "bad peer record: " + std::move(what));
}

base::byte_vector signed_bytes(base::byte_view body) {
    base::byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes("tequio/peer-record/v1"));
    w.u8(0);
    w.raw(body);
    return out;
}

bool may_stand(const address& a) {
    return a.is_literal() && a.port != 0 && a.host != "0.0.0.0" && a.host != "::";
}

}  // namespace

base::byte_vector sign_peer_record(const identity& self, std::uint64_t sequence,
                                   base::unix_time expires, const std::vector<address>& addresses) {
    std::vector<std::string> texts;
    for (const auto& a : addresses) {
        if (may_stand(a) && texts.size() < record_addresses_max) texts.push_back(a.text());
    }
    base::byte_vector out;
    base::byte_writer w(out);
    w.u8(record_version);
    w.raw(self.node().view());
    w.raw(self.certificate(key_role::message).encode());
    w.u64(sequence);
    w.u64(static_cast<std::uint64_t>(expires.seconds));
    w.u8(static_cast<std::uint8_t>(texts.size()));
    for (const auto& t : texts) {
        w.u8(static_cast<std::uint8_t>(t.size()));
        w.raw(base::as_bytes(t));
    }
    w.raw(self.key(key_role::message).sign(signed_bytes(out)));
    return out;
}

std::optional<record_claim> peek_peer_record(base::byte_view bytes) {
    base::byte_reader in(bytes);
    in.u8();
    const auto node = base::id_from_bytes<base::node_id>(in.raw(32));
    in.raw(role_certificate_size);
    const auto sequence = in.u64();
    if (in.failed() || !node) return std::nullopt;
    return record_claim{*node, sequence};
}

base::result<peer_record> verify_peer_record(base::byte_view bytes) {
    if (bytes.size() < 64) return bad_record("too short");
    const auto body = bytes.first(bytes.size() - 64);
    base::byte_reader in(body);
    if (in.u8() != record_version) return bad_record("unknown version");
    peer_record out;
    const auto node = in.raw(32);
    const auto certificate = in.raw(role_certificate_size);
    out.sequence = in.u64();
    const auto expires = in.u64();
    const auto count = in.u8();
    if (in.failed() || count > record_addresses_max) return bad_record("fields do not fit");
    if (expires > static_cast<std::uint64_t>(INT64_MAX)) return bad_record("an impossible expiry");
    out.expires.seconds = static_cast<std::int64_t>(expires);
    for (int i = 0; i < count; ++i) {
        const auto text = base::as_text(in.raw(in.u8()));
        const auto parsed = parse_address(text);
        if (in.failed() || !parsed || !may_stand(*parsed) || parsed->text() != text) {
            return bad_record("an address that may not stand there");
        }
        out.addresses.push_back(*parsed);
    }
    if (in.failed() || !in.at_end()) return bad_record("trailing bytes");
    TEQUIO_TRY(out.node, base::id_from_bytes<base::node_id>(node));
    TEQUIO_TRY(const auto key, verify_role_certificate(out.node, key_role::message, certificate));
    TEQUIO_TRY(const auto s, base::signature_from_bytes(bytes.last(64)));
    if (!base::signature_verifies(key.key, signed_bytes(body), s))
        return bad_record("not signed by it");
    return out;
}

}  // namespace tequio::p2p
