/// The handshake core without sockets: what each side says, and what each refuses.

#include "p2p/core/handshake.hpp"

#include "tests/unit/p2p/virtual_swarm.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio;
using namespace tequio::test;
using p2p::handshake;
using p2p::link_end;
using p2p::session_side;

namespace {

struct two_sides {
    p2p::identity a{key_of(1)}, b{key_of(2)};
    base::byte_vector exporter_a = bytes_of(1, 32), exporter_b = bytes_of(1, 32);
    /// Changes a frame on its way; `number` counts from 0 over both sides.
    std::function<void(std::size_t number, base::byte_vector&)> tamper;
    handshake::progress end_a = handshake::progress::more, end_b = handshake::progress::more;
    p2p::link_ending why_a, why_b;
    base::node_id met_by_a, met_by_b;
    std::uint32_t version = 0;

    p2p::handshake_config config_of(const p2p::identity& self) {
        p2p::handshake_config c;
        c.self = &self;
        c.swarm = p2p::nameless_swarm();
        c.exactness = "x";
        c.versions = {1};
        return c;
    }

    void run() {
        handshake first(session_side::initiator, config_of(a), exporter_a);
        handshake second(session_side::responder, config_of(b), exporter_b);
        std::vector<base::byte_vector> to_b, to_a;
        std::size_t number = 0;
        first.start(to_b);
        second.start(to_a);
        while (!to_a.empty() || !to_b.empty()) {
            deliver(to_b, to_a, second, end_b, number);
            deliver(to_a, to_b, first, end_a, number);
        }
        if (end_a == handshake::progress::done) met_by_a = first.outcome().node;
        if (end_b == handshake::progress::done) met_by_b = second.outcome().node;
        version = second.outcome().version;
        why_a = first.ending();
        why_b = second.ending();
    }

    void deliver(std::vector<base::byte_vector>& from, std::vector<base::byte_vector>& back,
                 handshake& to, handshake::progress& end, std::size_t& number) {
        auto frames = std::move(from);
        from.clear();
        for (auto& f : frames) {
            if (tamper) tamper(number, f);
            ++number;
            if (end == handshake::progress::more) end = to.step(f, back);
        }
    }
};

template <class Frame, class Change>
void change(base::byte_vector& bytes, Change how) {
    auto frame = p2p::wire::decode_session_frame(bytes);
    BOOST_REQUIRE(frame);
    how(std::get<Frame>(*frame));
    bytes = p2p::wire::encode(*frame);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(handshake_core)

BOOST_AUTO_TEST_CASE(both_sides_learn_each_other) {
    two_sides t;
    t.run();
    BOOST_TEST(t.met_by_a.hex() == t.b.node().hex());
    BOOST_TEST(t.met_by_b.hex() == t.a.node().hex());
    BOOST_TEST(t.version == 1u);
}

BOOST_AUTO_TEST_CASE(a_man_in_the_middle_has_two_exporters_and_is_found) {
    two_sides t;
    t.exporter_b = bytes_of(2, 32);
    t.run();
    BOOST_CHECK(t.end_b == handshake::progress::failed);
    BOOST_CHECK(t.why_b.reason == link_end::wrong_swarm);
    BOOST_CHECK(t.end_a == handshake::progress::failed);
    BOOST_TEST(t.why_a.by_peer);
}

BOOST_AUTO_TEST_CASE(a_certificate_of_another_node_is_refused) {
    two_sides t;
    t.tamper = [&](std::size_t number, base::byte_vector& f) {
        if (number != 0) return;
        change<p2p::wire::hello>(f, [&](p2p::wire::hello& h) {
            h.session_certificate =
                p2p::identity(key_of(9)).certificate(p2p::key_role::session).encode();
        });
    };
    t.run();
    BOOST_CHECK(t.why_b.reason == link_end::bad_certificate);
    BOOST_CHECK(t.why_a.reason == link_end::bad_certificate);
    BOOST_TEST(t.why_a.by_peer);
}

BOOST_AUTO_TEST_CASE(a_certificate_of_another_role_is_refused) {
    two_sides t;
    t.tamper = [&](std::size_t number, base::byte_vector& f) {
        if (number != 1) return;
        change<p2p::wire::hello>(f, [&](p2p::wire::hello& h) {
            h.session_certificate = t.b.certificate(p2p::key_role::message).encode();
        });
    };
    t.run();
    BOOST_CHECK(t.why_a.reason == link_end::bad_certificate);
}

BOOST_AUTO_TEST_CASE(a_member_cannot_speak_as_another_node) {
    // It knows the secret, so its proof is good; the session key is what it lacks.
    two_sides t;
    t.tamper = [&](std::size_t number, base::byte_vector& f) {
        if (number != 0) return;
        const p2p::identity victim(key_of(7));
        change<p2p::wire::hello>(f, [&](p2p::wire::hello& h) {
            h.node = victim.node();
            h.session_certificate = victim.certificate(p2p::key_role::session).encode();
            h.swarm_proofs = {p2p::membership_proof(p2p::nameless_swarm(), session_side::initiator,
                                                    t.exporter_a, victim.node())};
        });
    };
    t.run();
    BOOST_CHECK(t.end_b != handshake::progress::done);
    BOOST_CHECK(t.why_a.reason == link_end::bad_signature);
}

BOOST_AUTO_TEST_CASE(a_changed_hello_breaks_the_signatures) {
    two_sides t;
    t.tamper = [&](std::size_t number, base::byte_vector& f) {
        if (number == 0) change<p2p::wire::hello>(f, [](auto& h) { h.listen_port = 99; });
    };
    t.run();
    BOOST_CHECK(t.end_a == handshake::progress::failed);
    BOOST_CHECK(t.why_a.reason == link_end::bad_signature);
    BOOST_CHECK(t.end_b == handshake::progress::failed);
}

BOOST_AUTO_TEST_CASE(a_bad_signature_is_refused_on_either_side) {
    for (const std::size_t which : {2u, 3u}) {
        two_sides t;
        t.tamper = [&](std::size_t number, base::byte_vector& f) {
            if (number == which) change<p2p::wire::auth>(f, [](auto& a) { a.signature[5] ^= 1; });
        };
        t.run();
        const auto& finder = which == 2 ? t.why_a : t.why_b;
        BOOST_CHECK(finder.reason == link_end::bad_signature);
        BOOST_TEST(!finder.by_peer);
    }
}

BOOST_AUTO_TEST_CASE(a_reflected_hello_is_not_taken) {
    // Everything a says is played back to a.
    p2p::identity a(key_of(1));
    two_sides t;
    handshake first(session_side::initiator, t.config_of(a), bytes_of(1, 32));
    std::vector<base::byte_vector> out, ignored;
    first.start(out);
    BOOST_CHECK(first.step(out.front(), ignored) == handshake::progress::failed);
    BOOST_CHECK(first.ending().reason == link_end::wrong_swarm);
}

BOOST_AUTO_TEST_CASE(frames_out_of_order_are_refused) {
    two_sides t;
    for (const p2p::wire::session_frame& frame :
         {p2p::wire::session_frame(p2p::wire::auth{}), p2p::wire::session_frame(p2p::wire::ping{1}),
          p2p::wire::session_frame(p2p::wire::data{{1}})}) {
        handshake second(session_side::responder, t.config_of(t.b), bytes_of(1, 32));
        std::vector<base::byte_vector> out;
        BOOST_CHECK(second.step(p2p::wire::encode(frame), out) == handshake::progress::failed);
        BOOST_CHECK(second.ending().reason == link_end::bad_frame);
        BOOST_TEST(out.size() == 1u);
    }
}

BOOST_AUTO_TEST_CASE(nothing_of_ours_is_told_before_membership_is_proved) {
    two_sides t;
    handshake second(session_side::responder, t.config_of(t.b), bytes_of(1, 32));
    p2p::wire::hello h;
    h.versions = {1};
    h.swarm_proofs = {base::sha256("guess")};
    h.node = t.a.node();
    h.session_certificate = t.a.certificate(p2p::key_role::session).encode();
    std::vector<base::byte_vector> out;
    BOOST_CHECK(second.step(p2p::wire::encode(h), out) == handshake::progress::failed);
    BOOST_REQUIRE(out.size() == 1u);
    const auto said = p2p::wire::decode_session_frame(out.front());
    BOOST_TEST(std::get<p2p::wire::refusal>(*said).reason ==
               static_cast<std::uint32_t>(link_end::wrong_swarm));
    BOOST_TEST(std::get<p2p::wire::refusal>(*said).detail.empty());
}

BOOST_AUTO_TEST_CASE(a_refusal_cannot_smuggle_control_characters) {
    const auto ending = p2p::ending_of({9999, "a\x1b[31mb\n"});
    BOOST_CHECK(ending.reason == link_end::closed);
    BOOST_TEST(ending.by_peer);
    BOOST_TEST(ending.detail == "a?[31mb?");
}

BOOST_AUTO_TEST_SUITE_END()
