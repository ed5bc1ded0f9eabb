#include "ledger/key_certificate.hpp"

#include "ledger/errc.hpp"

namespace tequio::ledger {
namespace {

constexpr std::string_view root_name = "tequio/root";

}  // namespace

std::string certified_key::text() const {
    return key.hex() + " " + base::to_base64(root_signature);
}

base::result<certified_key> parse_certified_key(std::string_view text) {
    const auto space = text.find(' ');
    const auto bad = [] {
        return base::fail(errc::bad_receipt,
                          "not a certified key (64 hex digits, a space, base64 of 64 bytes)");
    };
    if (space == std::string_view::npos) return bad();
    const auto key = base::parse_id<base::public_key>(text.substr(0, space));
    const auto bytes = base::from_base64(text.substr(space + 1));
    if (!key || !bytes) return bad();
    const auto signature = base::signature_from_bytes(*bytes);
    if (!signature) return bad();
    return certified_key{*key, *signature};
}

std::string key_certificate_text(const base::node_id& node, std::string_view role,
                                 const base::public_key& key) {
    return "tequio/key/v1\nnode " + node.hex() + "\nrole " + std::string(role) + "\nkey " +
           key.hex() + "\n";
}

certified_key certify_key(const base::signing_key& root, std::string_view role,
                          const base::public_key& key) {
    const base::node_id node{root.public_part().bytes};
    return {key, root.sign(base::as_bytes(key_certificate_text(node, role, key)))};
}

bool log_key_verifies(const base::node_id& node, const certified_key& certified) {
    return base::signature_verifies(
        base::public_key{node.bytes},
        base::as_bytes(key_certificate_text(node, log_role, certified.key)),
        certified.root_signature);
}

base::signed_note key_certificate_note(const base::node_id& node, std::string_view role,
                                       const certified_key& certified) {
    const base::note_key root{std::string(root_name), base::public_key{node.bytes}};
    base::signed_note note;
    note.text = key_certificate_text(node, role, certified.key);
    note.signatures.push_back(
        {root.name, root.key_id(),
         base::byte_vector(certified.root_signature.begin(), certified.root_signature.end())});
    return note;
}

}  // namespace tequio::ledger
