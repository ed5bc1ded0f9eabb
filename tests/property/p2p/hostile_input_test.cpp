/// Every decoder is fed random bytes and damaged good ones: it may refuse, it may not fall. Run
/// under the sanitizers for its full worth. Repeat one: RC_PARAMS="seed=..." property_p2p.

#include <rapidcheck.h>
#include <boost/test/unit_test.hpp>

#include "p2p/core/handshake.hpp"
#include "p2p/core/peer_record.hpp"
#include "p2p/data_dir.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

using bytes = base::byte_vector;

/// Good samples of everything that is decoded.
std::vector<bytes> samples() {
    const p2p::identity self(key_of(1));
    const auto swarm =
        *p2p::found_swarm("s", p2p::admission::invited, self, {1}, base::sha256("e"));
    const auto invite = *p2p::make_invite(swarm, {{{"10.0.0.1", 1}}, std::nullopt, std::nullopt});
    const auto blob = bytes_of(1, 300'000);
    const auto piece = piece_of(blob, 1);
    p2p::wire::hello h;
    h.versions = {1, 2};
    h.swarm_proofs = {base::sha256("p")};
    h.node = self.node();
    h.session_certificate = self.certificate(p2p::key_role::session).encode();
    auto text = [](std::string_view t) { return bytes(t.begin(), t.end()); };
    return {
        p2p::wire::encode(h),
        p2p::wire::encode(p2p::wire::session_frame(p2p::wire::refusal{3, "why"})),
        p2p::wire::encode(p2p::wire::session_frame(p2p::wire::data{{1, 2, 3}})),
        p2p::wire::encode(p2p::wire::message(p2p::wire::note{3, bytes_of(1, 200)})),
        p2p::wire::encode(p2p::wire::message(
            p2p::wire::note_offer{{base::sha256("a"), base::sha256("b")}, true})),
        p2p::wire::encode(p2p::wire::message(p2p::wire::piece_answer{
            base::blob_ref_of(blob), p2p::wire::piece_status::found, 1, piece.bytes, piece.path})),
        p2p::wire::encode(
            p2p::wire::message(p2p::wire::stream_open{base::sha256("talk"), 1, 0, false})),
        p2p::wire::encode(p2p::wire::message(
            p2p::wire::stream_chunk{base::sha256("talk"), 1, 0, 300, 0, bytes_of(1, 200)})),
        p2p::wire::encode(p2p::wire::message(
            p2p::wire::stream_chunk{base::sha256("talk"), 1, 0, 300, 200, bytes_of(2, 100)})),
        p2p::wire::encode(
            p2p::wire::message(p2p::wire::stream_ack{base::sha256("talk"), 1, 50, 1, 1})),
        p2p::wire::encode(p2p::wire::message(p2p::wire::stream_close{base::sha256("talk"), "why"})),
        p2p::sign_peer_record(self, 3, {1'700'000'000}, {{"10.0.0.1", 1}}),
        self.certificate(p2p::key_role::session).encode(),
        text(swarm.note),
        text(invite),
        text(p2p::key_text("identity", key_of(1))),
        text("[2001:db8::1]:47100")};
}

void feed_all(const bytes& input) {
    const auto text = base::as_text(input);
    const p2p::identity self(key_of(1));
    (void)p2p::wire::decode_session_frame(input);
    (void)p2p::wire::decode_message(input);
    (void)p2p::verify_peer_record(input);
    (void)p2p::peek_peer_record(input);
    (void)p2p::verify_role_certificate(self.node(), p2p::key_role::session, input);
    (void)p2p::parse_swarm_note(text);
    (void)p2p::parse_invite(text, {1});
    (void)p2p::parse_key_text(text, "identity");
    (void)p2p::parse_address(text);
    p2p::wire::frame_reader reader;
    reader.feed(input);
    bytes payload;
    while (reader.next(payload) == p2p::wire::frame_reader::state::frame) {
    }
    p2p::handshake_config config;
    config.self = &self;
    config.swarm = p2p::nameless_swarm();
    config.versions = {1};
    p2p::handshake responder(p2p::session_side::responder, config, bytes_of(1, 32));
    std::vector<bytes> out;
    RC_ASSERT(responder.step(input, out) != p2p::handshake::progress::done);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(hostile_input)

BOOST_AUTO_TEST_CASE(random_bytes_fell_no_decoder) {
    BOOST_TEST(rc::check("random bytes", [](const bytes& input) { feed_all(input); }));
}

BOOST_AUTO_TEST_CASE(damaged_messages_fell_no_decoder) {
    const auto good = samples();
    BOOST_TEST(rc::check("damaged", [&] {
        auto input = good[*rc::gen::inRange<std::size_t>(0, good.size())];
        const auto changes = *rc::gen::inRange(1, 6);
        for (int i = 0; i < changes && !input.empty(); ++i) {
            const auto at = *rc::gen::inRange<std::size_t>(0, input.size());
            const auto byte = *rc::gen::arbitrary<std::uint8_t>();
            switch (*rc::gen::inRange(0, 4)) {
                case 0:
                    input[at] = byte;
                    break;
                case 1:
                    input.resize(at);
                    break;
                case 2:
                    input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), byte);
                    break;
                default:
                    input.erase(input.begin() + static_cast<std::ptrdiff_t>(at));
            }
        }
        feed_all(input);
    }));
}

BOOST_AUTO_TEST_CASE(a_network_survives_anything_its_peers_say) {
    const auto good = samples();
    BOOST_TEST(rc::check("hostile peer", [&] {
        const p2p::identity self(key_of(1));
        p2p::network core({}, self, base::rng(1));
        p2p::network_effects out;
        base::time_point now{1s};
        const auto steps = *rc::gen::inRange(5, 60);
        for (int i = 0; i < steps; ++i) {
            now += std::chrono::milliseconds(*rc::gen::inRange(0, 5000));
            const std::uint64_t link = *rc::gen::inRange<std::uint64_t>(1, 6);
            const auto node = p2p::identity(key_of(link + 1)).node();
            const auto name = base::sha256("talk");
            switch (*rc::gen::inRange(-3, 5)) {
                case -3:
                    (void)core.handle(now, p2p::open_stream{node, name, 1000}, out);
                    break;
                case -2:
                    (void)core.handle(now, p2p::stream_send{node, name, {1, 2}, {}}, out);
                    (void)core.handle(now, p2p::stream_take{node, name}, out);
                    break;
                case -1:
                    (void)core.handle(
                        now, p2p::close_stream{node, name, link % 2 == 0 ? "why" : ""}, out);
                    break;
                case 0:
                    if (core.linked(node)) {
                        (void)core.handle(now, p2p::tick{}, out);
                    } else {
                        (void)core.handle(
                            now, p2p::link_up{{link}, node, {"10.0.0.9", 1}, {}, link % 2 == 0},
                            out);
                    }
                    break;
                case 1:
                    (void)core.handle(now, p2p::link_down{{link}, {}}, out);
                    break;
                case 2:
                    (void)core.handle(now, p2p::tick{}, out);
                    break;
                default: {
                    auto m = good[*rc::gen::inRange<std::size_t>(0, good.size())];
                    if (*rc::gen::inRange(0, 2) == 0 && !m.empty()) {
                        m[*rc::gen::inRange<std::size_t>(0, m.size())] ^= 1;
                    }
                    (void)core.handle(now, p2p::link_message{{link}, m}, out);
                }
            }
            core.check();
            RC_ASSERT(core.next_deadline() > now);
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
