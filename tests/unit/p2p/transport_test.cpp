/// Sessions over real loopback sockets: the good path, and every way to fail by its name. Whatever
/// happens to one connection, the acceptor goes on.

#include "p2p/transport.hpp"

#include <netdb.h>

#include "p2p/wire/session_frames.hpp"
#include "tests/unit/p2p/loopback.hpp"

using namespace tequio;
using namespace tequio::test;
using p2p::link_end;

namespace {

struct pair_of_nodes {
    explicit pair_of_nodes(p2p::transport_config left = {}, p2p::transport_config right = {})
        : a(io, 1, std::move(left)), b(io, 2, std::move(right)) {
        a.listen();
        b.listen();
    }
    bool run(const std::function<bool()>& done) { return run_until(io, done); }
    /// b dials a; both ends are up.
    void link() {
        b.links->dial(a.where, a.self.node());
        BOOST_REQUIRE(run([&] { return a.first<p2p::link_up>() && b.first<p2p::link_up>(); }));
    }
    p2p::link_id link_of_b() { return b.first<p2p::link_up>()->link; }
    p2p::link_id link_of_a() { return a.first<p2p::link_up>()->link; }

    boost::asio::io_context io;
    loopback_node a, b;
};

// b dials a and fails; both sides say `reason`, and a still takes a good link.
void expect_refusal(p2p::transport_config left, p2p::transport_config right, link_end reason) {
    boost::asio::io_context io;
    loopback_node a(io, 1, left), b(io, 2, std::move(right));
    a.listen();
    b.links->dial(a.where, std::nullopt);
    BOOST_REQUIRE(run_until(
        io, [&] { return a.first<p2p::accept_failed>() && b.first<p2p::dial_failed>(); }));
    BOOST_TEST(p2p::name_of(a.first<p2p::accept_failed>()->ending.reason) == p2p::name_of(reason));
    BOOST_TEST(p2p::name_of(b.first<p2p::dial_failed>()->ending.reason) == p2p::name_of(reason));
    BOOST_TEST(a.count<p2p::link_up>() + b.count<p2p::link_up>() == 0u);
    loopback_node good(io, 3, left);
    good.links->dial(a.where, a.self.node());
    BOOST_TEST(
        run_until(io, [&] { return a.first<p2p::link_up>() && good.first<p2p::link_up>(); }));
}

p2p::membership swarm_named(const char* name) {
    auto made = p2p::found_swarm(name, p2p::admission::invited, p2p::identity(key_of(40)),
                                 {1'700'000'000}, base::sha256(name));
    BOOST_REQUIRE(made);
    return *made;
}

base::byte_vector length_prefix(std::uint32_t length) {
    base::byte_vector out;
    base::byte_writer(out).u32(length);
    return out;
}

// A client that misbehaves; a names the reason and still takes a good link.
void expect_rude_end(rude_client::manners manners, link_end reason,
                     std::chrono::milliseconds handshake_timeout = std::chrono::seconds(5)) {
    p2p::transport_config config;
    config.handshake_timeout = handshake_timeout;
    pair_of_nodes t(config);
    {
        rude_client client(t.a.where.port, std::move(manners));
        BOOST_REQUIRE(t.run([&] { return t.a.first<p2p::accept_failed>(); }));
        BOOST_REQUIRE(t.run([&] { return client.finished(); }));
    }
    BOOST_TEST(p2p::name_of(t.a.first<p2p::accept_failed>()->ending.reason) ==
               p2p::name_of(reason));
    BOOST_TEST(t.a.count<p2p::accept_failed>() == 1u);
    t.link();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(transport)

BOOST_AUTO_TEST_CASE(two_nodes_meet_and_know_each_other) {
    pair_of_nodes t;
    t.link();
    const auto* up_a = t.a.first<p2p::link_up>();
    const auto* up_b = t.b.first<p2p::link_up>();
    BOOST_TEST(up_a->node.hex() == t.b.self.node().hex());
    BOOST_TEST(up_b->node.hex() == t.a.self.node().hex());
    BOOST_TEST(!up_a->outbound);
    BOOST_TEST(up_b->outbound);
    // The accepting side learns where the dialler listens, not its passing port.
    BOOST_TEST(up_a->address.text() == t.b.where.text());
    BOOST_TEST(up_b->address.text() == t.a.where.text());
    BOOST_REQUIRE(up_b->own.has_value());
    BOOST_TEST(up_b->own->text() == t.b.where.text());
}

BOOST_AUTO_TEST_CASE(messages_arrive_whole_and_in_order) {
    pair_of_nodes t;
    t.link();
    for (std::uint64_t i = 0; i < 20; ++i) {
        t.b.links->send(t.link_of_b(), bytes_of(i, 1 + i * 13'000), p2p::send_class::control);
        t.a.links->send(t.link_of_a(), bytes_of(100 + i, 1 + i), p2p::send_class::control);
    }
    BOOST_REQUIRE(t.run([&] {
        return t.a.count<p2p::link_message>() == 20 && t.b.count<p2p::link_message>() == 20;
    }));
    std::uint64_t i = 0;
    for (const auto& e : t.a.events) {
        if (const auto* m = std::get_if<p2p::link_message>(&e)) {
            BOOST_TEST((m->bytes == bytes_of(i, 1 + i * 13'000)));
            ++i;
        }
    }
    BOOST_TEST(t.a.links->bytes_received() >= t.b.links->statistics().front().bytes_sent);
}

BOOST_AUTO_TEST_CASE(pings_measure_the_round_trip) {
    p2p::transport_config quick;
    quick.ping_every = 50ms;
    pair_of_nodes t(quick, quick);
    t.link();
    BOOST_REQUIRE(t.run([&] { return t.b.links->statistics().front().rtt > 0ns; }));
    BOOST_TEST((t.b.links->statistics().front().rtt < 1s));
}

BOOST_AUTO_TEST_CASE(small_messages_pass_blob_pieces_that_wait) {
    p2p::transport_config slow;
    slow.upload_limit = 2'000'000;
    pair_of_nodes t({}, slow);
    t.link();
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < 6; ++i) {
        t.b.links->send(t.link_of_b(), bytes_of(i, 256 * 1024), p2p::send_class::bulk);
    }
    t.b.links->send(t.link_of_b(), {42}, p2p::send_class::control);
    BOOST_REQUIRE(t.run([&] { return t.a.count<p2p::link_message>() == 7; }));
    const auto took = std::chrono::steady_clock::now() - start;
    std::size_t position = 0, at = 0;
    for (const auto& e : t.a.events) {
        if (const auto* m = std::get_if<p2p::link_message>(&e)) {
            if (m->bytes.size() == 1) at = position;
            ++position;
        }
    }
    BOOST_TEST(at <= 2u);
    // 1.5 MiB at 2 MB/s; the last piece waits for the five before it: 0.6 s.
    BOOST_TEST((took > 500ms));
}

BOOST_AUTO_TEST_CASE(streams_pass_blob_pieces_that_wait_and_leave_them_every_fifth_turn) {
    p2p::transport_config slow;
    slow.upload_limit = 4'000'000;
    pair_of_nodes t({}, slow);
    t.link();
    constexpr std::size_t pieces = 4, parts = 12;
    for (std::uint64_t i = 0; i < pieces; ++i) {
        t.b.links->send(t.link_of_b(), bytes_of(i, 256 * 1024), p2p::send_class::bulk);
    }
    for (std::uint64_t i = 0; i < parts; ++i) {
        t.b.links->send(t.link_of_b(), bytes_of(i, 128 * 1024), p2p::send_class::stream);
    }
    t.b.links->send(t.link_of_b(), {42}, p2p::send_class::control);
    BOOST_REQUIRE(t.run([&] { return t.a.count<p2p::link_message>() == pieces + parts + 1; }));
    std::string order;
    for (const auto& e : t.a.events) {
        const auto* m = std::get_if<p2p::link_message>(&e);
        if (m == nullptr) continue;
        order += m->bytes.size() == 1 ? 'c' : m->bytes.size() == 256 * 1024 ? 'b' : 's';
    }
    // The first piece was being written when the rest came.
    BOOST_TEST(order == "bcssssbssssbssssb");
}

BOOST_AUTO_TEST_CASE(pieces_that_wait_measure_the_uplink) {
    p2p::transport_config slow;
    slow.upload_limit = 3'000'000;
    pair_of_nodes t({}, slow);
    t.link();
    BOOST_TEST(!t.b.links->uplink().has_value());
    for (std::uint64_t i = 0; i < 9; ++i) {
        t.b.links->send(t.link_of_b(), bytes_of(i, 256 * 1024), p2p::send_class::bulk);
    }
    BOOST_REQUIRE(t.run([&] { return t.a.count<p2p::link_message>() == 9; }));
    BOOST_REQUIRE(t.run([&] { return t.b.links->uplink().has_value(); }));
    // 2 MiB take 0.7 s, of which 50 ms may leave ahead of the limit.
    BOOST_TEST(*t.b.links->uplink() <= 3'300'000u);
    BOOST_TEST(*t.b.links->uplink() >= 1'500'000u);  // a busy machine sends more slowly
}

BOOST_AUTO_TEST_CASE(closing_tells_both_sides_why) {
    pair_of_nodes t;
    t.link();
    t.b.links->close(t.link_of_b(), {link_end::duplicate, false, ""});
    BOOST_REQUIRE(
        t.run([&] { return t.a.first<p2p::link_down>() && t.b.first<p2p::link_down>(); }));
    BOOST_CHECK(t.a.first<p2p::link_down>()->ending.reason == link_end::duplicate);
    BOOST_TEST(t.a.first<p2p::link_down>()->ending.by_peer);
    BOOST_CHECK(t.b.first<p2p::link_down>()->ending.reason == link_end::duplicate);
    BOOST_TEST(!t.b.first<p2p::link_down>()->ending.by_peer);
    BOOST_TEST(t.a.links->statistics().empty());
}

BOOST_AUTO_TEST_CASE(a_node_that_stops_says_so) {
    pair_of_nodes t;
    t.link();
    t.a.links->shut_down();
    BOOST_REQUIRE(t.run([&] { return t.b.first<p2p::link_down>(); }));
    BOOST_CHECK(t.b.first<p2p::link_down>()->ending.reason == link_end::shutting_down);
    t.b.links->dial(t.a.where, std::nullopt);
    BOOST_REQUIRE(t.run([&] { return t.b.first<p2p::dial_failed>(); }));
    BOOST_CHECK(t.b.first<p2p::dial_failed>()->ending.reason == link_end::connect_failed);
}

BOOST_AUTO_TEST_CASE(a_node_that_vanishes_is_noticed) {
    boost::asio::io_context io;
    loopback_node a(io, 1);
    a.listen();
    auto b = std::make_unique<loopback_node>(io, 2);
    b->links->dial(a.where, a.self.node());
    BOOST_REQUIRE(run_until(io, [&] { return a.first<p2p::link_up>(); }));
    b.reset();
    BOOST_REQUIRE(run_until(io, [&] { return a.first<p2p::link_down>(); }));
    BOOST_CHECK(a.first<p2p::link_down>()->ending.reason == link_end::connection_lost);
}

BOOST_AUTO_TEST_CASE(a_peer_that_falls_silent_is_idle) {
    p2p::transport_config quick;
    quick.ping_every = 100ms;
    quick.idle_timeout = 300ms;
    boost::asio::io_context io, frozen;
    loopback_node a(io, 1, quick), b(frozen, 2);
    a.listen();
    b.links->dial(a.where, a.self.node());
    BOOST_REQUIRE(run_until(io, [&] {
        frozen.restart();
        frozen.poll();
        return a.first<p2p::link_up>() != nullptr;
    }));
    // From here on b's loop does not run: its sockets are open and nobody answers.
    BOOST_REQUIRE(run_until(io, [&] { return a.first<p2p::link_down>(); }));
    BOOST_CHECK(a.first<p2p::link_down>()->ending.reason == link_end::idle);
}

BOOST_AUTO_TEST_CASE(a_peer_that_takes_nothing_is_slow_and_memory_stays_bounded) {
    p2p::transport_config small;
    small.queue_bytes_max = 4 << 20;
    boost::asio::io_context io, frozen;
    loopback_node a(io, 1, small), b(frozen, 2);
    a.listen();
    b.links->dial(a.where, a.self.node());
    BOOST_REQUIRE(run_until(io, [&] {
        frozen.restart();
        frozen.poll();
        return a.first<p2p::link_up>() != nullptr;
    }));
    const auto link = a.first<p2p::link_up>()->link;
    for (int i = 0; i < 200 && !a.first<p2p::link_down>(); ++i) {
        a.links->send(link, base::byte_vector(256 * 1024), p2p::send_class::bulk);
        for (const auto& s : a.links->statistics()) BOOST_TEST(s.bytes_queued < 5u << 20);
        io.restart();
        io.poll();
    }
    BOOST_REQUIRE(run_until(io, [&] { return a.first<p2p::link_down>(); }));
    BOOST_CHECK(a.first<p2p::link_down>()->ending.reason == link_end::slow_peer);
}

BOOST_AUTO_TEST_CASE(another_identity_than_expected_is_refused_by_the_dialler) {
    pair_of_nodes t;
    const auto somebody = p2p::identity(key_of(9)).node();
    t.b.links->dial(t.a.where, somebody);
    BOOST_REQUIRE(
        t.run([&] { return t.b.first<p2p::dial_failed>() && t.a.first<p2p::accept_failed>(); }));
    const auto* failed = t.b.first<p2p::dial_failed>();
    BOOST_CHECK(failed->ending.reason == link_end::wrong_identity);
    BOOST_TEST(failed->expected->hex() == somebody.hex());
    BOOST_TEST(failed->address.text() == t.a.where.text());
    BOOST_CHECK(t.a.first<p2p::accept_failed>()->ending.reason == link_end::wrong_identity);
    t.link();
}

BOOST_AUTO_TEST_CASE(another_swarm_is_refused) {
    p2p::transport_config left, right;
    left.swarm = swarm_named("left");
    right.swarm = swarm_named("right");
    expect_refusal(left, right, link_end::wrong_swarm);
    expect_refusal(left, {}, link_end::wrong_swarm);
    expect_refusal({}, right, link_end::wrong_swarm);
}

BOOST_AUTO_TEST_CASE(a_stranger_with_the_note_but_not_the_secret_is_refused) {
    p2p::transport_config left, right;
    left.swarm = right.swarm = swarm_named("left");
    right.swarm->secret[0] ^= 1;
    expect_refusal(left, right, link_end::wrong_swarm);
}

BOOST_AUTO_TEST_CASE(members_of_one_swarm_meet) {
    p2p::transport_config config;
    config.swarm = swarm_named("left");
    pair_of_nodes t(config, config);
    t.link();
}

BOOST_AUTO_TEST_CASE(no_common_version_is_refused_and_the_highest_common_one_is_used) {
    p2p::transport_config left, right;
    left.versions = {1, 2};
    right.versions = {3, 4};
    expect_refusal(left, right, link_end::no_common_version);
    right.versions = {2, 3};
    pair_of_nodes t(left, right);
    t.link();
}

BOOST_AUTO_TEST_CASE(different_arithmetic_is_refused) {
    p2p::transport_config left, right;
    left.exactness = "exact/1 abc";
    right.exactness = "exact/1 abd";
    expect_refusal(left, right, link_end::different_exactness);
}

BOOST_AUTO_TEST_CASE(a_node_notices_that_it_reached_itself) {
    pair_of_nodes t;
    t.a.links->dial(t.a.where, std::nullopt);
    BOOST_REQUIRE(
        t.run([&] { return t.a.first<p2p::dial_failed>() && t.a.first<p2p::accept_failed>(); }));
    BOOST_CHECK(t.a.first<p2p::dial_failed>()->ending.reason == link_end::self_connection);
    BOOST_CHECK(t.a.first<p2p::accept_failed>()->ending.reason == link_end::self_connection);
    t.link();
}

BOOST_AUTO_TEST_CASE(a_node_in_no_swarm_stays_on_loopback) {
    pair_of_nodes t;
    const auto listening = t.a.links->listen({"0.0.0.0", 0});
    BOOST_REQUIRE(!listening);
    BOOST_TEST(listening.error().is(p2p::errc::not_loopback));
    t.a.links->dial({"192.0.2.1", 47100}, std::nullopt);
    BOOST_REQUIRE(t.run([&] { return t.a.first<p2p::dial_failed>(); }));
    BOOST_CHECK(t.a.first<p2p::dial_failed>()->ending.reason == link_end::not_loopback);
}

BOOST_AUTO_TEST_CASE(names_are_resolved_and_unknown_ones_fail_by_name) {
    // A bare chroot has no /etc/hosts, and then nothing knows the name.
    addrinfo* known = nullptr;
    if (::getaddrinfo("localhost", nullptr, nullptr, &known) != 0) {
        BOOST_TEST_MESSAGE("skipped: this machine cannot resolve localhost");
        return;
    }
    ::freeaddrinfo(known);
    pair_of_nodes t;
    t.b.links->dial({"localhost", t.a.where.port}, std::nullopt);
    BOOST_REQUIRE(t.run([&] { return t.b.first<p2p::link_up>(); }));
    BOOST_TEST(t.b.first<p2p::link_up>()->address.host == "localhost");
    t.b.links->dial({"no-such-host.invalid", 1}, std::nullopt);
    BOOST_REQUIRE(t.run([&] { return t.b.first<p2p::dial_failed>(); }));
    BOOST_CHECK(t.b.first<p2p::dial_failed>()->ending.reason == link_end::unresolved);
}

BOOST_AUTO_TEST_CASE(listening_twice_on_one_port_fails_by_name) {
    pair_of_nodes t;
    const auto again = t.b.links->listen(t.a.where);
    BOOST_REQUIRE(!again);
    BOOST_TEST(again.error().is(p2p::errc::io_failure));
    BOOST_TEST(again.error().message().find(t.a.where.text()) != std::string::npos);
}

BOOST_AUTO_TEST_CASE(changing_the_swarm_closes_links_of_the_old_one) {
    pair_of_nodes t;
    t.link();
    t.a.links->set_swarm(swarm_named("left"));
    BOOST_REQUIRE(t.run([&] { return t.b.first<p2p::link_down>(); }));
    t.b.links->set_swarm(swarm_named("left"));
    t.b.links->dial(t.a.where, t.a.self.node());
    BOOST_TEST(t.run([&] { return t.a.count<p2p::link_up>() == 2; }));
}

BOOST_AUTO_TEST_CASE(plain_text_is_not_tls) {
    const auto request = std::string("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const auto view = base::as_bytes(request);
    expect_rude_end({false, {view.begin(), view.end()}, false}, link_end::tls_failed);
}

BOOST_AUTO_TEST_CASE(random_bytes_are_not_tls) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        auto bytes = bytes_of(seed, 2000);
        bytes[0] = 0;  // never the start of a TLS record
        expect_rude_end({false, bytes, false}, link_end::tls_failed);
    }
}

BOOST_AUTO_TEST_CASE(a_client_that_says_nothing_is_too_slow) {
    expect_rude_end({false, {}, false}, link_end::handshake_slow, 200ms);
    expect_rude_end({true, {}, false}, link_end::handshake_slow, 400ms);
}

BOOST_AUTO_TEST_CASE(a_client_that_leaves_early_is_truncated) {
    expect_rude_end({false, {}, true}, link_end::truncated);
    expect_rude_end({true, {}, true}, link_end::truncated);
    auto half = length_prefix(100);
    half.push_back(1);
    expect_rude_end({true, half, true}, link_end::truncated);
}

BOOST_AUTO_TEST_CASE(a_frame_above_the_cap_is_refused_before_it_comes) {
    expect_rude_end({true, length_prefix(p2p::wire::frame_size_max + 1), false},
                    link_end::frame_too_large);
    expect_rude_end({true, length_prefix(0xffffffff), false}, link_end::frame_too_large);
}

BOOST_AUTO_TEST_CASE(frames_that_are_no_messages_are_bad) {
    expect_rude_end({true, p2p::wire::framed(bytes_of(1, 300)), false}, link_end::bad_frame);
    expect_rude_end({true, length_prefix(0), false}, link_end::bad_frame);
    // Well formed, but before the peer is known.
    expect_rude_end({true, p2p::wire::framed(p2p::wire::encode(p2p::wire::data{{1, 2, 3}})), false},
                    link_end::bad_frame);
}

BOOST_AUTO_TEST_CASE(old_tls_is_refused) {
    p2p::transport_config config;
    pair_of_nodes t(config);
    std::atomic<bool> done{false};
    int connected = 1;
    std::thread client([&] {
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(t.a.where.port);
        inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
        if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0) {
            const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
            SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
            const std::shared_ptr<SSL> ssl(SSL_new(context.get()), &SSL_free);
            SSL_set_fd(ssl.get(), fd);
            connected = SSL_connect(ssl.get());
        }
        ::close(fd);
        done = true;
    });
    BOOST_TEST(t.run([&] { return done.load() && t.a.first<p2p::accept_failed>(); }));
    client.join();
    BOOST_TEST(connected != 1);
    BOOST_CHECK(t.a.first<p2p::accept_failed>()->ending.reason == link_end::tls_failed);
}

BOOST_AUTO_TEST_CASE(too_many_handshakes_at_once_are_turned_away) {
    p2p::transport_config config;
    config.handshakes_max = 2;
    config.handshake_timeout = 500ms;
    pair_of_nodes t(config);
    {
        std::deque<rude_client> silent;
        for (int i = 0; i < 4; ++i) silent.emplace_back(t.a.where.port, rude_client::manners{});
        BOOST_REQUIRE(t.run([&] { return t.a.count<p2p::accept_failed>() == 4; }));
        std::size_t turned_away = 0;
        for (const auto& e : t.a.events) {
            const auto* failed = std::get_if<p2p::accept_failed>(&e);
            if (failed != nullptr && failed->ending.reason == link_end::too_many_links) {
                ++turned_away;
            }
        }
        BOOST_TEST(turned_away == 2u);
    }
    t.link();
}

BOOST_AUTO_TEST_SUITE_END()
