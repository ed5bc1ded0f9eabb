// Crews in groups: as many nodes as do not all hear of one another; the digest is the single
// node's.
#include "tests/simulation/crew_fixture.hpp"
#include "training/crew/groups.hpp"

namespace tequio::simulation {
namespace {

/// Eight units, sixteen lanes: four groups have four lanes each.
lane_functions& sixteen_lanes() {
    static const auto functions =
        make_hash_functions({.lanes = 16, .rounds = 3, .validation = true, .units = 8});
    return *functions;
}
const replayed& sixteen_alone() {
    static const auto alone = replay(sixteen_lanes());
    return alone;
}

world_options in_groups(std::size_t nodes, std::uint64_t group, std::uint64_t seed) {
    world_options o;
    o.nodes = nodes;
    o.seed = seed;
    o.crew_max = 4 * group;
    o.group_max = group;
    return o;
}

std::uint64_t lane_sums(const crew_world& world, std::size_t nodes) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < nodes; ++i) out += world.log(i).lane_sums;
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(nodes_beyond_a_groups_seats_divide_it_and_finish_as_one_alone) {
    for (std::uint64_t seed = 0; seed < seeds(2, 12); ++seed) {
        crew_world world(sixteen_lanes(), in_groups(8, 4, 1000 + seed));
        world.start_all();
        finish_as_alone(world, sixteen_alone(), 240s);
        for (std::size_t i = 0; i < 8; ++i) {
            BOOST_TEST(world.view(i).groups > 1u);
            BOOST_TEST(world.log(i).refused.empty());
            BOOST_TEST(!world.view(i).tainted);
        }
        BOOST_TEST(lane_sums(world, 8) > 0u);
    }
}

BOOST_AUTO_TEST_CASE(real_sums_of_groups_come_to_the_single_nodes_bits) {
    for (const auto& [up, down] :
         {std::pair("f32", "f32"), std::pair("mxint8", "f32"), std::pair("f32", "mxint8")}) {
        const auto functions = make_tiny_functions(
            {.lanes = 5, .rounds = 3, .codec = up, .codec_down = down, .width = 96});
        const auto alone = replay(*functions);
        crew_world world(*functions, in_groups(6, 3, 1100));
        world.start_all();
        finish_as_alone(world, alone, 240s);
        const bool several = functions->mean_units() > 1;
        BOOST_TEST((lane_sums(world, 6) > 0) == several, up << " " << down);
    }
}

/// One of seven nodes dies at some moment, and comes back when `seed` is odd.
void survive_a_death(std::uint64_t seed) {
    crew_world world(sixteen_lanes(), in_groups(7, 3, 1200 + seed));
    world.start_all();
    auto chance = world.rng("victim");
    world.run_for(std::chrono::milliseconds(1000 + chance.below(30'000)));
    const auto victim = chance.below(7);
    world.crash(victim);
    if (seed % 2 == 1) {
        world.run_for(std::chrono::milliseconds(100 + chance.below(20'000)));
        world.start(victim);
    }
    BOOST_TEST_CONTEXT("seed " << seed) {
        finish_as_alone(world, sixteen_alone(), 600s);
    }
}

BOOST_AUTO_TEST_CASE(a_node_that_dies_at_any_moment_costs_time_alone) {
    for (std::uint64_t seed = 0; seed < seeds(4, 40); ++seed) survive_a_death(seed);
}

BOOST_AUTO_TEST_CASE(who_comes_back_when_its_group_is_beyond_its_rounds_parts_fetches_the_mean) {
    survive_a_death(11);
}

BOOST_AUTO_TEST_CASE(sums_whose_maker_died_count_when_another_makes_the_same) {
    survive_a_death(28);
}

BOOST_AUTO_TEST_CASE(a_whole_group_dies_and_the_others_finish) {
    for (std::uint64_t seed = 0; seed < seeds(2, 24); ++seed) {
        crew_world world(sixteen_lanes(), in_groups(9, 4, 1300 + seed));
        world.start_all();
        auto chance = world.rng("group");
        world.run_for(std::chrono::milliseconds(5000 + chance.below(20'000)));
        // Of the first node's, whichever that is: perhaps the one that closes the rounds.
        const auto group = world.view(0).group;
        std::size_t left = 0;
        for (std::size_t i = 0; i < 9; ++i) {
            if (world.view(i).group == group) {
                world.crash(i);
            } else {
                ++left;
            }
        }
        if (left == 0) continue;
        finish_as_alone(world, sixteen_alone(), 600s);
    }
}

BOOST_AUTO_TEST_CASE(the_stewards_of_all_groups_die_in_every_round) {
    crew_world world(sixteen_lanes(), in_groups(12, 4, 1400));
    world.start_all();
    for (std::uint64_t round = 1; round < 3; ++round) {
        run_until(world, 240s, [&] {
            for (std::size_t i = 0; i < 12; ++i) {
                if (world.alive(i) && world.view(i).round >= round) return true;
            }
            return false;
        });
        std::set<std::size_t> stewards;
        for (std::size_t i = 0; i < 12; ++i) {
            if (!world.alive(i)) continue;
            if (const auto s = world.steward(i); s && world.alive(*s)) stewards.insert(*s);
        }
        for (const auto s : stewards) world.crash(s);
        world.run_for(3s);
        for (const auto s : stewards) world.start(s);
    }
    finish_as_alone(world, sixteen_alone(), 600s);
}

BOOST_AUTO_TEST_CASE(groups_that_do_not_hear_of_one_another_come_to_one_result) {
    crew_world world(sixteen_lanes(), in_groups(8, 4, 1500));
    world.start_all();
    run_until(world, 120s, [&] { return world.view(0).round >= 1; });
    std::set<std::size_t> low, high;
    const auto half = world.view(0).groups / 2;
    for (std::size_t i = 0; i < 8; ++i) {
        (world.view(i).group < half ? low : high).insert(i);
    }
    BOOST_TEST_REQUIRE((!low.empty() && !high.empty()));
    world.network().cut(low, high);
    world.network().cut(high, low);
    world.run_for(40s);
    world.network().heal();
    finish_as_alone(world, sixteen_alone(), 600s);
}

BOOST_AUTO_TEST_CASE(groups_without_a_link_between_them_find_one_another_by_their_results) {
    auto options = in_groups(12, 4, 1650);
    options.depth = 2;
    crew_world world(sixteen_lanes(), options);
    training::crew_protocol::group_map map(base::task_id{base::sha256("a task").bytes},
                                           world.id_of(0));
    map.set_depth(2);
    // Links go from and to the first node's group, and within each.
    const auto middle = map.own();
    world.network().linked = [&](std::size_t a, std::size_t b) {
        const auto of_a = map.of(world.id_of(a)), of_b = map.of(world.id_of(b));
        return of_a == of_b || of_a == middle || of_b == middle;
    };
    world.start_all();
    finish_as_alone(world, sixteen_alone(), 240s);
    // After the first round nobody sums lanes of a group because it is not heard of.
    std::set<std::uint32_t> groups;
    for (std::size_t i = 0; i < 12; ++i) groups.insert(map.of(world.id_of(i)));
    BOOST_TEST_REQUIRE(groups.size() > 2u);
    for (std::size_t i = 0; i < 12; ++i) {
        for (const auto& [round, sums] : world.log(i).sums_of) {
            const auto of = map.column_of(static_cast<std::uint32_t>(sums.lanes.first), 16);
            const bool others = of != map.of(world.id_of(i)) && groups.contains(of);
            BOOST_TEST((round == 0 || !others), "node " << i << " round " << round);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_third_of_all_messages_may_be_lost_between_groups) {
    auto options = in_groups(8, 4, 1600);
    options.network = {.delay_max = 200ms, .loss = 0.3, .duplication = 0.1};
    crew_world world(sixteen_lanes(), options);
    world.start_all();
    finish_as_alone(world, sixteen_alone(), 900s);
}

BOOST_AUTO_TEST_CASE(a_newcomer_finds_its_group) {
    auto options = in_groups(8, 4, 1700);
    crew_world world(sixteen_lanes(), options);
    for (std::size_t i = 0; i < 7; ++i) world.start(i);
    run_until(world, 120s, [&] { return world.view(0).round >= 1; });
    world.start(7);
    finish_as_alone(world, sixteen_alone(), 240s);
    BOOST_TEST(world.view(7).groups == world.view(0).groups);
    BOOST_TEST(world.log(7).lanes_run > 0u);
}

BOOST_AUTO_TEST_CASE(sums_that_are_none_are_made_again_by_who_needs_them) {
    const auto functions = make_tiny_functions(
        {.lanes = 5, .rounds = 3, .codec = "mxint8", .codec_down = "f32", .width = 160});
    const auto alone = replay(*functions);
    crew_world world(*functions, in_groups(6, 3, 1800));
    world.machine_of(0).breaks_sums = true;
    world.start_all();
    finish_as_alone(world, alone, 900s);
    BOOST_TEST(world.log(0).lane_sums > 0u);
    // Of another group's lanes as much as their own parts are made of: a shard at a time, where
    // shards are of one unit. In the first round groups may not have heard of one another yet.
    std::size_t abroad = 0, longest = 0, longest_abroad = 0;
    for (std::size_t i = 0; i < 6; ++i) {
        const auto& made = world.log(i).sums_of;
        for (const auto& [round, sums] : made) {
            if (round == 0) continue;
            auto& most = sums.lanes == made.front().second.lanes ? longest : longest_abroad;
            most = std::max<std::size_t>(most, sums.units.count);
            abroad += sums.lanes != made.front().second.lanes;
        }
    }
    BOOST_TEST(abroad > 0u);
    BOOST_TEST(longest > 1u);
    BOOST_TEST(longest_abroad == 1u);
}

BOOST_AUTO_TEST_CASE(forged_sums_make_a_part_that_whoever_draws_it_finds) {
    int found = 0;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        auto options = in_groups(6, 3, 1850 + seed);
        options.honest = false;
        crew_world world(sixteen_lanes(), options);
        world.machine_of(seed).forges_sums = true;
        world.start_all();
        found += world.run(300s, [&] {
            for (std::size_t i = 0; i < 6; ++i) {
                if (world.view(i).tainted) return true;
            }
            return false;
        });
    }
    // Its row is a third of the units or more; of each of three rounds one shard is drawn.
    BOOST_TEST(found >= 2, found << " of 4");
}

BOOST_AUTO_TEST_CASE(as_many_nodes_as_fit_are_in_no_groups) {
    crew_world world(sixteen_lanes(), in_groups(4, 4, 1900));
    world.start_all();
    finish_as_alone(world, sixteen_alone(), 240s);
    for (std::size_t i = 0; i < 4; ++i) BOOST_TEST(world.view(i).groups == 1u);
    BOOST_TEST(lane_sums(world, 4) == 0u);
}

BOOST_AUTO_TEST_CASE(one_seed_gives_one_trace) {
    const auto trace = [] {
        crew_world world(sixteen_lanes(), in_groups(8, 4, 2000));
        world.start_all();
        finish_as_alone(world, sixteen_alone(), 240s);
        return world.trace();
    };
    BOOST_TEST((trace() == trace()));
}

}  // namespace tequio::simulation
