#pragma once

/// A link: one authenticated connection to another node, as cores see it.

#include <cstdint>
#include <string>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "p2p/address.hpp"

namespace tequio::p2p {

/// Numbers links within one process, rising, never reused.
using link_id = base::counter<struct link_tag>;

/// Why a link ended or never came to be. Numbers travel in refusals: append only.
enum class link_end : std::uint8_t {
    closed = 1,           ///< one side was done with it
    connect_failed,       ///< no TCP connection
    unresolved,           ///< the host name has no address
    not_loopback,         ///< a node in no swarm was asked to leave loopback
    tls_failed,           ///< the bytes are not TLS 1.3
    handshake_slow,       ///< the handshake passed its deadline
    bad_frame,            ///< a frame that is not a message
    frame_too_large,      ///< a frame above the cap
    truncated,            ///< the connection ended inside a frame or the handshake
    no_common_version,    ///< no wire version in common
    wrong_swarm,          ///< the other side did not prove membership of our swarm
    different_exactness,  ///< the nodes' arithmetic differs
    self_connection,      ///< we reached ourselves
    wrong_identity,       ///< another node than expected answered
    bad_certificate,      ///< the session key is not certified by the node's root key
    bad_signature,        ///< the session key did not sign this connection
    idle,                 ///< nothing heard for too long, not even an answer to a ping
    slow_peer,            ///< the queue of bytes to send passed its limit
    connection_lost,      ///< reset or broken while up
    duplicate,            ///< another link to the same node is kept
    too_many_links,       ///< no room
    misbehaviour,         ///< the peer broke rules too often
    bad_message,          ///< a message that does not decode, or breaks a cap
    shutting_down,        ///< one side stops
};

/// Stable name, as in the enum: "wrong_swarm".
std::string_view name_of(link_end reason);

/// Why, by whom, and any detail, with a sentence for people.
struct link_ending {
    link_end reason = link_end::closed;
    bool by_peer = false;  ///< the peer said so in a refusal; otherwise we found it
    std::string detail;    ///< may be empty

    /// One line without a full stop.
    std::string message() const;
    bool operator==(const link_ending&) const = default;
};

/// What a link has carried, for `tequio peers`.
struct link_statistics {
    link_id link;
    base::node_id node;
    address peer;
    bool outbound = false;
    std::uint64_t bytes_sent = 0;  ///< frames with their lengths, without TLS
    std::uint64_t bytes_received = 0;
    std::uint64_t bytes_queued = 0;
    base::duration rtt{};  ///< of the latest ping; zero before the first answer
};

}  // namespace tequio::p2p
