#pragma once

/// What the two ends of a fresh TLS connection say before anything else, as a pure state machine.
/// The rules, in order, are in p2p/wire/README.md. Every failure has a name; the one who finds it
/// tells the other in a refusal.

#include <optional>
#include <string>
#include <vector>

#include "p2p/link.hpp"
#include "p2p/swarm.hpp"
#include "p2p/wire/session_frames.hpp"

namespace tequio::p2p {

struct handshake_config {
    const identity* self = nullptr;  ///< outlives the handshake
    membership swarm;
    std::string exactness;
    std::vector<std::uint32_t> versions;    ///< ascending
    std::optional<base::node_id> expected;  ///< whom we mean to reach
    std::uint16_t listen_port = 0;
};

/// What is known of the peer once `handshake::step` says done.
struct handshake_outcome {
    base::node_id node;
    std::uint32_t version = 0;
    std::uint16_t listen_port = 0;
};

inline constexpr std::size_t exporter_size = 32;

/// A peer's refusal as an ending: unknown reasons become `closed`, unprintable detail is masked.
link_ending ending_of(const wire::refusal& refused);

class handshake {
public:
    enum class progress { more, done, failed };

    /// `exporter`: 32 bytes of TLS exporter, label "EXPORTER-tequio-session-v1", no context.
    handshake(session_side side, handshake_config config, base::byte_view exporter);

    /// The initiator's first frame; nothing for the responder. Call once, first.
    void start(std::vector<base::byte_vector>& send);
    /// Takes one frame's payload; appends payloads to send. After `failed`, send them and close.
    progress step(base::byte_view payload, std::vector<base::byte_vector>& send);

    const handshake_outcome& outcome() const { return outcome_; }  ///< valid when done
    const link_ending& ending() const { return ending_; }          ///< valid when failed

private:
    base::byte_vector make_hello() const;
    base::byte_vector make_auth() const;
    base::byte_vector signed_bytes(session_side signer) const;
    std::optional<link_ending> judge_hello(const wire::hello& h);
    std::optional<link_ending> judge_auth(const wire::auth& a) const;
    progress fail_with(link_ending ending, std::vector<base::byte_vector>& send);
    session_side other() const;

    session_side side_;
    handshake_config config_;
    base::byte_vector exporter_;
    base::byte_vector own_hello_;
    base::byte_vector peer_hello_;
    base::public_key peer_session_key_;
    handshake_outcome outcome_;
    link_ending ending_;
    bool finished_ = false;
};

}  // namespace tequio::p2p
