#include "p2p/link.hpp"

namespace tequio::p2p {
namespace {

struct names {
    std::string_view name;
    std::string_view sentence;
};

names names_of(link_end reason) {
    switch (reason) {
        case link_end::closed:
            return {"closed", "the link was closed"};
        case link_end::connect_failed:
            return {"connect_failed", "no connection could be made"};
        case link_end::unresolved:
            return {"unresolved", "the host name has no address"};
        case link_end::not_loopback:
            return {"not_loopback", "a node in no swarm stays on loopback"};
        case link_end::tls_failed:
            return {"tls_failed", "the other side does not speak TLS 1.3"};
        case link_end::handshake_slow:
            return {"handshake_slow", "the handshake took too long"};
        case link_end::bad_frame:
            return {"bad_frame", "a frame was not a message"};
        case link_end::frame_too_large:
            return {"frame_too_large", "a frame was larger than 1 MiB"};
        case link_end::truncated:
            return {"truncated", "the connection ended in the middle of a frame or handshake"};
        case link_end::no_common_version:
            return {"no_common_version", "the nodes have no protocol version in common"};
        case link_end::wrong_swarm:
            return {"wrong_swarm", "the nodes are not in the same swarm"};
        case link_end::different_exactness:
            return {"different_exactness", "the nodes' arithmetic differs"};
        case link_end::self_connection:
            return {"self_connection", "the node reached itself"};
        case link_end::wrong_identity:
            return {"wrong_identity", "another node than expected answered"};
        case link_end::bad_certificate:
            return {"bad_certificate", "the session key is not certified by the node's root key"};
        case link_end::bad_signature:
            return {"bad_signature", "the session key did not sign this connection"};
        case link_end::idle:
            return {"idle", "nothing was heard for too long"};
        case link_end::slow_peer:
            return {"slow_peer", "the peer takes messages too slowly"};
        case link_end::connection_lost:
            return {"connection_lost", "the connection broke"};
        case link_end::duplicate:
            return {"duplicate", "another link to the same node is kept"};
        case link_end::too_many_links:
            return {"too_many_links", "there is no room for more links"};
        case link_end::misbehaviour:
            return {"misbehaviour", "the peer broke rules too often"};
        case link_end::bad_message:
            return {"bad_message", "a message did not decode"};
        case link_end::shutting_down:
            return {"shutting_down", "the node stops"};
    }
    return {"unknown", "for a reason this version does not know"};
}

}  // namespace

std::string_view name_of(link_end reason) {
    return names_of(reason).name;
}

std::string link_ending::message() const {
    std::string out = by_peer ? "the peer ended it: " : "";
    out += names_of(reason).sentence;
    if (!detail.empty()) out += " (" + detail + ")";
    return out;
}

}  // namespace tequio::p2p
