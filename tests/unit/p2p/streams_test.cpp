/// Streams between nodes of a virtual swarm: order, windows, lost links, faults.

#include <boost/test/unit_test.hpp>

#include "p2p/core/stream_table.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

constexpr std::uint64_t most = 10 << 20;
const auto name = base::sha256("a lane");

/// Two linked nodes that both opened the stream.
struct talk {
    virtual_swarm swarm{7};
    virtual_node& a = swarm.add();
    virtual_node& b = swarm.add();

    explicit talk(bool both = true) {
        BOOST_REQUIRE(swarm.command(a, p2p::add_address{b.where}));
        BOOST_REQUIRE(swarm.run_until([&] { return a.core->linked(b.id()); }, 10s));
        BOOST_REQUIRE(swarm.run_until([&] { return b.core->linked(a.id()); }, 10s));
        BOOST_REQUIRE(swarm.command(a, p2p::open_stream{b.id(), name, most}));
        if (!both) return;
        BOOST_REQUIRE(swarm.command(b, p2p::open_stream{a.id(), name, most}));
        swarm.run_for(1s);  // both heard of it, and answered
    }
    static p2p::shared_bytes shared(const base::byte_vector& bytes) {
        const auto kept = std::make_shared<const base::byte_vector>(bytes);
        return {kept, *kept};
    }
    base::result<void> say(virtual_node& from, virtual_node& to, const base::byte_vector& bytes) {
        return swarm.command(from, p2p::stream_send{to.id(), name, {0x11, 0x22}, shared(bytes)});
    }
    void take(virtual_node& at, virtual_node& of) {
        BOOST_REQUIRE(swarm.command(at, p2p::stream_take{of.id(), name}));
    }
    static base::byte_vector as_heard(base::byte_vector bytes) {
        bytes.insert(bytes.begin(), {0x11, 0x22});
        return bytes;
    }
    std::uint64_t strikes(virtual_node& at) const {
        const auto peers = at.core->peers();
        return peers.empty() ? 0 : peers.front().strikes;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(streams)

BOOST_AUTO_TEST_CASE(messages_of_any_size_arrive_in_order_both_ways) {
    talk t;
    for (std::uint64_t i = 0; i < 12; ++i) {
        const auto forth = bytes_of(i, i * 100'003);
        const auto back = bytes_of(100 + i, i == 3 ? 0 : 70'000);
        BOOST_REQUIRE(t.say(t.a, t.b, forth));
        BOOST_REQUIRE(t.say(t.b, t.a, back));
        BOOST_REQUIRE(t.swarm.run_until(
            [&] { return t.b.said.size() == i + 1 && t.a.said.size() == i + 1; }, 60s));
        BOOST_TEST((t.b.said[i].bytes == talk::as_heard(forth)));
        BOOST_TEST((t.a.said[i].bytes == talk::as_heard(back)));
        BOOST_TEST(t.a.taken.size() == i);
        t.take(t.b, t.a);
        t.take(t.a, t.b);
        BOOST_REQUIRE(t.swarm.run_until([&] { return t.a.taken.size() == i + 1; }, 10s));
    }
    BOOST_TEST(t.b.moved > 12U);
    BOOST_TEST(t.strikes(t.a) + t.strikes(t.b) == 0U);
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_before_the_other_side_listens) {
    talk t(false);
    const auto before = t.a.bytes_sent;
    BOOST_REQUIRE(t.say(t.a, t.b, bytes_of(1, 500'000)));
    t.swarm.run_for(60s);
    BOOST_TEST(t.a.bytes_sent < before + 10'000);
    BOOST_TEST(t.b.said.empty());
    BOOST_REQUIRE(t.swarm.command(t.b, p2p::open_stream{t.a.id(), name, most}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.b.said.size() == 1; }, 10s));
}

BOOST_AUTO_TEST_CASE(what_waits_is_bounded_by_messages_and_by_bytes) {
    talk t;
    const auto large = bytes_of(1, most - 2);
    BOOST_REQUIRE(t.say(t.a, t.b, large));
    BOOST_REQUIRE(t.say(t.a, t.b, large));
    const auto third = t.say(t.a, t.b, {});
    BOOST_REQUIRE(!third);
    BOOST_TEST(third.error().is(p2p::errc::full));
    std::uint64_t in_flight = 0;
    BOOST_REQUIRE(t.swarm.run_until(
        [&] {
            in_flight = std::max(in_flight, t.a.core->streams().front().in_flight);
            return t.b.said.size() == 2;
        },
        60s));
    BOOST_TEST(in_flight <= p2p::network_config().stream_window);
    BOOST_TEST(in_flight > p2p::network_config().stream_window / 2);
    t.take(t.b, t.a);
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.a.taken.size() == 1; }, 10s));
    BOOST_REQUIRE(t.say(t.a, t.b, {}));
    BOOST_TEST(!t.say(t.a, t.b, {}));
}

BOOST_AUTO_TEST_CASE(a_lost_link_loses_no_message) {
    talk t;
    const auto first = bytes_of(1, 9'000'000), second = bytes_of(2, 9'000'000);
    BOOST_REQUIRE(t.say(t.a, t.b, first));
    BOOST_REQUIRE(t.say(t.a, t.b, second));
    for (int cut = 0; cut < 3; ++cut) {
        const auto moved = t.b.moved;
        BOOST_REQUIRE(t.swarm.run_until([&] { return t.b.moved > moved + 9; }, 60s));
        t.swarm.partition([](std::size_t i) { return i == 0; });
        t.swarm.run_for(20s);
        t.swarm.heal();
        BOOST_REQUIRE(t.swarm.run_until([&] { return t.a.core->linked(t.b.id()); }, 600s));
    }
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.b.said.size() == 2; }, 600s));
    BOOST_TEST((t.b.said[0].bytes == talk::as_heard(first)));
    BOOST_TEST((t.b.said[1].bytes == talk::as_heard(second)));
    BOOST_TEST(t.strikes(t.a) + t.strikes(t.b) == 0U);
}

BOOST_AUTO_TEST_CASE(a_stream_that_ends_still_says_what_it_has_to_say) {
    talk t;
    const auto last = bytes_of(1, 3'000'000);
    BOOST_REQUIRE(t.say(t.a, t.b, last));
    BOOST_REQUIRE(t.say(t.b, t.a, last));
    BOOST_REQUIRE(t.say(t.b, t.a, last));
    BOOST_REQUIRE(t.swarm.command(t.a, p2p::close_stream{t.b.id(), name, ""}));
    BOOST_TEST(!t.say(t.a, t.b, {}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.b.said.size() == 1; }, 10s));
    BOOST_TEST((t.b.said[0].bytes == talk::as_heard(last)));
    // What comes is let go, and counts as taken while it still listens.
    t.swarm.run_for(10s);
    BOOST_TEST(t.a.said.empty());
    BOOST_TEST(t.a.core->streams().empty());
    BOOST_REQUIRE(t.swarm.command(t.b, p2p::close_stream{t.a.id(), name, ""}));
    t.swarm.run_for(p2p::network_config().stream_linger + 1s);
    BOOST_TEST(t.b.core->streams().empty());
    BOOST_TEST(t.b.closed.empty());
    BOOST_TEST(t.strikes(t.a) + t.strikes(t.b) == 0U);
}

BOOST_AUTO_TEST_CASE(who_gives_up_says_why) {
    talk t;
    BOOST_REQUIRE(t.say(t.a, t.b, bytes_of(1, 5'000'000)));
    BOOST_REQUIRE(t.say(t.b, t.a, bytes_of(1, 5'000'000)));
    BOOST_REQUIRE(
        t.swarm.command(t.a, p2p::close_stream{t.b.id(), name, "waited for 60 s for member 2"}));
    BOOST_REQUIRE(t.swarm.run_until([&] { return t.b.closed.size() == 1; }, 10s));
    BOOST_TEST(t.b.closed[0].reason == "waited for 60 s for member 2");
    BOOST_TEST(t.a.core->streams().empty());
    t.swarm.run_for(10s);
    BOOST_TEST(t.strikes(t.a) + t.strikes(t.b) == 0U);
}

BOOST_AUTO_TEST_CASE(parts_that_are_not_due_are_dropped_counted_and_charged) {
    const auto fault = [](const std::function<void(p2p::wire::stream_chunk&)>& change) {
        talk t;
        bool changed = false;
        t.a.tamper = [&](p2p::wire::message& m) {
            auto* part = std::get_if<p2p::wire::stream_chunk>(&m);
            if (part == nullptr || changed || part->offset == 0) return true;
            changed = true;
            change(*part);
            return true;
        };
        BOOST_REQUIRE(t.say(t.a, t.b, bytes_of(1, 300'000)));
        t.swarm.run_for(2s);
        BOOST_TEST(changed);
        BOOST_TEST(t.b.said.empty());
        return std::pair(t.strikes(t.b), t.b.core->streams().front().dropped);
    };
    // Whatever follows a part that was dropped is not due either: two parts, 3 strikes each.
    const std::pair<std::uint64_t, std::uint64_t> both{6, 2};
    BOOST_TEST((fault([](auto& part) { ++part.number; }) == both));
    BOOST_TEST((fault([](auto& part) { part.offset -= 1; }) == both));
    BOOST_TEST((fault([](auto& part) { part.size += 1; }) == both));
    // Another stream's name, and another epoch, which may be an old link's.
    BOOST_TEST((fault([](auto& part) { part.name = base::sha256("no lane"); }) ==
                std::pair<std::uint64_t, std::uint64_t>(4, 1)));
    BOOST_TEST((fault([](auto& part) { part.epoch += 1; }) ==
                std::pair<std::uint64_t, std::uint64_t>(3, 1)));
}

BOOST_AUTO_TEST_CASE(messages_above_the_agreed_size_and_number_are_faults) {
    talk t(false);
    BOOST_REQUIRE(t.swarm.command(t.b, p2p::open_stream{t.a.id(), name, 1000}));
    BOOST_REQUIRE(t.say(t.a, t.b, bytes_of(1, 2000)));
    t.swarm.run_for(2s);
    BOOST_TEST(t.b.said.empty());
    BOOST_TEST(t.strikes(t.b) == 3U);
    // A liar that says it was given leave.
    talk other;
    other.b.tamper = [](p2p::wire::message& m) {
        if (auto* ack = std::get_if<p2p::wire::stream_ack>(&m)) ack->taken = ack->received;
        return true;
    };
    for (int i = 0; i < 3; ++i) {
        BOOST_REQUIRE(other.say(other.a, other.b, {1}));
        other.swarm.run_for(1s);
    }
    BOOST_TEST(other.b.said.size() == 2U);
    BOOST_TEST(other.strikes(other.b) == 3U);
    // And one that says more came than was sent.
    talk third;
    third.b.tamper = [](p2p::wire::message& m) {
        if (auto* ack = std::get_if<p2p::wire::stream_ack>(&m)) ack->bytes += 1;
        return true;
    };
    BOOST_REQUIRE(third.say(third.a, third.b, {1}));
    third.swarm.run_for(1s);
    BOOST_TEST(third.strikes(third.a) == 3U);
}

BOOST_AUTO_TEST_CASE(who_opens_over_and_over_is_charged) {
    p2p::stream_table table{p2p::network_config()};
    const auto peer = p2p::identity(key_of(1)).node();
    p2p::part_effects out;
    BOOST_REQUIRE(table.open({peer, name, most}, true, out));
    const auto charged = [&](std::uint64_t from, std::uint64_t to) {
        out = {};
        for (auto epoch = from; epoch < to; ++epoch) {
            table.opened(peer, {name, epoch, 0, false}, out);
            table.opened(peer, {name, epoch, 0, false}, out);  // once is enough
        }
        return out.strikes.size();
    };
    BOOST_TEST(charged(1, 65) == 0U);
    BOOST_TEST(charged(65, 70) == 10U);
    table.check();
}

BOOST_AUTO_TEST_CASE(an_application_may_charge_a_peer) {
    talk t;
    BOOST_REQUIRE(t.swarm.command(t.a, p2p::blame_peer{t.b.id(), 4, "sent what was not due"}));
    BOOST_TEST(t.strikes(t.a) == 4U);
    BOOST_REQUIRE(t.swarm.command(t.a, p2p::blame_peer{t.b.id(), 6, "again"}));
    BOOST_TEST(!t.a.core->linked(t.b.id()));
}

BOOST_AUTO_TEST_SUITE_END()
