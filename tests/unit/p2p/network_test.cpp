/// The joined core on virtual links: finding each other, hearing notes, losing peers.

#include <boost/test/unit_test.hpp>

#include "p2p/core/peer_record.hpp"
#include "tests/unit/p2p/virtual_swarm.hpp"

using namespace tequio;
using namespace tequio::test;

namespace {

bool everyone_knows_everyone(virtual_swarm& swarm) {
    for (std::size_t i = 0; i < swarm.size(); ++i) {
        if (swarm.node(i).core->known_nodes().size() != swarm.size() - 1) return false;
    }
    return true;
}

// Nodes 1.. know node 0's address and nothing else.
void make_swarm(virtual_swarm& swarm, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        auto& node = swarm.add();
        if (i > 0) BOOST_REQUIRE(swarm.command(node, p2p::add_address{swarm.node(0).where}));
    }
}

std::size_t with_note(virtual_swarm& swarm, const base::digest& id) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < swarm.size(); ++i) {
        if (!swarm.node(i).core) continue;
        for (const auto& n : swarm.node(i).core->notes()) count += n.id == id ? 1 : 0;
    }
    return count;
}

base::digest run_story(std::uint64_t seed) {
    virtual_swarm swarm(seed);
    make_swarm(swarm, 8);
    swarm.run_for(10s);
    swarm.command(swarm.node(3), p2p::publish_note{1, bytes_of(1, 500)});
    swarm.run_for(5s);
    swarm.crash(swarm.node(0));
    swarm.run_for(60s);
    swarm.start(swarm.node(0));
    swarm.run_for(60s);
    return swarm.trace();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(network)

BOOST_AUTO_TEST_CASE(one_known_address_is_enough_for_everyone_to_learn_everyone) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            virtual_swarm swarm(seed);
            make_swarm(swarm, 24);
            BOOST_TEST(swarm.run_until([&] { return everyone_knows_everyone(swarm); }, 30s));
            for (std::size_t i = 0; i < swarm.size(); ++i) {
                BOOST_TEST(swarm.node(i).core->peers().size() >= 1u);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(same_seed_gives_same_trace_and_another_seed_another) {
    BOOST_TEST(run_story(7).hex() == run_story(7).hex());
    BOOST_TEST(run_story(7).hex() != run_story(8).hex());
}

BOOST_AUTO_TEST_CASE(notes_reach_everyone_and_latecomers) {
    virtual_swarm swarm(3);
    make_swarm(swarm, 12);
    swarm.run_for(10s);
    const auto bytes = bytes_of(1, 60'000);
    BOOST_REQUIRE(swarm.command(swarm.node(5), p2p::publish_note{7, bytes}));
    const auto id = p2p::note_id_of(7, bytes);
    BOOST_TEST(swarm.run_until([&] { return with_note(swarm, id) == 12; }, 2s));
    for (std::size_t i = 0; i < 12; ++i) {
        if (i != 5) BOOST_TEST(swarm.node(i).notes.size() == 1u);
    }
    auto& late = swarm.add();
    swarm.command(late, p2p::add_address{swarm.node(11).where});
    BOOST_TEST(swarm.run_until([&] { return with_note(swarm, id) == 13; }, 5s));
    BOOST_TEST(late.notes.front().kind == 7);
    BOOST_TEST(late.notes.front().bytes == bytes);
}

BOOST_AUTO_TEST_CASE(a_note_that_was_rejected_is_not_passed_on_and_blames_its_sender) {
    virtual_swarm swarm(4);
    make_swarm(swarm, 3);
    for (std::size_t i = 1; i < 3; ++i) {
        swarm.node(i).judge = [](const auto&) { return p2p::note_verdict::reject; };
    }
    swarm.run_for(5s);
    const auto bytes = bytes_of(2, 100);
    swarm.command(swarm.node(0), p2p::publish_note{1, bytes});
    swarm.run_for(120s);
    BOOST_TEST(with_note(swarm, p2p::note_id_of(1, bytes)) == 1u);
    // Judged once: its id is remembered through all later comparisons.
    BOOST_TEST(swarm.node(1).notes.size() == 1u);
    const auto peers = swarm.node(1).core->peers();
    const auto blamed = std::find_if(peers.begin(), peers.end(),
                                     [&](const auto& p) { return p.node == swarm.node(0).id(); });
    BOOST_REQUIRE(blamed != peers.end());
    BOOST_TEST(blamed->strikes > 0u);
}

BOOST_AUTO_TEST_CASE(a_peer_that_keeps_breaking_rules_is_shut_out_by_name) {
    virtual_swarm swarm(5);
    make_swarm(swarm, 2);
    swarm.run_for(5s);
    swarm.node(1).judge = [](const auto&) { return p2p::note_verdict::reject; };
    for (std::uint64_t i = 0; i < 5; ++i) {
        swarm.command(swarm.node(0), p2p::publish_note{1, bytes_of(i, 100)});
    }
    swarm.run_for(5s);
    BOOST_REQUIRE(!swarm.node(1).downs.empty());
    const auto& [node, ending] = swarm.node(1).downs.front();
    BOOST_TEST(node.hex() == swarm.node(0).id().hex());
    BOOST_TEST(p2p::name_of(ending.reason) == "misbehaviour");
    swarm.run_for(60s);
    BOOST_TEST(!swarm.node(1).core->linked(swarm.node(0).id()));
    // The sentence ends.
    BOOST_TEST(
        swarm.run_until([&] { return swarm.node(1).core->linked(swarm.node(0).id()); }, 10min));
}

BOOST_AUTO_TEST_CASE(a_node_that_comes_back_is_found_again) {
    virtual_swarm swarm(6);
    make_swarm(swarm, 4);
    swarm.run_for(10s);
    swarm.crash(swarm.node(2));
    swarm.run_for(60s);
    BOOST_TEST(!swarm.node(1).core->linked(swarm.node(2).id()));
    // It saved its address book, so it needs no seed.
    BOOST_TEST(!swarm.node(2).saved_peers.empty());
    swarm.start(swarm.node(2));
    BOOST_TEST(swarm.run_until(
        [&] {
            for (std::size_t i = 0; i < 4; ++i) {
                if (swarm.node(i).core->peers().size() != 3) return false;
            }
            return true;
        },
        60s));
}

BOOST_AUTO_TEST_CASE(a_partition_heals_and_notes_cross_it) {
    virtual_swarm swarm(7);
    make_swarm(swarm, 8);
    swarm.run_for(10s);
    swarm.partition([](std::size_t i) { return i < 4; });
    swarm.run_for(120s);
    const auto bytes = bytes_of(9, 1000);
    swarm.command(swarm.node(1), p2p::publish_note{1, bytes});
    const auto id = p2p::note_id_of(1, bytes);
    swarm.run_for(60s);
    BOOST_TEST(with_note(swarm, id) == 4u);
    swarm.heal();
    // Backoff has grown to its cap by then: five minutes and a quarter.
    BOOST_TEST(swarm.run_until([&] { return with_note(swarm, id) == 8; }, 7min));
}

BOOST_AUTO_TEST_CASE(two_nodes_that_dial_each_other_keep_one_link) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            virtual_swarm swarm(seed);
            auto& a = swarm.add();
            auto& b = swarm.add();
            swarm.command(a, p2p::add_address{b.where});
            swarm.command(b, p2p::add_address{a.where});
            swarm.run_for(60s);
            BOOST_TEST(swarm.links_alive() == 1u);
            BOOST_TEST(a.core->linked(b.id()));
            BOOST_TEST(b.core->linked(a.id()));
            BOOST_TEST(a.dials + b.dials <= 4u);
        }
    }
}

BOOST_AUTO_TEST_CASE(application_messages_arrive_in_order_and_need_a_link) {
    virtual_swarm swarm(8);
    make_swarm(swarm, 2);
    swarm.run_for(5s);
    auto& a = swarm.node(0);
    auto& b = swarm.node(1);
    for (std::uint8_t i = 0; i < 10; ++i) {
        BOOST_REQUIRE(swarm.command(a, p2p::send_app{b.id(), 3, {i}}));
    }
    swarm.run_for(1s);
    BOOST_REQUIRE(b.heard.size() == 10u);
    for (std::uint8_t i = 0; i < 10; ++i) {
        BOOST_TEST(b.heard[i].topic == 3);
        BOOST_TEST(b.heard[i].bytes.at(0) == i);
        BOOST_TEST(b.heard[i].from.hex() == a.id().hex());
    }
    const auto stranger = p2p::identity(key_of(99)).node();
    BOOST_TEST(swarm.command(a, p2p::send_app{stranger, 3, {1}}).error().is(p2p::errc::not_found));
    BOOST_TEST(swarm.command(a, p2p::send_app{b.id(), 3, base::byte_vector(300'000)})
                   .error()
                   .is(p2p::errc::too_large));
}

BOOST_AUTO_TEST_CASE(wanted_peers_are_linked_beyond_the_usual_number) {
    p2p::network_config config;
    config.links_target = 2;
    virtual_swarm swarm(9, config);
    make_swarm(swarm, 10);
    BOOST_REQUIRE(swarm.run_until([&] { return everyone_knows_everyone(swarm); }, 60s));
    auto& n = swarm.node(9);
    for (std::size_t i = 0; i < 9; ++i) swarm.command(n, p2p::want_peer{swarm.node(i).id()});
    BOOST_TEST(swarm.run_until([&] { return n.core->peers().size() == 9; }, 10s));
}

BOOST_AUTO_TEST_CASE(
    a_wanted_node_comes_in_place_of_one_that_nobody_wants_when_all_links_are_taken) {
    p2p::network_config config;
    config.links_target = 2;
    virtual_swarm swarm(9, config);
    make_swarm(swarm, 10);
    BOOST_REQUIRE(swarm.run_until([&] { return everyone_knows_everyone(swarm); }, 60s));
    // A node with three places, all of them taken.
    config.links_max = config.links_target = 3;
    auto& n = swarm.add(config);
    swarm.command(n, p2p::add_address{swarm.node(0).where});
    BOOST_REQUIRE(swarm.run_until([&] { return n.core->peers().size() == 3; }, 60s));
    const auto first = n.core->peers();
    std::vector<base::node_id> strangers;
    for (std::size_t i = 0; i < 10; ++i) {
        const auto id = swarm.node(i).id();
        if (!n.core->linked(id)) strangers.push_back(id);
    }
    for (std::size_t i = 0; i < 3; ++i) swarm.command(n, p2p::want_peer{strangers[i]});
    const auto linked = [&](std::size_t i) { return n.core->linked(strangers[i]); };
    BOOST_TEST(swarm.run_until([&] { return linked(0) && linked(1) && linked(2); }, 120s));
    BOOST_TEST(n.core->peers().size() == 3U);
    for (const auto& p : first) BOOST_TEST(!n.core->linked(p.node));
    // Wanted ones do not give way.
    swarm.command(n, p2p::want_peer{strangers[3]});
    swarm.run_for(60s);
    BOOST_TEST((linked(0) && linked(1) && linked(2) && !linked(3)));
}

BOOST_AUTO_TEST_CASE(strangers_beyond_the_inbound_limit_are_refused_by_name) {
    p2p::network_config config;
    config.links_inbound_max = 3;
    config.links_target = 1;
    virtual_swarm swarm(10, config);
    auto& hub = swarm.add();
    for (int i = 0; i < 6; ++i) {
        auto& n = swarm.add();
        swarm.command(n, p2p::add_address{hub.where});
    }
    swarm.run_for(20s);
    std::size_t refused = 0;
    for (std::size_t i = 1; i < 7; ++i) {
        for (const auto& [node, ending] : swarm.node(i).downs) {
            if (ending.reason == p2p::link_end::too_many_links) ++refused;
        }
    }
    BOOST_TEST(refused > 0u);
    std::size_t inbound = 0;
    for (const auto& p : hub.core->peers()) inbound += p.outbound ? 0 : 1;
    BOOST_TEST(inbound <= 3u);
}

BOOST_AUTO_TEST_CASE(whom_a_full_seed_refuses_finds_the_others) {
    p2p::network_config config;
    config.links_inbound_max = 3;
    config.links_target = 2;
    virtual_swarm swarm(11, config);
    make_swarm(swarm, 16);
    const auto all_linked = [&] {
        for (std::size_t i = 0; i < swarm.size(); ++i) {
            if (swarm.node(i).core->peers().empty()) return false;
        }
        return everyone_knows_everyone(swarm);
    };
    BOOST_TEST(swarm.run_until(all_linked, 300s));
    for (std::size_t i = 0; i < swarm.size(); ++i) {
        std::size_t inbound = 0;
        for (const auto& p : swarm.node(i).core->peers()) inbound += p.outbound ? 0 : 1;
        BOOST_TEST(inbound <= 3U);
    }
}

BOOST_AUTO_TEST_CASE(garbage_from_a_peer_costs_it_the_link_and_nothing_else) {
    virtual_swarm swarm(11);
    make_swarm(swarm, 3);
    swarm.run_for(5s);
    auto& victim = swarm.node(0);
    const auto link = victim.core->peers().front().link;
    for (std::uint64_t i = 0; i < 10; ++i) {
        BOOST_TEST(swarm.command(victim, p2p::link_message{link, bytes_of(i, 50 + i)}).has_value());
    }
    BOOST_REQUIRE(!victim.downs.empty());
    BOOST_TEST(p2p::name_of(victim.downs.front().second.reason) == "misbehaviour");
    BOOST_TEST(victim.core->peers().size() == 1u);
}

BOOST_AUTO_TEST_CASE(forged_peer_records_are_refused) {
    virtual_swarm swarm(12);
    make_swarm(swarm, 2);
    swarm.run_for(5s);
    auto& victim = swarm.node(0);
    auto forged =
        p2p::sign_peer_record(p2p::identity(key_of(50)), 1, {1'700'000'100}, {{"10.9.9.9", 1}});
    forged[forged.size() - 70] ^= 1;  // another address than the one signed
    const p2p::wire::peer_records record{{forged}};
    const auto link = victim.core->peers().front().link;
    swarm.command(victim, p2p::link_message{link, p2p::wire::encode(record)});
    BOOST_TEST(victim.core->known_nodes().size() == 1u);
    BOOST_TEST(victim.core->peers().front().strikes > 0u);
}

BOOST_AUTO_TEST_SUITE_END()
