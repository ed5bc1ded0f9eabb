#include "p2p/core/handshake.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "base/sha256.hpp"

namespace tequio::p2p {

handshake::handshake(session_side side, handshake_config config, base::byte_view exporter)
    : side_(side), config_(std::move(config)), exporter_(exporter.begin(), exporter.end()) {
    base::ensure(exporter_.size() == exporter_size, "an exporter has 32 bytes");
    base::ensure(config_.self != nullptr, "a handshake has an identity");
}

session_side handshake::other() const {
    return side_ == session_side::initiator ? session_side::responder : session_side::initiator;
}

void handshake::start(std::vector<base::byte_vector>& send) {
    if (side_ != session_side::initiator) return;
    own_hello_ = make_hello();
    send.push_back(own_hello_);
}

base::byte_vector handshake::make_hello() const {
    const auto& self = *config_.self;
    wire::hello h;
    h.versions = config_.versions;
    h.swarm_proofs = {membership_proof(config_.swarm, side_, exporter_, self.node())};
    h.node = self.node();
    h.session_certificate = self.certificate(key_role::session).encode();
    h.exactness = config_.exactness.substr(0, wire::exactness_max);
    h.listen_port = config_.listen_port;
    return wire::encode(h);
}

base::byte_vector handshake::make_auth() const {
    return wire::encode(wire::auth{config_.self->key(key_role::session).sign(signed_bytes(side_))});
}

base::byte_vector handshake::signed_bytes(session_side signer) const {
    const bool first = side_ == session_side::initiator;
    base::byte_vector out;
    base::byte_writer w(out);
    w.raw(base::as_bytes("tequio/session/v1"));
    w.u8(0);
    w.u8(static_cast<std::uint8_t>(signer));
    w.raw(exporter_);
    w.raw(first ? config_.self->node().view() : outcome_.node.view());
    w.raw(first ? outcome_.node.view() : config_.self->node().view());
    w.raw(base::sha256(first ? own_hello_ : peer_hello_).view());
    w.raw(base::sha256(first ? peer_hello_ : own_hello_).view());
    return out;
}

std::optional<link_ending> handshake::judge_hello(const wire::hello& h) {
    std::uint32_t version = 0;
    for (const auto v : h.versions) {
        if (std::binary_search(config_.versions.begin(), config_.versions.end(), v)) version = v;
    }
    if (version == 0) return link_ending{link_end::no_common_version, false, ""};

    // Membership comes before anything that depends on who the peer is.
    const bool member =
        std::any_of(h.swarm_proofs.begin(), h.swarm_proofs.end(), [&](const auto& proof) {
            return membership_proof_verifies(config_.swarm, other(), exporter_, h.node,
                                             proof.view());
        });
    if (!member) return link_ending{link_end::wrong_swarm, false, ""};
    if (h.node == config_.self->node()) return link_ending{link_end::self_connection, false, ""};
    if (config_.expected && *config_.expected != h.node) {
        return link_ending{link_end::wrong_identity, false,
                           "expected " + config_.expected->brief() + ", found " + h.node.brief()};
    }
    const auto certificate =
        verify_role_certificate(h.node, key_role::session, h.session_certificate);
    if (!certificate) {
        return link_ending{link_end::bad_certificate, false, certificate.error().message()};
    }
    if (h.exactness != config_.exactness.substr(0, wire::exactness_max)) {
        return link_ending{link_end::different_exactness, false,
                           "ours is \"" + config_.exactness + "\", theirs \"" + h.exactness + "\""};
    }
    peer_session_key_ = certificate->key;
    outcome_ = {h.node, version, h.listen_port};
    return std::nullopt;
}

std::optional<link_ending> handshake::judge_auth(const wire::auth& a) const {
    if (base::signature_verifies(peer_session_key_, signed_bytes(other()), a.signature)) {
        return std::nullopt;
    }
    return link_ending{link_end::bad_signature, false, "node " + outcome_.node.brief()};
}

handshake::progress handshake::fail_with(link_ending ending, std::vector<base::byte_vector>& send) {
    finished_ = true;
    ending_ = std::move(ending);
    if (!ending_.by_peer) {
        // The name alone: details of ours (another swarm, our arithmetic) are not the peer's
        // business before it is known.
        send.push_back(wire::encode(wire::refusal{static_cast<std::uint32_t>(ending_.reason), ""}));
    }
    return progress::failed;
}

handshake::progress handshake::step(base::byte_view payload, std::vector<base::byte_vector>& send) {
    base::ensure(!finished_, "a finished handshake takes no frames");
    const auto frame = wire::decode_session_frame(payload);
    if (!frame) {
        return fail_with({link_end::bad_frame, false, frame.error().message()}, send);
    }
    if (const auto* refused = std::get_if<wire::refusal>(&*frame)) {
        return fail_with(ending_of(*refused), send);
    }
    const bool want_hello = peer_hello_.empty();
    if (want_hello) {
        const auto* h = std::get_if<wire::hello>(&*frame);
        if (h == nullptr) return fail_with({link_end::bad_frame, false, "expected a hello"}, send);
        if (auto ending = judge_hello(*h)) return fail_with(std::move(*ending), send);
        peer_hello_.assign(payload.begin(), payload.end());
        if (side_ == session_side::responder) {
            own_hello_ = make_hello();
            send.push_back(own_hello_);
            send.push_back(make_auth());
        }
        return progress::more;
    }
    const auto* a = std::get_if<wire::auth>(&*frame);
    if (a == nullptr) return fail_with({link_end::bad_frame, false, "expected a signature"}, send);
    if (auto ending = judge_auth(*a)) return fail_with(std::move(*ending), send);
    if (side_ == session_side::initiator) send.push_back(make_auth());
    finished_ = true;
    return progress::done;
}

link_ending ending_of(const wire::refusal& refused) {
    std::string detail;
    for (const char c : refused.detail) detail += c >= 0x20 && c < 0x7f ? c : '?';
    const bool known = refused.reason >= static_cast<std::uint32_t>(link_end::closed) &&
                       refused.reason <= static_cast<std::uint32_t>(link_end::shutting_down);
    return {known ? static_cast<link_end>(refused.reason) : link_end::closed, true,
            std::move(detail)};
}

}  // namespace tequio::p2p
