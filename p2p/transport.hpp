#pragma once

/// Links over TCP: TLS 1.3 with a throw-away certificate, then hellos, proof of swarm membership
/// and signatures by session keys over the TLS exporter (p2p/wire/README.md). Decides nothing; it
/// turns sockets into `network_event`s and carries out the effects that are about links.

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "p2p/network.hpp"
#include "p2p/swarm.hpp"

namespace boost::asio {
class io_context;
}

namespace tequio::p2p {

/// Wire versions this program speaks, ascending; the highest in common is used.
inline constexpr std::uint32_t wire_versions[] = {1};

/// Defaults without a reason beside them are guesses.
struct transport_config {
    /// The swarm to meet; nothing means the nameless one, which stays on loopback.
    std::optional<membership> swarm;
    /// Profile and digest of this machine's golden vectors; both ends must agree.
    std::string exactness;
    std::vector<std::uint32_t> versions{std::begin(wire_versions), std::end(wire_versions)};
    base::duration connect_timeout = std::chrono::seconds(10);
    base::duration handshake_timeout = std::chrono::seconds(10);  ///< TLS and hellos together
    base::duration ping_every = std::chrono::seconds(5);
    base::duration idle_timeout = std::chrono::seconds(15);  ///< nothing heard for so long: `idle`
    std::size_t queue_bytes_max = 16 << 20;  ///< per link; more to send than this: `slow_peer`
    std::size_t handshakes_max = 64;         ///< inbound at a time; more are closed at once
    std::uint64_t upload_limit = 0;          ///< bytes a second over all links; 0: none
};

/// Sockets behind one io_context. All calls and all callbacks on the thread that runs it.
class transport {
public:
    /// Called for link_up, link_message, link_down, dial_failed and accept_failed, never from
    /// inside a call to this class.
    using event_sink = std::function<void(network_event)>;

    /// `io` and `self` must outlive this. Errors: `errc::io_failure` when OpenSSL refuses.
    static base::result<std::unique_ptr<transport>> create(boost::asio::io_context& io,
                                                           const identity& self,
                                                           transport_config config,
                                                           event_sink sink);
    /// Closes everything at once; no callback comes afterwards.
    ~transport();
    transport(const transport&) = delete;
    transport& operator=(const transport&) = delete;

    /// Accepts links at `where` (a literal address; port 0 picks one) and returns what was bound.
    /// May be called for several addresses. Errors: `errc::not_loopback` for a node in no swarm;
    /// `errc::io_failure`, naming the address.
    base::result<address> listen(const address& where);
    /// Stops accepting; links stay.
    void stop_listening();

    /// Starts a connection; exactly one `link_up` or `dial_failed` follows.
    void dial(const address& where, std::optional<base::node_id> expected);
    /// Queues a message; unknown links are no error (the link may have just ended).
    void send(link_id link, base::byte_vector bytes, send_class what);
    /// Ends a link: the peer is told why, as far as the queue lets us; `link_down` follows.
    void close(link_id link, link_ending ending);
    /// Carries out `link_send`, `dial` and `close_link`; true when the effect was one of them.
    bool carry_out(network_effect& effect);

    /// Meets this swarm from now on; links made under another one are closed.
    void set_swarm(std::optional<membership> swarm);
    void set_upload_limit(std::uint64_t bytes_per_second);
    /// Tells every peer, closes every link, stops listening. Callbacks still come.
    void shut_down();

    /// By link id. Links only, no handshakes under way.
    std::vector<link_statistics> statistics() const;
    /// Bytes a second that left while blob pieces waited to leave, the upload limit included;
    /// nothing until enough did.
    std::optional<std::uint64_t> uplink() const;
    /// Bytes of all links since the start.
    std::uint64_t bytes_sent() const;
    std::uint64_t bytes_received() const;

private:
    struct state;
    explicit transport(std::shared_ptr<state> s);
    std::shared_ptr<state> state_;
};

}  // namespace tequio::p2p
