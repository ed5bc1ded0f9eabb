#pragma once

/// Real sockets on loopback, for tests: a transport with the events it gave, and a plain client
/// that can misbehave below or above TLS.

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <deque>
#include <thread>

#include "p2p/transport.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

namespace tequio::test {

inline base::time_point real_now() {
    return base::time_point(std::chrono::steady_clock::now().time_since_epoch());
}

struct loopback_node {
    explicit loopback_node(boost::asio::io_context& context, std::uint64_t number,
                           p2p::transport_config config = {})
        : io(context), self(key_of(number)) {
        auto made = p2p::transport::create(io, self, std::move(config), [this](auto event) {
            events.push_back(std::move(event));
            if (on_event) on_event(events.back());
        });
        BOOST_REQUIRE(made);
        links = std::move(*made);
    }

    void listen() {
        const auto bound = links->listen({"127.0.0.1", 0});
        BOOST_REQUIRE(bound);
        where = *bound;
    }

    /// The first event of a kind, or null.
    template <class Event>
    const Event* first() const {
        for (const auto& e : events) {
            if (const auto* found = std::get_if<Event>(&e)) return found;
        }
        return nullptr;
    }
    template <class Event>
    std::size_t count() const {
        std::size_t n = 0;
        for (const auto& e : events) n += std::holds_alternative<Event>(e) ? 1 : 0;
        return n;
    }

    boost::asio::io_context& io;
    p2p::identity self;
    std::deque<p2p::network_event> events;
    std::function<void(p2p::network_event&)> on_event;
    std::unique_ptr<p2p::transport> links;
    p2p::address where;
};

/// Runs `io` until `done` or for ten seconds at most; true when done.
inline bool run_until(boost::asio::io_context& io, const std::function<bool()>& done,
                      std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) return false;
        io.restart();
        io.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
}

/// A blocking client in a thread of its own: connects, sends, reads until the other side closes (or
/// for five seconds), and keeps what it read.
class rude_client {
public:
    struct manners {
        bool tls = false;
        base::byte_vector bytes;
        bool close_after_sending = false;
    };

    rude_client(std::uint16_t port, manners m)
        : thread_([this, port, m = std::move(m)] { run(port, m); }) {}
    ~rude_client() { thread_.join(); }

    std::string received() const { return received_; }
    bool finished() const { return finished_; }

private:
    void run(std::uint16_t port, const manners& m) {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        const timeval limit{5, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
        if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
            m.tls ? talk_tls(fd, m) : talk(fd, m);
        }
        ::close(fd);
        finished_ = true;
    }

    void talk(int fd, const manners& m) {
        if (!m.bytes.empty()) (void)::send(fd, m.bytes.data(), m.bytes.size(), MSG_NOSIGNAL);
        if (m.close_after_sending) return;
        char buffer[4096];
        for (;;) {
            const auto n = ::recv(fd, buffer, sizeof buffer, 0);
            if (n <= 0) return;
            received_.append(buffer, static_cast<std::size_t>(n));
        }
    }

    void talk_tls(int fd, const manners& m) {
        const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
        const std::shared_ptr<SSL> ssl(SSL_new(context.get()), &SSL_free);
        SSL_set_fd(ssl.get(), fd);
        if (SSL_connect(ssl.get()) != 1) return;
        if (!m.bytes.empty()) {
            SSL_write(ssl.get(), m.bytes.data(), static_cast<int>(m.bytes.size()));
        }
        if (m.close_after_sending) return;
        char buffer[4096];
        for (;;) {
            const auto n = SSL_read(ssl.get(), buffer, sizeof buffer);
            if (n <= 0) return;
            received_.append(buffer, static_cast<std::size_t>(n));
        }
    }

    std::string received_;
    std::atomic<bool> finished_{false};
    std::thread thread_;
};

}  // namespace tequio::test
