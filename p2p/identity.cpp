#include "p2p/identity.hpp"

namespace tequio::p2p {
namespace {

constexpr std::array<std::string_view, key_role_count> role_names{"session", "message", "log",
                                                                  "witness", "swarm"};

base::byte_vector signed_bytes(const base::node_id& node, key_role role,
                               const base::public_key& key) {
    base::byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes("tequio/role-certificate/v1"));
    w.u8(0);
    w.raw(base::as_bytes(name_of(role)));
    w.u8(0);
    w.raw(node.view());
    w.raw(key.view());
    return out;
}

}  // namespace

std::string_view name_of(key_role role) {
    return role_names[static_cast<std::size_t>(role)];
}

base::byte_vector role_certificate::encode() const {
    base::byte_vector out;
    base::byte_writer w(out);
    w.u8(static_cast<std::uint8_t>(role));
    w.raw(key.view());
    w.raw(root_signature);
    return out;
}

base::result<role_certificate> verify_role_certificate(const base::node_id& node, key_role expected,
                                                       base::byte_view encoded) {
    if (encoded.size() != role_certificate_size) {
        return fail(errc::bad_certificate,
                    "a role certificate has 97 bytes, found " + std::to_string(encoded.size()));
    }
    if (encoded[0] != static_cast<std::uint8_t>(expected)) {
        return fail(errc::bad_certificate, "a certificate for another role than \"" +
                                               std::string(name_of(expected)) + "\"");
    }
    role_certificate out;
    out.role = expected;
    TEQUIO_TRY(out.key, base::id_from_bytes<base::public_key>(encoded.subspan(1, 32)));
    TEQUIO_TRY(out.root_signature, base::signature_from_bytes(encoded.subspan(33)));
    if (!base::signature_verifies(base::public_key{node.bytes},
                                  signed_bytes(node, expected, out.key), out.root_signature)) {
        return fail(errc::bad_certificate, "node " + node.brief() + " did not certify its \"" +
                                               std::string(name_of(expected)) + "\" key");
    }
    return out;
}

identity::identity(base::signing_key root) : root_(std::move(root)) {
    node_.bytes = root_.public_part().bytes;
    for (std::size_t i = 0; i < key_role_count; ++i) {
        const auto role = static_cast<key_role>(i);
        keys_.push_back(root_.derive(role_names[i]));
        auto& certificate = certificates_[i];
        certificate.role = role;
        certificate.key = keys_.back().public_part();
        certificate.root_signature = root_.sign(signed_bytes(node_, role, certificate.key));
    }
}

const base::signing_key& identity::key(key_role role) const {
    return keys_[static_cast<std::size_t>(role)];
}

const role_certificate& identity::certificate(key_role role) const {
    return certificates_[static_cast<std::size_t>(role)];
}

}  // namespace tequio::p2p
