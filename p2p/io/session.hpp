#pragma once

/// One connection: TLS, then the handshake core, then frames both ways with pings. Private to p2p.

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <memory>

#include "p2p/core/handshake.hpp"
#include "p2p/transport.hpp"

typedef struct ssl_ctx_st SSL_CTX;

namespace tequio::p2p {

/// A TLS 1.3 context with a fresh self-signed certificate: no tickets, no early data, no
/// verification (identities are proved above TLS). Null when OpenSSL refuses.
std::shared_ptr<SSL_CTX> make_tls_context();

/// What a session tells its transport. `ended` comes exactly once, last, unless `drop` was called.
struct session_events {
    std::function<void(const handshake_outcome&)> up;
    std::function<void(base::byte_vector)> message;
    std::function<void(link_ending)> ended;
    std::function<void(std::size_t)> sent;      ///< bytes written, for the upload limit
    std::function<void(std::size_t)> received;  ///< bytes read
    /// So many bytes of a frame that is not of class control were written; `more`: another such one
    /// waits on this session.
    std::function<void(std::size_t, bool more)> bulk_sent;
    /// How long a frame that is not of class control must wait; zero to go now.
    std::function<std::chrono::nanoseconds()> upload_wait;
};

class session : public std::enable_shared_from_this<session> {
public:
    static std::shared_ptr<session> make(boost::asio::ip::tcp::socket socket,
                                         std::shared_ptr<SSL_CTX> tls, session_side side,
                                         handshake_config config, const transport_config& timing,
                                         session_events events);
    virtual ~session() = default;

    virtual void start() = 0;
    virtual void send(base::byte_vector bytes, send_class what) = 0;
    /// Ends it; the peer is told why if it can still be told.
    virtual void end(link_ending ending) = 0;
    /// Closes the socket at once; no event comes any more.
    virtual void drop() = 0;
    virtual bool is_up() const = 0;
    /// Fills in everything but the link's number.
    virtual link_statistics statistics() const = 0;
};

}  // namespace tequio::p2p
