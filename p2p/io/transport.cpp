#include "p2p/transport.hpp"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "p2p/core/uplink_meter.hpp"
#include "p2p/io/session.hpp"

namespace tequio::p2p {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;

// So much may leave ahead of the upload limit; more would be felt as lag on a home line.
constexpr auto upload_burst = std::chrono::milliseconds(50);
constexpr auto accept_pause = std::chrono::milliseconds(100);

asio::ip::address plain(const asio::ip::address& a) {
    if (a.is_v6() && a.to_v6().is_v4_mapped()) {
        return asio::ip::make_address_v4(asio::ip::v4_mapped, a.to_v6());
    }
    return a;
}

address address_of(const tcp::endpoint& e) {
    return {plain(e.address()).to_string(), e.port()};
}

bool is_loopback(const tcp::endpoint& e) {
    return plain(e.address()).is_loopback();
}

std::string reason_of(error_code code) {
    return code.message();
}

}  // namespace

struct transport::state : std::enable_shared_from_this<transport::state> {
    struct live {
        std::shared_ptr<p2p::session> connection;
        base::node_id node;
        address peer;
        bool outbound = false;
        bool up = false;
        bool pieces_wait = false;
        std::optional<base::node_id> expected;
        tcp::endpoint local;
    };
    struct dialling {
        dialling(asio::io_context& io, address w, std::optional<base::node_id> e)
            : where(std::move(w)), expected(std::move(e)), socket(io), resolver(io), timer(io) {}
        address where;
        std::optional<base::node_id> expected;
        tcp::socket socket;
        tcp::resolver resolver;
        asio::steady_timer timer;
        bool timed_out = false;
    };

    asio::io_context& io;
    const identity& self;
    transport_config config;
    event_sink sink;
    std::shared_ptr<SSL_CTX> tls;
    std::vector<std::shared_ptr<tcp::acceptor>> acceptors;
    std::uint16_t listen_port = 0;
    std::map<std::uint64_t, live> sessions;
    std::map<std::uint64_t, std::weak_ptr<dialling>> dials;
    std::uint64_t next_number = 1;
    std::uint64_t bytes_sent = 0, bytes_received = 0;
    clock::time_point upload_free_at;
    uplink_meter uplink;
    bool closed = false;

    state(asio::io_context& i, const identity& s, transport_config c, event_sink e)
        : io(i), self(s), config(std::move(c)), sink(std::move(e)) {}

    const membership& swarm() const { return config.swarm ? *config.swarm : nameless_swarm(); }

    void tell(network_event event) {
        if (!closed) sink(std::move(event));
    }
    void tell_later(network_event event) {
        asio::post(io, [self_ = shared_from_this(), event = std::move(event)]() mutable {
            self_->tell(std::move(event));
        });
    }

    // Accepting.

    void accept(std::shared_ptr<tcp::acceptor> acceptor) {
        acceptor->async_accept(
            [me = shared_from_this(), acceptor](error_code code, tcp::socket socket) {
                if (me->closed || !acceptor->is_open()) return;
                if (!code) {
                    me->accepted(std::move(socket));
                    return me->accept(acceptor);
                }
                // Out of descriptors, or the peer is gone already: try again in a moment.
                auto pause = std::make_shared<asio::steady_timer>(me->io, accept_pause);
                pause->async_wait([me, acceptor, pause](error_code) {
                    if (!me->closed && acceptor->is_open()) me->accept(acceptor);
                });
            });
    }

    void accepted(tcp::socket socket) {
        error_code code;
        const auto remote = socket.remote_endpoint(code);
        if (code) return;
        if (is_nameless(swarm()) && !is_loopback(remote)) {
            return tell(accept_failed{address_of(remote), {link_end::not_loopback, false, ""}});
        }
        std::size_t pending = 0;
        for (const auto& [number, s] : sessions) pending += s.outbound || s.up ? 0 : 1;
        if (pending >= config.handshakes_max) {
            return tell(accept_failed{address_of(remote), {link_end::too_many_links, false, ""}});
        }
        begin(std::move(socket), address_of(remote), false, std::nullopt);
    }

    // Dialling.

    void dial(const address& where, std::optional<base::node_id> expected) {
        auto d = std::make_shared<dialling>(io, where, std::move(expected));
        const auto number = next_number++;
        dials[number] = d;
        d->timer.expires_after(config.connect_timeout);
        d->timer.async_wait([d](error_code code) {
            if (code) return;
            error_code ignored;
            d->timed_out = true;
            d->resolver.cancel();
            d->socket.close(ignored);
        });
        error_code code;
        const auto literal = asio::ip::make_address(where.host, code);
        if (!code) {
            return connect(number, d, {tcp::endpoint(literal, where.port)});
        }
        d->resolver.async_resolve(where.host, std::to_string(where.port),
                                  [me = shared_from_this(), d, number](
                                      error_code failed, const tcp::resolver::results_type& found) {
                                      if (failed) {
                                          return me->dial_over(
                                              number, *d,
                                              {link_end::unresolved, false, reason_of(failed)});
                                      }
                                      std::vector<tcp::endpoint> endpoints;
                                      for (const auto& entry : found)
                                          endpoints.push_back(entry.endpoint());
                                      me->connect(number, d, std::move(endpoints));
                                  });
    }

    void connect(std::uint64_t number, const std::shared_ptr<dialling>& d,
                 std::vector<tcp::endpoint> endpoints) {
        // After resolving: a name may point anywhere.
        if (is_nameless(swarm())) {
            std::erase_if(endpoints, [](const auto& e) { return !is_loopback(e); });
        }
        if (endpoints.empty()) {
            return dial_over(number, *d, {link_end::not_loopback, false, d->where.text()});
        }
        auto list = std::make_shared<std::vector<tcp::endpoint>>(std::move(endpoints));
        asio::async_connect(
            d->socket, *list,
            [me = shared_from_this(), d, number, list](error_code code, const tcp::endpoint&) {
                if (code) {
                    const std::string why = d->timed_out ? "timed out" : reason_of(code);
                    return me->dial_over(number, *d, {link_end::connect_failed, false, why});
                }
                d->timer.cancel();
                me->dials.erase(number);
                if (me->closed) return;
                me->begin(std::move(d->socket), d->where, true, d->expected);
            });
    }

    void dial_over(std::uint64_t number, dialling& d, link_ending ending) {
        d.timer.cancel();
        dials.erase(number);
        tell_later(dial_failed{d.where, d.expected, std::move(ending)});
    }

    // Sessions.

    void begin(tcp::socket socket, address peer, bool outbound,
               std::optional<base::node_id> expected) {
        const auto number = next_number++;
        handshake_config h;
        h.self = &self;
        h.swarm = swarm();
        h.exactness = config.exactness;
        h.versions = config.versions;
        h.expected = expected;
        h.listen_port = listen_port;
        error_code ignored;
        const auto local = socket.local_endpoint(ignored);
        auto& s = sessions[number];
        s.peer = std::move(peer);
        s.outbound = outbound;
        s.expected = std::move(expected);
        s.local = local;
        s.connection = session::make(std::move(socket), tls,
                                     outbound ? session_side::initiator : session_side::responder,
                                     std::move(h), config, events_of(number));
        s.connection->start();
    }

    session_events events_of(std::uint64_t number) {
        std::weak_ptr<state> weak = shared_from_this();
        session_events e;
        e.up = [weak, number](const handshake_outcome& o) {
            if (const auto me = weak.lock()) me->on_up(number, o);
        };
        e.message = [weak, number](base::byte_vector bytes) {
            if (const auto me = weak.lock()) me->tell(link_message{{number}, std::move(bytes)});
        };
        e.ended = [weak, number](link_ending ending) {
            if (const auto me = weak.lock()) me->on_ended(number, std::move(ending));
        };
        e.sent = [weak](std::size_t n) {
            if (const auto me = weak.lock()) me->on_sent(n);
        };
        e.received = [weak](std::size_t n) {
            if (const auto me = weak.lock()) me->bytes_received += n;
        };
        e.bulk_sent = [weak, number](std::size_t n, bool more) {
            if (const auto me = weak.lock()) me->on_bulk_sent(number, n, more);
        };
        e.upload_wait = [weak] {
            const auto me = weak.lock();
            return me ? me->upload_wait() : std::chrono::nanoseconds(0);
        };
        return e;
    }

    void on_up(std::uint64_t number, const handshake_outcome& outcome) {
        auto& s = sessions.at(number);
        s.up = true;
        s.node = outcome.node;
        if (!s.outbound && outcome.listen_port != 0) s.peer.port = outcome.listen_port;
        std::optional<address> own;
        if (listen_port != 0) own = address{address_of(s.local).host, listen_port};
        tell(link_up{{number}, s.node, s.peer, own, s.outbound});
    }

    void on_ended(std::uint64_t number, link_ending ending) {
        const auto at = sessions.find(number);
        if (at == sessions.end()) return;
        const auto s = std::move(at->second);
        sessions.erase(at);
        note_idle_uplink();
        if (s.up) return tell(link_down{{number}, std::move(ending)});
        if (s.outbound) return tell(dial_failed{s.peer, s.expected, std::move(ending)});
        tell(accept_failed{s.peer, std::move(ending)});
    }

    void on_sent(std::size_t n) {
        bytes_sent += n;
        if (config.upload_limit == 0) return;
        const auto took = static_cast<double>(n) * 1e9 / static_cast<double>(config.upload_limit);
        upload_free_at = std::max(upload_free_at, clock::now()) +
                         std::chrono::nanoseconds(static_cast<std::int64_t>(took));
    }

    void on_bulk_sent(std::uint64_t number, std::size_t n, bool more) {
        uplink.written(base::time_point(clock::now().time_since_epoch()), n);
        if (const auto at = sessions.find(number); at != sessions.end()) {
            at->second.pieces_wait = more;
        }
        note_idle_uplink();
    }

    void note_idle_uplink() {
        const bool waits = std::any_of(sessions.begin(), sessions.end(),
                                       [](const auto& s) { return s.second.pieces_wait; });
        if (!waits) uplink.idle();
    }

    std::chrono::nanoseconds upload_wait() const {
        if (config.upload_limit == 0) return std::chrono::nanoseconds(0);
        const auto ahead = upload_free_at - clock::now();
        return std::max<std::chrono::nanoseconds>(ahead - upload_burst,
                                                  std::chrono::nanoseconds(0));
    }

    void end_all(link_ending ending) {
        std::vector<std::shared_ptr<session>> all;
        for (const auto& [number, s] : sessions) all.push_back(s.connection);
        for (const auto& s : all) s->end(ending);
    }

    void stop_listening() {
        error_code ignored;
        for (const auto& a : acceptors) a->close(ignored);
        acceptors.clear();
        listen_port = 0;
    }

    void close_everything() {
        closed = true;
        stop_listening();
        for (const auto& [number, s] : sessions) s.connection->drop();
        sessions.clear();
        for (const auto& [number, weak] : dials) {
            if (const auto d = weak.lock()) {
                error_code ignored;
                d->timer.cancel();
                d->resolver.cancel();
                d->socket.close(ignored);
            }
        }
        dials.clear();
    }
};

transport::transport(std::shared_ptr<state> s) : state_(std::move(s)) {}

transport::~transport() {
    state_->close_everything();
}

base::result<std::unique_ptr<transport>> transport::create(asio::io_context& io,
                                                           const identity& self,
                                                           transport_config config,
                                                           event_sink sink) {
    auto s = std::make_shared<state>(io, self, std::move(config), std::move(sink));
    s->tls = make_tls_context();
    if (!s->tls) return fail(errc::io_failure, "OpenSSL gives no TLS 1.3 context");
    return std::unique_ptr<transport>(new transport(std::move(s)));
}

base::result<address> transport::listen(const address& where) {
    auto refused = [&](error_code code) {
        return fail(errc::io_failure, "cannot listen on " + where.text() + ": " + code.message());
    };
    error_code code;
    const auto ip =
        asio::ip::make_address(where.host == "localhost" ? "127.0.0.1" : where.host, code);
    if (code) return refused(code);
    const tcp::endpoint endpoint(ip, where.port);
    if (is_nameless(state_->swarm()) && !is_loopback(endpoint)) {
        return fail(errc::not_loopback, "cannot listen on " + where.text() +
                                            ": a node in no swarm stays on loopback; found or "
                                            "join one first (tequio swarm new, tequio swarm join)");
    }
    auto acceptor = std::make_shared<tcp::acceptor>(state_->io);
    acceptor->open(endpoint.protocol(), code);
    if (code) return refused(code);
    acceptor->set_option(tcp::acceptor::reuse_address(true), code);
    if (!code && ip.is_v6()) acceptor->set_option(asio::ip::v6_only(false), code);
    if (!code) acceptor->bind(endpoint, code);
    if (!code) acceptor->listen(asio::socket_base::max_listen_connections, code);
    if (code) return refused(code);
    const auto bound = acceptor->local_endpoint(code);
    if (code) return refused(code);
    if (state_->listen_port == 0) state_->listen_port = bound.port();
    state_->acceptors.push_back(acceptor);
    state_->accept(std::move(acceptor));
    return address_of(bound);
}

void transport::stop_listening() {
    state_->stop_listening();
}

void transport::dial(const address& where, std::optional<base::node_id> expected) {
    state_->dial(where, std::move(expected));
}

void transport::send(link_id link, base::byte_vector bytes, send_class what) {
    const auto at = state_->sessions.find(link.value);
    if (at != state_->sessions.end()) at->second.connection->send(std::move(bytes), what);
}

void transport::close(link_id link, link_ending ending) {
    const auto at = state_->sessions.find(link.value);
    if (at != state_->sessions.end()) at->second.connection->end(std::move(ending));
}

bool transport::carry_out(network_effect& effect) {
    if (auto* out = std::get_if<link_send>(&effect)) {
        send(out->link, std::move(out->bytes), out->what);
    } else if (auto* to = std::get_if<p2p::dial>(&effect)) {
        dial(to->address, to->expected);
    } else if (auto* gone = std::get_if<close_link>(&effect)) {
        close(gone->link, std::move(gone->ending));
    } else {
        return false;
    }
    return true;
}

void transport::set_swarm(std::optional<membership> swarm) {
    const auto before = state_->swarm().id;
    state_->config.swarm = std::move(swarm);
    if (state_->swarm().id == before) return;
    state_->end_all({link_end::closed, false, "this node changed its swarm"});
}

void transport::set_upload_limit(std::uint64_t bytes_per_second) {
    state_->config.upload_limit = bytes_per_second;
}

void transport::shut_down() {
    state_->stop_listening();
    state_->end_all({link_end::shutting_down, false, ""});
}

std::vector<link_statistics> transport::statistics() const {
    std::vector<link_statistics> out;
    for (const auto& [number, s] : state_->sessions) {
        if (!s.up) continue;
        auto line = s.connection->statistics();
        line.link = {number};
        line.node = s.node;
        line.peer = s.peer;
        line.outbound = s.outbound;
        out.push_back(std::move(line));
    }
    return out;
}

std::optional<std::uint64_t> transport::uplink() const {
    return state_->uplink.bytes_per_second();
}

std::uint64_t transport::bytes_sent() const {
    return state_->bytes_sent;
}

std::uint64_t transport::bytes_received() const {
    return state_->bytes_received;
}

}  // namespace tequio::p2p
