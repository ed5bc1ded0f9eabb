// Named scenarios: each ends with the digest that one machine alone comes to.
#include "tests/simulation/crew_fixture.hpp"

namespace tequio::simulation {
namespace {

/// Real training, computed once for all scenarios of this program.
lane_functions& tiny() {
    static const auto functions = make_tiny_functions({.lanes = 4, .rounds = 4});
    return *functions;
}
const replayed& tiny_alone() {
    static const auto alone = replay(tiny());
    return alone;
}

/// Nodes that saw each lane of each round checked, by the receipts of both sides.
void every_lane_was_checked(const crew_world& world, std::size_t nodes) {
    for (std::size_t i = 0; i < nodes; ++i) {
        if (!world.alive(i)) continue;
        BOOST_TEST(world.view(i).checked_share == 1.0);
        BOOST_TEST(!world.view(i).tainted);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_node_alone_trains_to_the_end_and_says_unchecked) {
    crew_world world(tiny(), {.nodes = 1, .seed = 1});
    world.start_all();
    finish_as_alone(world, tiny_alone(), 120s);
    BOOST_TEST(world.view(0).checked_share == 0.0);
    const auto& checks = world.log(0).checks;
    BOOST_TEST(checks.size() == 16u);
    for (const auto& c : checks) {
        BOOST_TEST((c.verdict == training::check_verdict::unchecked));
    }
    BOOST_TEST(world.log(0).lanes_run == 16u);
}

BOOST_AUTO_TEST_CASE(three_nodes_share_the_lanes_and_check_each_other) {
    crew_world world(tiny(), {.nodes = 3, .seed = 2});
    world.start_all();
    finish_as_alone(world, tiny_alone(), 60s);
    every_lane_was_checked(world, 3);
    std::uint64_t lanes = 0;
    std::map<std::pair<std::uint64_t, std::uint64_t>, int> sides;
    for (std::size_t i = 0; i < 3; ++i) {
        lanes += world.log(i).lanes_run;
        BOOST_TEST(world.log(i).refused.empty());
        for (const auto& c : world.log(i).checks) {
            BOOST_TEST((c.verdict == training::check_verdict::matched));
            ++sides[{c.round.value, c.lane.value}];
        }
    }
    BOOST_TEST(lanes >= 32u);
    BOOST_TEST(lanes <= 40u, "more duplicates than stragglers explain: " << lanes);
    BOOST_TEST(sides.size() == 16u);
    for (const auto& [lane, count] : sides) BOOST_TEST(count >= 2);
}

BOOST_AUTO_TEST_CASE(any_codec_up_and_down_gives_what_one_node_gives) {
    // Contributions and means have different sizes, each way round.
    for (const auto& [up, down] : {std::pair("f32", "mxfp4"), std::pair("mxfp4", "f32")}) {
        const auto functions = make_tiny_functions(
            {.lanes = 3, .rounds = 2, .inner_steps = 1, .codec = up, .codec_down = down});
        crew_world world(*functions, {.nodes = 2, .seed = 6});
        world.start_all();
        finish_as_alone(world, replay(*functions), 60s);
        std::uint64_t coded = 0;
        for (std::size_t i = 0; i < 2; ++i) coded += world.view(i).lanes_coded.results;
        BOOST_TEST(coded >= 6u);
    }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_trace) {
    const auto trace = [](std::uint64_t seed) {
        network_conditions rough{.loss = 0.1, .duplication = 0.1, .late_max = 3s, .late = 0.05};
        crew_world world(tiny(), {.nodes = 3, .seed = seed, .network = rough});
        world.start_all();
        world.run_for(20s);
        return world.trace();
    };
    const auto once = trace(3);
    BOOST_TEST((once == trace(3)));
    BOOST_TEST((once != trace(4)));
}

BOOST_AUTO_TEST_CASE(a_newcomer_in_the_middle_catches_up_and_helps) {
    crew_world world(tiny(), {.nodes = 3, .seed = 5});
    world.start(0);
    world.start(1);
    run_until(world, 60s, [&] { return world.view(0).round == 2; });
    world.start(2);
    const auto joined = world.time().now();
    // Within the round: it has computed something before the round after next is over.
    run_until(world, 30s, [&] { return world.log(2).lanes_run > 0; });
    BOOST_TEST(world.view(0).round <= 3u);
    BOOST_TEST((world.time().now() - joined < 10s));
    finish_as_alone(world, tiny_alone(), 60s);
}

BOOST_AUTO_TEST_CASE(a_slow_node_does_not_hold_the_others_up) {
    crew_world fast(tiny(), {.nodes = 3, .seed = 6});
    fast.start_all();
    finish_as_alone(fast, tiny_alone(), 60s);
    const auto without = fast.time().now().time_since_epoch();
    crew_world world(tiny(), {.nodes = 4, .seed = 6});
    world.machine_of(3).slowness = 10;
    world.start_all();
    const auto done = [&] {
        for (std::size_t i = 0; i < 3; ++i) {
            if (world.view(i).state != job_state::done) return false;
        }
        return true;
    };
    run_until(world, 120s, done);
    BOOST_TEST((world.time().now().time_since_epoch() < 2 * without),
               "with a slow fourth node: " << world.describe());
    finish_as_alone(world, tiny_alone(), 120s);
}

BOOST_AUTO_TEST_CASE(a_recipe_that_diverges_fails_everywhere_with_the_place) {
    const auto functions =
        make_tiny_functions({.lanes = 3, .rounds = 4, .lr = 1e9, .inner_steps = 20});
    const auto alone = replay(*functions);
    BOOST_TEST_REQUIRE(alone.diverged.has_value());
    for (const std::size_t nodes : {1, 3}) {
        crew_world world(*functions, {.nodes = nodes, .seed = 7});
        world.start_all();
        run_until(world, 60s, [&] { return world.all(job_state::failed); });
        world.run_for(1s);
        for (std::size_t i = 0; i < nodes; ++i) {
            const auto v = world.view(i);
            BOOST_TEST(v.reason_code == "diverged");
            BOOST_TEST(v.reason.find(*alone.diverged) != std::string::npos,
                       v.reason << " should name " << *alone.diverged);
            BOOST_TEST(!v.tainted);
            BOOST_TEST(v.round == alone.entries.size());
            for (const auto& c : world.log(i).checks) {
                BOOST_TEST((c.verdict != training::check_verdict::refuted));
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_synchronous_job_is_the_same_under_loss_and_a_death) {
    const auto functions = make_tiny_functions({.lanes = 4, .rounds = 8, .synchronous = true});
    const auto alone = replay(*functions);
    BOOST_REQUIRE(!alone.diverged);
    network_conditions rough{.loss = 0.1, .duplication = 0.1, .late_max = 3s, .late = 0.05};
    for (const std::uint64_t seed : {21, 22, 23}) {
        crew_world world(*functions, {.nodes = 4, .seed = seed, .network = rough});
        world.start_all();
        run_until(world, 60s, [&] { return world.view(0).round >= 3; });
        world.crash(1);
        finish_as_alone(world, alone, 120s);
    }
}

BOOST_AUTO_TEST_CASE(a_synchronous_job_that_diverges_fails_everywhere_with_the_place) {
    const auto functions =
        make_tiny_functions({.lanes = 3, .rounds = 40, .lr = 1e9, .synchronous = true});
    const auto alone = replay(*functions);
    BOOST_TEST_REQUIRE(alone.diverged.has_value());
    crew_world world(*functions, {.nodes = 3, .seed = 7});
    world.start_all();
    run_until(world, 120s, [&] { return world.all(job_state::failed); });
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(world.view(i).reason_code == "diverged");
        BOOST_TEST(world.view(i).reason.find(*alone.diverged) != std::string::npos,
                   world.view(i).reason << " should name " << *alone.diverged);
    }
}

BOOST_AUTO_TEST_CASE(one_lane_that_diverges_late_is_named_by_all) {
    const auto functions = make_hash_functions({.lanes = 5, .rounds = 4, .diverges = {{2, 3}}});
    crew_world world(*functions, {.nodes = 3, .seed = 8});
    world.start_all();
    run_until(world, 60s, [&] { return world.all(job_state::failed); });
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(world.view(i).reason.find("round 2, lane 3, step 1, tensor "
                                             "transformer.wte.weight") != std::string::npos);
        BOOST_TEST(world.view(i).round == 2u);
    }
}

BOOST_AUTO_TEST_CASE(pause_stops_work_and_resume_takes_it_up) {
    crew_world world(tiny(), {.nodes = 2, .seed = 9});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    const auto paused = *world.steward(0);
    const auto other = 1 - paused;
    world.command(paused, crew_command::pause);
    const auto lanes = world.log(paused).lanes_run;
    run_until(world, 60s, [&] { return world.view(other).round >= 3; });
    BOOST_TEST(world.log(paused).lanes_run == lanes);
    BOOST_TEST(world.view(paused).reason_code == "paused");
    world.command(paused, crew_command::resume);
    finish_as_alone(world, tiny_alone(), 60s);
    BOOST_TEST(world.log(paused).lanes_run > lanes);
}

BOOST_AUTO_TEST_CASE(a_lone_node_goes_on_where_it_stood_after_any_pause) {
    crew_world world(tiny(), {.nodes = 1, .seed = 30});
    world.start_all();
    base::rng rng = world.rng("owner");
    for (int visit = 0; visit < 8; ++visit) {
        world.run_for(rng.between(300ms, 3s));
        world.owner_comes(0);
        world.run_for(rng.between(200ms, 90s));
        world.owner_goes(0);
    }
    finish_as_alone(world, tiny_alone(), 60s);
    // No lane was lost, none was computed twice.
    BOOST_TEST(world.log(0).lanes_run == 16u);
}

BOOST_AUTO_TEST_CASE(a_suspended_nodes_lane_goes_to_another_within_three_seconds) {
    crew_world world(tiny(), {.nodes = 2, .seed = 31});
    world.machine_of(1).lane = 1s;
    world.start_all();
    const auto doing = [&](std::size_t who) {
        for (const auto& m : world.view(0).members) {
            if (m.node == world.id_of(who)) return m.doing;
        }
        return std::string();
    };
    run_until(world, 60s,
              [&] { return world.view(0).round == 1 && doing(0).starts_with("round 1 lane"); });
    const auto lane = doing(0);
    world.owner_comes(0);
    const auto since = world.time().now();
    // A second until the crew is told, one lane of the other's at most, and the message's way.
    run_until(world, 10s, [&] { return doing(1) == lane; });
    BOOST_TEST((world.time().now() - since < 3s),
               "handed over after " << (world.time().now() - since) / 1ms << " ms");
    BOOST_TEST(world.view(0).reason_code == "suspended");
    run_until(world, 60s, [&] { return world.view(1).round >= 3; });
    world.owner_goes(0);
    finish_as_alone(world, tiny_alone(), 60s);
}

BOOST_AUTO_TEST_CASE(a_pause_under_a_second_is_nobodys_business) {
    crew_world world(tiny(), {.nodes = 2, .seed = 32});
    world.start_all();
    for (int visit = 0; visit < 6; ++visit) {
        world.run_for(1s);
        world.owner_comes(0);
        world.run_for(900ms);
        BOOST_TEST(world.view(0).reason_code != "suspended");
        world.owner_goes(0);
    }
    finish_as_alone(world, tiny_alone(), 60s);
    const auto lanes = world.log(0).lanes_run + world.log(1).lanes_run;
    BOOST_TEST(lanes >= 32u);
    BOOST_TEST(lanes <= 36u, "parked lanes were done again: " << lanes);
}

BOOST_AUTO_TEST_CASE(owners_who_come_and_go_change_time_alone) {
    for (const std::uint64_t seed : {33, 34, 35, 36}) {
        crew_world world(tiny(), {.nodes = 4, .seed = seed});
        world.start_all();
        base::rng rng = world.rng("owners");
        for (int step = 0; step < 24; ++step) {
            world.run_for(rng.between(100ms, 2s));
            const auto who = static_cast<std::size_t>(rng.below(4));
            if (rng.chance(0.5)) {
                world.owner_comes(who);
            } else {
                world.owner_goes(who);
            }
        }
        for (std::size_t i = 0; i < 4; ++i) world.owner_goes(i);
        finish_as_alone(world, tiny_alone(), 60s);
    }
}

BOOST_AUTO_TEST_CASE(drain_finishes_the_lane_in_hand_and_takes_no_more) {
    crew_world world(tiny(), {.nodes = 2, .seed = 10});
    world.start_all();
    const auto in_hand = [&] {
        for (const auto& m : world.view(1).members) {
            if (m.node == world.id_of(1)) return m.doing.find("lane") != std::string::npos;
        }
        return false;
    };
    run_until(world, 60s, in_hand);
    const auto before = world.log(1).lanes_run;
    world.command(1, crew_command::drain);
    world.run_for(15s);
    BOOST_TEST(world.log(1).lanes_run == before + 1);
    run_until(world, 90s, [&] { return world.view(0).state == job_state::done; });
    world.command(1, crew_command::resume);
    finish_as_alone(world, tiny_alone(), 60s);
}

BOOST_AUTO_TEST_CASE(a_node_that_leaves_is_not_waited_for) {
    crew_world world(tiny(), {.nodes = 3, .seed = 11});
    world.start_all();
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    const auto leaver = *world.steward(0);
    world.command(leaver, crew_command::leave);
    const auto others_done = [&] {
        for (std::size_t i = 0; i < 3; ++i) {
            if (i != leaver && world.view(i).state != job_state::done) return false;
        }
        return true;
    };
    run_until(world, 60s, others_done);
    BOOST_TEST(world.view(leaver).reason_code == "left");
}

BOOST_AUTO_TEST_CASE(a_job_without_validation_closes_its_rounds_too) {
    const auto functions = make_hash_functions({.lanes = 2, .rounds = 3, .validation = false});
    crew_world world(*functions, {.nodes = 2, .seed = 20});
    world.start_all();
    finish_as_alone(world, replay(*functions), 60s);
    BOOST_TEST(!world.view(0).validation_loss.has_value());
}

BOOST_AUTO_TEST_CASE(a_full_crew_of_64_shares_a_job) {
    const auto functions = make_hash_functions({.lanes = 64, .rounds = 1});
    crew_world world(*functions, {.nodes = 64, .seed = 21, .check_every = 50});
    world.start_all();
    finish_as_alone(world, replay(*functions), 60s);
    std::uint64_t lanes = 0;
    for (std::size_t i = 0; i < 64; ++i) lanes += world.log(i).lanes_run;
    BOOST_TEST_MESSAGE(lanes << " lanes run, " << world.network().sent() << " messages, "
                             << world.network().bytes_sent() / 1024 << " KiB, "
                             << world.time().now().time_since_epoch() / 1ms << " ms");
    BOOST_TEST(lanes <= 3u * 64);
}

BOOST_AUTO_TEST_CASE(a_cancelled_job_stops) {
    crew_world world(tiny(), {.nodes = 2, .seed = 12});
    world.start_all();
    world.run_for(6s);
    for (const std::size_t i : {0, 1}) world.command(i, crew_command::cancel);
    const auto lanes = world.log(0).lanes_run + world.log(1).lanes_run;
    world.run_for(10s);
    BOOST_TEST(world.all(job_state::cancelled));
    BOOST_TEST(world.log(0).lanes_run + world.log(1).lanes_run == lanes);
}

BOOST_AUTO_TEST_CASE(a_crew_waits_for_its_least_number) {
    crew_world world(tiny(), {.nodes = 2, .seed = 13, .crew_min = 2});
    world.start(0);
    world.run_for(20s);
    BOOST_TEST((world.view(0).state == job_state::waiting));
    BOOST_TEST(world.view(0).reason_code == "crew_min");
    BOOST_TEST(world.log(0).lanes_run == 0u);
    world.start(1);
    finish_as_alone(world, tiny_alone(), 90s);
    every_lane_was_checked(world, 2);
}

BOOST_AUTO_TEST_CASE(who_finds_every_seat_taken_keeps_up_and_gets_the_next_free_one) {
    const auto functions = make_hash_functions({.lanes = 6, .rounds = 8});
    const auto alone = replay(*functions);
    crew_world world(*functions,
                     {.nodes = 4, .seed = 22, .crew_max = 3, .network = {.death_noticed = 3s}});
    for (const std::size_t i : {0, 1, 2}) world.start(i);
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    world.start(3);
    run_until(world, 10s, [&] { return world.view(3).reason_code == "crew_full"; });
    run_until(world, 60s, [&] { return world.view(0).round == 4; });
    // It follows the chronicle, one round behind at most, and computes nothing.
    BOOST_TEST(world.view(3).round >= 3u);
    BOOST_TEST(world.log(3).lanes_run == 0u);
    BOOST_TEST((world.steward(3) != 3u));
    const auto victim = *world.steward(0);
    // Some see its link end, the others in 3 s.
    world.crash(victim);
    const auto seated_by = [&](std::size_t i) {
        return std::ranges::any_of(world.view(i).members,
                                   [&](const auto& m) { return m.node == world.id_of(3); });
    };
    run_until(world, 10s, [&] {
        return std::ranges::all_of(std::vector<std::size_t>{0, 1, 2},
                                   [&](auto i) { return i == victim || seated_by(i); });
    });
    run_until(world, 60s, [&] { return world.log(3).lanes_run > 0; });
    // Its seat is taken when it is back.
    world.start(victim);
    run_until(world, 10s, [&] { return world.view(victim).reason_code == "crew_full"; });
    finish_as_alone(world, alone, 120s);
}

BOOST_AUTO_TEST_CASE(who_leaves_gives_its_seat_to_one_that_stands_by) {
    const auto functions = make_hash_functions({.lanes = 6, .rounds = 8});
    crew_world world(*functions, {.nodes = 4, .seed = 23, .crew_max = 3});
    for (const std::size_t i : {0, 1, 2}) world.start(i);
    run_until(world, 60s, [&] { return world.view(0).round == 1; });
    world.start(3);
    run_until(world, 10s, [&] { return world.view(3).reason_code == "crew_full"; });
    world.command(1, crew_command::leave);
    run_until(world, 60s, [&] { return world.log(3).lanes_run > 0; });
    run_until(world, 120s, [&] {
        return world.view(0).state == job_state::done && world.view(3).state == job_state::done;
    });
    BOOST_TEST((world.view(0).state_digest == world.view(3).state_digest));
}

BOOST_AUTO_TEST_CASE(two_crews_that_meet_and_have_too_few_seats_finish_the_job) {
    const auto functions = make_hash_functions({.lanes = 6, .rounds = 6});
    const auto alone = replay(*functions);
    for (const std::uint64_t seed : {24, 25, 26}) {
        crew_world world(*functions, {.nodes = 6, .seed = seed, .crew_max = 4});
        world.network().cut({0, 1, 2}, {3, 4, 5});
        world.network().cut({3, 4, 5}, {0, 1, 2});
        world.start_all();
        run_until(world, 60s, [&] { return world.view(0).round == 2; });
        world.network().heal();
        finish_as_alone(world, alone, 240s);
    }
}

BOOST_AUTO_TEST_CASE(others_close_a_round_that_its_owner_cannot) {
    crew_world world(tiny(), {.nodes = 3, .seed = 18});
    world.start_all();
    run_until(world, 60s, [&] { return world.steward(0).has_value(); });
    world.machine_of(*world.steward(0)).never_sums = true;
    // Each of the four rounds waits for the owner's patience once, and no longer.
    run_until(world, 200s, [&] {
        return world.view(0).round == 5 && world.view(1).round == 5 && world.view(2).round == 5;
    });
    // Where its turn comes to check a merge, another takes that over after some minutes.
    finish_as_alone(world, tiny_alone(), 1800s);
}

BOOST_AUTO_TEST_CASE(a_machine_that_miscalculates_stops_and_the_others_go_on) {
    const auto functions = make_hash_functions({});
    const auto alone = replay(*functions);
    crew_world world(*functions, {.nodes = 3, .seed = 19, .honest = false});
    world.machine_of(2).miscalculates = true;
    world.start_all();
    const auto others = [&] {
        return world.view(0).state == job_state::done && world.view(1).state == job_state::done;
    };
    run_until(world, 120s, others);
    for (const std::size_t i : {0, 1}) {
        BOOST_TEST((world.view(i, true).chronicle == alone.entries));
        BOOST_TEST(!world.view(i).tainted);
    }
    world.run_for(30s);
    BOOST_TEST((world.view(2).state != job_state::done));
    BOOST_TEST((world.view(2).reason_code == "inexact" || world.view(2).reason_code == "apart"),
               world.describe());
}

BOOST_AUTO_TEST_CASE(a_wrong_contribution_is_refuted_and_taints_or_is_left_out) {
    // Node 0 hands in lane 1's result as lane 0's, in round 1.
    for (const std::uint64_t seed : {14, 15, 16, 17}) {
        crew_world world(tiny(), {.nodes = 3, .seed = seed, .honest = false});
        world.machine_of(0).lies = {{1, 0}, {1, 1}, {1, 2}, {1, 3}};
        world.start_all();
        run_until(world, 120s, [&] { return world.all(job_state::done); });
        bool refuted = false;
        for (const std::size_t i : {1, 2}) {
            const auto v = world.view(i, true);
            const bool right = v.chronicle == tiny_alone().entries;
            BOOST_TEST((right || (v.tainted && v.tainted_from == 1u)), world.describe());
            for (const auto& c : world.log(i).checks) {
                if (c.verdict == training::check_verdict::refuted) {
                    refuted = true;
                    BOOST_TEST(c.round.value == 1u);
                    BOOST_TEST((c.worker == world.id_of(0) || c.checker == world.id_of(0)));
                }
            }
        }
        BOOST_TEST(refuted);
    }
}

}  // namespace tequio::simulation
