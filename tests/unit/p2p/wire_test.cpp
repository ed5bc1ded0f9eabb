/// Frames and messages: what goes out comes back, caps hold.

#include <boost/test/unit_test.hpp>

#include "p2p/core/address_book.hpp"
#include "p2p/core/peer_record.hpp"
#include "p2p/wire/session_frames.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;
using p2p::wire::frame_reader;

namespace {

template <class Frame>
void frame_comes_back(const Frame& frame) {
    const auto read = p2p::wire::decode_session_frame(p2p::wire::encode(frame));
    BOOST_REQUIRE(read);
    BOOST_TEST((std::get<Frame>(*read) == frame));
}

template <class Message>
void message_comes_back(const Message& message) {
    const auto read = p2p::wire::decode_message(p2p::wire::encode(message));
    BOOST_REQUIRE(read);
    BOOST_TEST((std::get<Message>(*read) == message));
}

void refused(const p2p::wire::message& m) {
    const auto read = p2p::wire::decode_message(p2p::wire::encode(m));
    BOOST_REQUIRE(!read);
    BOOST_TEST(read.error().is(p2p::errc::bad_message));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(wire)

BOOST_AUTO_TEST_CASE(frames_come_back) {
    const p2p::identity self(key_of(1));
    p2p::wire::hello h;
    h.versions = {1, 3, 9};
    h.swarm_proofs = {base::sha256("a"), base::sha256("b")};
    h.node = self.node();
    h.session_certificate = self.certificate(p2p::key_role::session).encode();
    h.exactness = "exact/1 0123";
    h.listen_port = 47100;
    frame_comes_back(h);
    p2p::wire::auth a;
    a.signature.fill(7);
    frame_comes_back(a);
    frame_comes_back(p2p::wire::refusal{11, "why"});
    frame_comes_back(p2p::wire::ping{0});
    frame_comes_back(p2p::wire::pong{~std::uint64_t{0}});
    frame_comes_back(p2p::wire::data{bytes_of(1, 1000)});
}

BOOST_AUTO_TEST_CASE(impossible_hellos_are_refused) {
    p2p::wire::hello good;
    good.versions = {1};
    good.swarm_proofs = {base::digest{}};
    BOOST_TEST(p2p::wire::decode_session_frame(p2p::wire::encode(good)).has_value());
    auto refuse = [&](auto how) {
        auto h = good;
        how(h);
        BOOST_TEST(!p2p::wire::decode_session_frame(p2p::wire::encode(h)));
    };
    refuse([](auto& h) { h.versions.clear(); });
    refuse([](auto& h) { h.versions = {2, 1}; });
    refuse([](auto& h) { h.versions = {1, 1}; });
    refuse([](auto& h) { h.versions.assign(17, 1); });
    refuse([](auto& h) { h.swarm_proofs.clear(); });
    refuse([](auto& h) { h.swarm_proofs.resize(17); });
    refuse([](auto& h) { h.exactness.assign(129, 'x'); });
    refuse([](auto& h) { h.session_certificate.assign(257, 0); });
}

BOOST_AUTO_TEST_CASE(messages_come_back) {
    message_comes_back(p2p::wire::peer_records{{bytes_of(1, 300), bytes_of(2, 1024)}});
    message_comes_back(p2p::wire::note_offer{{base::sha256("a")}, true});
    message_comes_back(p2p::wire::note_request{{base::sha256("a"), base::sha256("b")}});
    message_comes_back(p2p::wire::note{255, bytes_of(1, p2p::note_bytes_max)});
    message_comes_back(p2p::wire::note_summary{base::sha256("a")});
    const auto blob = bytes_of(3, 600'000);
    const auto ref = base::blob_ref_of(blob);
    message_comes_back(p2p::wire::piece_request{ref, 2});
    const auto piece = piece_of(blob, 1);
    message_comes_back(
        p2p::wire::piece_answer{ref, p2p::wire::piece_status::found, 1, piece.bytes, piece.path});
    message_comes_back(p2p::wire::piece_answer{ref, p2p::wire::piece_status::busy, 1, {}, {}});
    message_comes_back(p2p::wire::app{255, bytes_of(1, p2p::app_bytes_max)});
    message_comes_back(p2p::wire::app{0, {}});
    const auto name = base::sha256("stream");
    message_comes_back(p2p::wire::stream_open{name, 3, 7, true});
    message_comes_back(p2p::wire::stream_chunk{name, 3, 8, p2p::stream_message_max, 17,
                                               bytes_of(1, p2p::stream_chunk_max)});
    message_comes_back(p2p::wire::stream_chunk{name, 3, 8, 0, 0, {}});
    message_comes_back(p2p::wire::stream_ack{name, 3, 1 << 30, 9, 8});
    message_comes_back(p2p::wire::stream_close{name, std::string(512, 'x')});
}

BOOST_AUTO_TEST_CASE(caps_hold) {
    refused(p2p::wire::peer_records{std::vector<base::byte_vector>(65)});
    refused(p2p::wire::peer_records{{base::byte_vector(1025)}});
    refused(p2p::wire::note_offer{std::vector<base::digest>(16385), false});
    refused(p2p::wire::note_request{std::vector<base::digest>(65)});
    refused(p2p::wire::note{1, {}});
    refused(p2p::wire::note{1, base::byte_vector(p2p::note_bytes_max + 1)});
    refused(p2p::wire::app{1, base::byte_vector(p2p::app_bytes_max + 1)});
    const base::blob_ref small{{}, 10};
    refused(p2p::wire::piece_request{small, 1});
    refused(p2p::wire::piece_request{{{}, base::blob_size_max_bytes + 1}, 0});
    refused(p2p::wire::piece_answer{small, p2p::wire::piece_status::found, 0, {1, 2}, {}});
    refused(p2p::wire::piece_answer{small, p2p::wire::piece_status::not_found, 0, {1}, {}});
    refused(p2p::wire::piece_answer{small, static_cast<p2p::wire::piece_status>(4), 0, {}, {}});
    refused(p2p::wire::piece_answer{small, p2p::wire::piece_status::found, 0, base::byte_vector(10),
                                    std::vector<base::digest>(41)});
    const base::digest name;
    refused(p2p::wire::stream_open{name, 0, 7, false});
    refused(p2p::wire::stream_chunk{name, 1, 0, p2p::stream_message_max + 1, 0, {1}});
    refused(p2p::wire::stream_chunk{name, 1, 0, 1 << 20, 0,
                                    base::byte_vector(p2p::stream_chunk_max + 1)});
    refused(p2p::wire::stream_chunk{name, 1, 0, 10, 9, {1, 2}});
    refused(p2p::wire::stream_chunk{name, 1, 0, 10, 11, {}});
    refused(p2p::wire::stream_chunk{name, 1, 0, 10, UINT64_MAX, {1}});
    refused(p2p::wire::stream_chunk{name, 1, 0, 10, 3, {}});
    refused(p2p::wire::stream_ack{name, 1, 0, 3, 4});
    refused(p2p::wire::stream_close{name, std::string(513, 'x')});
    BOOST_TEST(!p2p::wire::decode_message({}));
}

BOOST_AUTO_TEST_CASE(the_largest_message_fits_a_frame) {
    const base::blob_ref ref{{}, base::blob_size_max_bytes};
    p2p::wire::piece_answer piece{ref, p2p::wire::piece_status::found, 0,
                                  base::byte_vector(base::piece_size_bytes),
                                  std::vector<base::digest>(p2p::wire::path_length_max)};
    for (const p2p::wire::message& m :
         {p2p::wire::message(piece),
          p2p::wire::message(
              p2p::wire::note_offer{std::vector<base::digest>(p2p::wire::ids_per_offer), true}),
          p2p::wire::message(p2p::wire::peer_records{std::vector<base::byte_vector>(
              p2p::wire::records_per_message, base::byte_vector(p2p::wire::record_size_max))})}) {
        const auto frame = p2p::wire::encode(p2p::wire::data{p2p::wire::encode(m)});
        BOOST_TEST(frame.size() <= p2p::wire::frame_size_max);
    }
}

BOOST_AUTO_TEST_CASE(a_stream_is_cut_into_frames_however_it_comes) {
    base::byte_vector stream;
    std::vector<base::byte_vector> payloads;
    for (std::uint64_t i = 0; i < 20; ++i) {
        payloads.push_back(bytes_of(i, 1 + i * 37));
        const auto f = p2p::wire::framed(payloads.back());
        stream.insert(stream.end(), f.begin(), f.end());
    }
    for (const std::size_t step : {1u, 3u, 64u, 100'000u}) {
        frame_reader reader;
        std::vector<base::byte_vector> got;
        for (std::size_t at = 0; at < stream.size(); at += step) {
            reader.feed(base::byte_view(stream).subspan(at, std::min(step, stream.size() - at)));
            base::byte_vector payload;
            while (reader.next(payload) == frame_reader::state::frame) got.push_back(payload);
        }
        BOOST_TEST((got == payloads));
        BOOST_TEST(reader.between_frames());
    }
}

BOOST_AUTO_TEST_CASE(a_frame_above_the_cap_is_seen_from_its_length) {
    frame_reader reader;
    base::byte_vector length, payload;
    base::byte_writer(length).u32(p2p::wire::frame_size_max + 1);
    reader.feed(length);
    BOOST_CHECK(reader.next(payload) == frame_reader::state::too_large);
    frame_reader empty;
    empty.feed(base::byte_vector(4));
    BOOST_CHECK(empty.next(payload) == frame_reader::state::empty_frame);
    frame_reader exact;
    exact.feed(p2p::wire::framed(base::byte_vector(p2p::wire::frame_size_max)));
    BOOST_CHECK(exact.next(payload) == frame_reader::state::frame);
}

BOOST_AUTO_TEST_CASE(a_peer_record_comes_back_and_nothing_in_it_can_be_changed) {
    const p2p::identity self(key_of(1));
    const auto bytes =
        p2p::sign_peer_record(self, 7, {1'700'000'000},
                              {{"10.0.0.1", 1}, {"::1", 2}, {"example.org", 3}, {"10.0.0.2", 0}});
    const auto read = p2p::verify_peer_record(bytes);
    BOOST_REQUIRE(read);
    BOOST_TEST(read->node.hex() == self.node().hex());
    BOOST_TEST(read->sequence == 7u);
    // A name and a port of zero may not stand in a record.
    BOOST_TEST((read->addresses == std::vector<p2p::address>{{"10.0.0.1", 1}, {"::1", 2}}));
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        auto changed = bytes;
        changed[i] ^= 4;
        BOOST_TEST(!p2p::verify_peer_record(changed), "byte " << i);
        BOOST_TEST(!p2p::verify_peer_record(base::byte_view(bytes).first(i)));
    }
}

BOOST_AUTO_TEST_CASE(the_address_book_keeps_the_newest_and_is_bounded) {
    p2p::network_config config;
    config.records_max = 4;
    config.records_per_netgroup = 2;
    const base::unix_time now{1'700'000'000};
    const base::unix_time later{now.seconds + 3600};
    p2p::address_book book(config, p2p::identity(key_of(1)).node(), base::rng(1));
    using outcome = p2p::address_book::outcome;
    auto add = [&](std::uint64_t node, std::uint64_t sequence, const char* host,
                   base::unix_time expires) {
        const auto result = book.add(
            p2p::sign_peer_record(p2p::identity(key_of(node)), sequence, expires, {{host, 5}}),
            now);
        book.check();
        return result;
    };
    BOOST_CHECK(add(1, 1, "8.8.8.8", later) == outcome::known);  // itself
    BOOST_CHECK(add(2, 5, "8.8.8.8", later) == outcome::added);
    BOOST_CHECK(add(2, 5, "8.8.9.9", later) == outcome::known);
    BOOST_CHECK(add(2, 4, "8.8.9.9", later) == outcome::known);
    BOOST_CHECK(add(2, 6, "8.8.9.9", later) == outcome::renewed);
    const auto node = p2p::identity(key_of(2)).node();
    BOOST_TEST(book.addresses_of(node)->front().text() == "8.8.9.9:5");
    BOOST_CHECK(add(3, 1, "8.8.1.1", later) == outcome::added);
    BOOST_CHECK(add(4, 1, "8.8.2.2", later) == outcome::refused);  // its netgroup is full
    BOOST_CHECK(add(4, 1, "10.0.0.1", later) == outcome::added);   // local ones are exempt
    BOOST_CHECK(add(5, 1, "10.0.0.2", {now.seconds - 1000}) == outcome::refused);  // expired
    BOOST_CHECK(add(5, 1, "10.0.0.2", {now.seconds + 400 * base::day_seconds}) == outcome::refused);
    BOOST_CHECK(add(5, 1, "10.0.0.2", later) == outcome::added);
    BOOST_CHECK(add(6, 1, "10.0.0.3", later) == outcome::refused);  // full
    BOOST_CHECK(book.add(bytes_of(1, 300), now) == outcome::bad);

    p2p::address_book copy(config, p2p::identity(key_of(1)).node(), base::rng(1));
    auto saved = book.encode();
    copy.load(saved, now);
    BOOST_TEST((copy.nodes() == book.nodes()));
    for (std::size_t n = 0; n < saved.size(); n += 5) {
        p2p::address_book partial(config, p2p::identity(key_of(1)).node(), base::rng(1));
        partial.load(base::byte_view(saved).first(n), now);
        partial.check();
    }
    book.expire({later.seconds + 1000});
    BOOST_TEST(book.size() == 0u);
    book.check();
}

BOOST_AUTO_TEST_SUITE_END()
