// Faults: crashes at every point, partitions, loss, and random storms; two phases each: under
// faults nothing false may happen (the world's observers see to that); then the network heals, and
// the job must end as on one machine within a stated virtual time.
#include "tests/simulation/crew_fixture.hpp"

namespace tequio::simulation {
namespace {

/// Crashes node `victim` right after its `at`-th event; true when it came to that.
bool run_with_crash(std::size_t victim, std::uint64_t at, bool restart, std::uint64_t seed) {
    crew_world world(quick(), {.nodes = 3, .seed = seed});
    std::uint64_t seen = 0;
    bool due = false;
    world.on_event = [&](std::size_t index) {
        if (index == victim && ++seen == at) due = true;
    };
    world.start_all();
    const bool came = world.run(200s, [&] { return due || world.all(job_state::done); }) && due;
    if (!came) return false;
    world.crash(victim);
    if (restart) {
        world.run_for(1500ms);
        world.start(victim);
    }
    const bool done = world.run(90s, [&] { return world.all(job_state::done); });
    BOOST_TEST_REQUIRE(done, "node " << victim << " crashed at its event " << at << ", seed "
                                     << seed << ": " << world.describe());
    BOOST_TEST_REQUIRE(world.all_agree_with(quick_alone()));
    return true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(any_node_may_die_at_any_point) {
    std::uint64_t runs = 0;
    for (std::size_t victim = 0; victim < 3; ++victim) {
        for (std::uint64_t at = 1; run_with_crash(victim, at, false, 100); at += seeds(11, 5))
            ++runs;
    }
    BOOST_TEST(runs > seeds(50, 100));
}

BOOST_AUTO_TEST_CASE(any_node_may_die_and_come_back_at_any_point) {
    std::uint64_t runs = 0;
    for (std::size_t victim = 0; victim < 3; ++victim) {
        for (std::uint64_t at = 1; run_with_crash(victim, at, true, 101); at += seeds(11, 5))
            ++runs;
    }
    BOOST_TEST(runs > seeds(50, 100));
}

BOOST_AUTO_TEST_CASE(the_steward_dies_in_every_round) {
    crew_world world(quick(), {.nodes = 3, .seed = 102});
    world.start_all();
    for (std::uint64_t round = 0; round < 4; ++round) {
        const auto at_round = [&] {
            for (std::size_t i = 0; i < 3; ++i) {
                if (world.alive(i) && world.view(i).round >= round && world.steward(i)) {
                    return world.alive(*world.steward(i));
                }
            }
            return false;
        };
        run_until(world, 60s, at_round);
        std::optional<std::size_t> steward;
        for (std::size_t i = 0; i < 3 && !steward; ++i) {
            if (world.alive(i) && world.view(i).round >= round) steward = world.steward(i);
        }
        world.crash(*steward);
        world.run_for(7s);
        world.start(*steward);
    }
    finish_as_alone(world, quick_alone(), 90s);
}

BOOST_AUTO_TEST_CASE(all_nodes_die_at_once_and_go_on) {
    for (const base::duration when : {100ms, 2500ms, 4100ms, 6700ms, 9300ms, 12100ms, 15000ms}) {
        crew_world world(quick(), {.nodes = 3, .seed = 103});
        world.start_all();
        world.run_for(when);
        for (std::size_t i = 0; i < 3; ++i) world.crash(i);
        world.run_for(2s);
        world.start_all();
        finish_as_alone(world, quick_alone(), 90s);
    }
}

BOOST_AUTO_TEST_CASE(all_nodes_die_and_one_comes_back) {
    crew_world world(quick(), {.nodes = 3, .seed = 104});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(1).round == 2; });
    for (std::size_t i = 0; i < 3; ++i) world.crash(i);
    world.run_for(2s);
    world.start(1);
    finish_as_alone(world, quick_alone(), 120s);
}

BOOST_AUTO_TEST_CASE(lost_means_are_computed_again) {
    crew_world world(quick(), {.nodes = 2, .seed = 110});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(1).round == 3; });
    for (std::size_t i = 0; i < 2; ++i) {
        world.crash(i);
        world.lose_blobs(i);
    }
    world.start(1);
    finish_as_alone(world, quick_alone(), 120s);
}

BOOST_AUTO_TEST_CASE(both_sides_of_a_partition_go_on_and_agree_afterwards) {
    crew_world world(quick(), {.nodes = 4, .seed = 105});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    world.network().cut({0, 1}, {2, 3});
    world.network().cut({2, 3}, {0, 1});
    const auto both_move = [&] { return world.view(0).round >= 3 && world.view(2).round >= 3; };
    run_until(world, 60s, both_move);
    world.network().heal();
    finish_as_alone(world, quick_alone(), 60s);
}

BOOST_AUTO_TEST_CASE(a_node_that_hears_but_is_not_heard_does_no_harm) {
    crew_world world(quick(), {.nodes = 3, .seed = 106});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    const auto mute = *world.steward(0);
    std::set<std::size_t> others{0, 1, 2};
    others.erase(mute);
    world.network().cut({mute}, others);
    const auto others_move = [&] {
        return std::ranges::all_of(others, [&](auto i) { return world.view(i).round >= 4; });
    };
    run_until(world, 60s, others_move);
    world.network().heal();
    finish_as_alone(world, quick_alone(), 60s);
}

BOOST_AUTO_TEST_CASE(a_third_of_all_messages_may_be_lost) {
    crew_world world(quick(), {.nodes = 3, .seed = 107, .network = {.loss = 0.3}});
    world.start_all();
    finish_as_alone(world, quick_alone(), 180s);
}

BOOST_AUTO_TEST_CASE(messages_may_come_twice_and_late) {
    const network_conditions rough{.duplication = 0.5, .late_max = 20s, .late = 0.2};
    crew_world world(quick(), {.nodes = 3, .seed = 108, .network = rough});
    world.start_all();
    finish_as_alone(world, quick_alone(), 120s);
}

BOOST_AUTO_TEST_CASE(long_delays_only_cost_time) {
    const network_conditions far{.delay_min = 200ms, .delay_max = 400ms};
    crew_world world(quick(), {.nodes = 3, .seed = 109, .network = far});
    world.start_all();
    finish_as_alone(world, quick_alone(), 120s);
}

namespace {

/// A random history: machines of different speed, a rough network, crashes, restarts, partitions
/// and pauses for a while; then quiet.
void storm(std::uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
        base::rng rng = base::rng(seed).split("storm");
        const std::size_t nodes = 2 + rng.below(4);
        network_conditions rough;
        rough.loss = static_cast<double>(rng.below(30)) / 100;
        rough.duplication = static_cast<double>(rng.below(30)) / 100;
        rough.late = static_cast<double>(rng.below(10)) / 100;
        rough.late_max = 5s;
        crew_world world(
            quick(), {.nodes = nodes, .seed = seed, .settle = 1 + rng.below(3), .network = rough});
        for (std::size_t i = 0; i < nodes; ++i) {
            world.machine_of(i).slowness = 0.5 + static_cast<double>(rng.below(100)) / 20;
        }
        world.start_all();
        for (int step = 0; step < 12; ++step) {
            world.run_for(rng.between(100ms, 4s));
            const auto node = static_cast<std::size_t>(rng.below(nodes));
            switch (rng.below(9)) {
                case 0:
                case 1:
                    world.crash(node);
                    break;
                case 2:
                case 3:
                    if (!world.alive(node)) world.start(node);
                    break;
                case 4: {
                    std::set<std::size_t> others;
                    for (std::size_t i = 0; i < nodes; ++i) {
                        if (i != node) others.insert(i);
                    }
                    world.network().cut({node}, others);
                    if (rng.chance(0.5)) world.network().cut(others, {node});
                    break;
                }
                case 5:
                    world.network().heal();
                    break;
                case 6:
                    if (world.alive(node)) {
                        world.command(node,
                                      rng.chance(0.5) ? crew_command::pause : crew_command::drain);
                    }
                    break;
                case 7:
                    if (world.alive(node)) world.owner_comes(node);
                    break;
                case 8:
                    world.owner_goes(node);
                    break;
            }
        }
        world.network().heal();
        world.network().conditions = {};
        for (std::size_t i = 0; i < nodes; ++i) {
            if (!world.alive(i)) world.start(i);
            world.owner_goes(i);
            world.command(i, crew_command::resume);
        }
        finish_as_alone(world, quick_alone(), 240s);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(known_storms_pass) {
    const auto seeds = known_seeds(TEQUIO_SOURCE_DIR "/tests/simulation/seeds.txt");
    BOOST_TEST(!seeds.empty());
    for (const auto seed : seeds) storm(seed);
}

BOOST_AUTO_TEST_CASE(fresh_storms_pass) {
    const auto first = fresh_seed("fresh_storms_pass");
    for (std::uint64_t i = 0; i < 24; ++i) storm(first + i);
}

}  // namespace tequio::simulation
