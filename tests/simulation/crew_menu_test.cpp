// The rest of the fault menu (README.md here lists which test covers which row): islands, joining
// at bad moments, full disks, false accusers, bounded queues, and one digest for any method, codec
// and history.
#include <cstdlib>

#include "base/text.hpp"
#include "tests/simulation/crew_fixture.hpp"

namespace tequio::simulation {
namespace {

using training::check_verdict;

bool done(const crew_world& world, std::initializer_list<std::size_t> nodes) {
    return std::ranges::all_of(nodes,
                               [&](auto i) { return world.view(i).state == job_state::done; });
}

}  // namespace

BOOST_AUTO_TEST_CASE(loss_of_one_and_of_ten_percent_at_200_ms_costs_time_alone) {
    for (const double loss : {0.01, 0.1}) {
        const network_conditions far{.delay_min = 150ms, .delay_max = 250ms, .loss = loss};
        crew_world world(quick(), {.nodes = 3, .seed = 201, .network = far});
        world.start_all();
        finish_as_alone(world, quick_alone(), 150s);
    }
}

BOOST_AUTO_TEST_CASE(two_islands_that_never_met_come_to_one_result) {
    for (const std::uint64_t seed : {202, 203, 204}) {
        crew_world world(quick(), {.nodes = 4, .seed = seed});
        world.network().cut({0, 1}, {2, 3});
        world.network().cut({2, 3}, {0, 1});
        world.start_all();
        // One may be done before they meet, or both in the middle.
        const std::uint64_t rounds = seed == 202 ? 1 : seed == 203 ? 3 : 5;
        run_until(world, 90s, [&] { return world.view(0).round >= rounds; });
        world.network().heal();
        finish_as_alone(world, quick_alone(), 90s);
    }
}

BOOST_AUTO_TEST_CASE(a_newcomer_catches_up_while_everybody_is_in_the_middle_of_a_lane) {
    crew_world world(quick(), {.nodes = 4, .seed = 205});
    for (std::size_t i = 0; i < 3; ++i) world.machine_of(i).lane = 60s;
    for (std::size_t i = 0; i < 3; ++i) world.start(i);
    run_until(world, 600s, [&] { return world.view(0).round == 2; });
    world.run_for(5s);
    world.start(3);
    const auto joined = world.time().now();
    run_until(world, 30s, [&] { return world.view(3).round == 2 && world.log(3).lanes_run > 0; });
    BOOST_TEST((world.time().now() - joined < 10s));
    finish_as_alone(world, quick_alone(), 900s);
}

BOOST_AUTO_TEST_CASE(a_holder_that_dies_in_the_middle_of_a_transfer_is_replaced) {
    // Means of eight pieces.
    const auto functions = make_hash_functions(
        {.lanes = 3, .rounds = 3, .contribution_bytes = 600, .mean_bytes = 8 * 262144});
    crew_world world(*functions, {.nodes = 4, .seed = 206});
    for (std::size_t i = 0; i < 3; ++i) world.start(i);
    run_until(world, 120s, [&] { return world.view(0).round == 2 && world.view(1).round == 2; });
    std::optional<std::size_t> giver;
    std::size_t pieces = 0;
    world.network().on_delivery = [&](std::size_t from, std::size_t to, base::byte_view bytes) {
        if (to == 3 && bytes.size() > 100000 && ++pieces == 3) giver = from;
    };
    world.start(3);
    run_until(world, 60s, [&] { return giver.has_value(); });
    world.crash(*giver);
    finish_as_alone(world, replay(*functions), 120s);
    BOOST_TEST(pieces > 3u);
}

BOOST_AUTO_TEST_CASE(a_node_that_was_away_for_a_window_of_rounds_and_more_catches_up) {
    const auto functions = make_hash_functions({.lanes = 3, .rounds = 12});
    const auto alone = replay(*functions);
    for (const std::uint64_t away : {2, 3, 4, 6, 8}) {
        crew_world world(*functions, {.nodes = 3, .seed = 207 + away});
        world.start_all();
        run_until(world, 60s, [&] { return world.view(2).round == 2; });
        world.crash(2);
        run_until(world, 120s, [&] { return world.view(0).round >= 2 + away; });
        world.start(2);
        finish_as_alone(world, alone, 120s);
    }
}

BOOST_AUTO_TEST_CASE(a_full_disk_stops_its_node_and_nobody_else) {
    const auto functions = make_hash_functions({.lanes = 3, .rounds = 8});
    for (const std::size_t victim : {0, 1, 2}) {
        crew_world world(*functions, {.nodes = 3, .seed = 220 + victim});
        world.start_all();
        run_until(world, 60s, [&] { return world.view(victim).round == 2; });
        world.machine_of(victim).disk_full = true;
        const auto other = (victim + 1) % 3;
        run_until(world, 240s, [&] { return world.view(other).round >= 5; });
        BOOST_TEST(world.view(victim).round < 5u);
        world.machine_of(victim).disk_full = false;
        finish_as_alone(world, replay(*functions), 240s);
    }
}

BOOST_AUTO_TEST_CASE(a_false_accuser_harms_nobody_but_itself) {
    for (const std::uint64_t seed : {230, 231, 232, 233}) {
        crew_world world(quick(), {.nodes = 4, .seed = seed, .honest = false});
        auto& accuser = world.machine_of(3);
        accuser.lies_in_checks_only = true;
        for (std::uint64_t round = 0; round < 4; ++round) {
            for (std::uint64_t lane = 0; lane < 3; ++lane) accuser.lies.emplace(round, lane);
        }
        world.start_all();
        run_until(world, 200s, [&] { return done(world, {0, 1, 2}); });
        for (const std::size_t i : {0, 1, 2}) {
            BOOST_TEST((world.view(i, true).chronicle == quick_alone().entries));
            BOOST_TEST(!world.view(i).tainted);
            for (const auto& c : world.log(i).checks) {
                if (c.verdict != check_verdict::refuted) continue;
                BOOST_TEST((c.worker == world.id_of(3) || c.checker == world.id_of(3)),
                           "two honest nodes refuted one another");
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_lane_is_not_believed_to_diverge_on_one_nodes_word) {
    for (const std::uint64_t seed : {240, 241, 242, 243}) {
        crew_world world(quick(), {.nodes = 3, .seed = seed, .honest = false});
        world.machine_of(2).diverges = {{1, 0}, {1, 1}, {1, 2}, {3, 1}};
        world.start_all();
        run_until(world, 200s, [&] { return done(world, {0, 1}); });
        for (const std::size_t i : {0, 1}) {
            BOOST_TEST((world.view(i, true).chronicle == quick_alone().entries));
        }
    }
}

BOOST_AUTO_TEST_CASE(nothing_piles_up_while_a_dead_member_is_missed) {
    crew_world world(quick(), {.nodes = 3, .seed = 250, .crew_min = 3});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    world.crash(2);
    const auto messages_in = [&](base::duration time) {
        const auto before = world.network().sent();
        world.run_for(time);
        return world.network().sent() - before;
    };
    messages_in(60s);
    const auto early = messages_in(10min);
    const auto waiting = world.time().waiting();
    messages_in(3h);
    const auto late = messages_in(10min);
    BOOST_TEST(late <= early + early / 10,
               "messages in ten minutes: " << early << ", then " << late);
    BOOST_TEST(world.time().waiting() <= waiting + 20,
               "actions that wait: " << waiting << ", then " << world.time().waiting());
    world.start(2);
    finish_as_alone(world, quick_alone(), 90s);
}

namespace {

/// A method and a codec, with real training computed once for all histories.
struct combination {
    std::string name;
    std::unique_ptr<lane_functions> functions;
    replayed alone;
};

const std::vector<combination>& combinations() {
    static const auto all = [] {
        std::vector<combination> out;
        for (const bool synchronous : {false, true}) {
            for (const auto* codec : {"f32", "mxint8", "mxfp4"}) {
                combination c;
                c.name = std::string(synchronous ? "synchronous" : "diloco") + " " + codec;
                c.functions = make_tiny_functions({.lanes = 4,
                                                   .rounds = synchronous ? 6u : 4u,
                                                   .synchronous = synchronous,
                                                   .codec = codec,
                                                   .codec_down = codec});
                c.alone = replay(*c.functions);
                out.push_back(std::move(c));
            }
        }
        return out;
    }();
    return all;
}

/// Nodes of any speed on a rough network die, come back and are joined by new ones; then it is
/// quiet.
void random_churn(const combination& c, std::uint64_t seed) {
    BOOST_TEST_CONTEXT(c.name << ", seed " << seed) {
        base::rng rng = base::rng(seed).split("churn");
        network_conditions rough;
        rough.loss = static_cast<double>(rng.below(25)) / 100;
        rough.duplication = static_cast<double>(rng.below(25)) / 100;
        rough.late = static_cast<double>(rng.below(10)) / 100;
        rough.late_max = 4s;
        std::size_t nodes = 1 + rng.below(4);
        crew_world world(*c.functions, {.nodes = nodes, .seed = seed, .network = rough});
        for (std::size_t i = 0; i < nodes; ++i) {
            world.machine_of(i).slowness = 0.5 + static_cast<double>(rng.below(90)) / 20;
        }
        world.start_all();
        for (int step = 0; step < 10; ++step) {
            world.run_for(rng.between(100ms, 5s));
            const auto node = static_cast<std::size_t>(rng.below(nodes));
            if (rng.chance(0.3) && nodes < 8) {
                world.start(world.add_machine());
                ++nodes;
            } else if (world.alive(node)) {
                world.crash(node);
                if (rng.chance(0.2)) world.lose_blobs(node);
            } else {
                world.start(node);
            }
        }
        world.network().conditions = {};
        for (std::size_t i = 0; i < nodes; ++i) {
            if (!world.alive(i)) world.start(i);
        }
        finish_as_alone(world, c.alone, 300s);
    }
}

}  // namespace

/// TEQUIO_HISTORIES: how many, spread evenly over methods and codecs (ctest -L long: 204).
BOOST_AUTO_TEST_CASE(any_history_of_any_method_and_codec_ends_with_the_digest_of_one_node) {
    std::uint64_t histories = 6;
    if (const char* given = std::getenv("TEQUIO_HISTORIES")) {
        histories = base::parse_u64(given).value_or(histories);
    }
    const auto& all = combinations();
    for (std::uint64_t i = 0; i < histories; ++i) random_churn(all[i % all.size()], 1000 + i);
    const auto fresh =
        fresh_seed("any_history_of_any_method_and_codec_ends_with_the_digest_of_one_node");
    for (std::uint64_t i = 0; i < all.size(); ++i) random_churn(all[i], fresh + i);
}

}  // namespace tequio::simulation
