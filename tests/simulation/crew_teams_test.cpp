// Crews that divide the model: one digest whatever the number of slices, the teams and who is lost
// on the way; what a lost member costs; what is said when nobody can hold a slice.
#include <array>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "base/text.hpp"
#include "tests/simulation/crew_fixture.hpp"

namespace tequio::simulation {
namespace {

constexpr std::uint32_t tensors = 12;

/// A job whose model can be divided into up to four slices of 12, 6, 4 or 3 tensors.
slice_functions divided(std::uint64_t lanes = 3, std::uint64_t rounds = 4,
                        std::uint64_t units = 1) {
    return {{.lanes = lanes, .rounds = rounds, .units = units}, tensors, 4};
}

/// Every machine has room for just one of so many slices.
void give_room(crew_world& world, std::size_t nodes, std::uint32_t slices) {
    for (std::size_t i = 0; i < nodes; ++i) world.machine_of(i).memory = tensors / slices;
}

std::uint64_t sum_over(const crew_world& world, std::size_t nodes, std::uint64_t node_log::*what) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < nodes; ++i) sum += world.log(i).*what;
    return sum;
}

/// The machines of the team that node `index` believes to be in; none when it stands by.
std::set<std::size_t> team_of(const crew_world& world, std::size_t index) {
    const auto members = world.view(index).members;
    std::uint32_t team = 0;
    for (const auto& m : members) {
        if (m.node == world.id_of(index)) team = m.team;
    }
    std::set<std::size_t> out;
    for (const auto& m : members) {
        if (team != 0 && m.team == team) out.insert(world.index_of(m.node));
    }
    return out;
}

using check_place = std::tuple<std::uint64_t, std::uint64_t, base::node_id, base::node_id>;

/// What those nodes recorded of a lane's check, each with who has it.
std::map<check_place, std::pair<training::check_recorded, std::set<base::node_id>>> checks_of(
    const crew_world& world, std::size_t nodes) {
    std::map<check_place, std::pair<training::check_recorded, std::set<base::node_id>>> out;
    for (std::size_t i = 0; i < nodes; ++i) {
        for (const auto& c : world.log(i).checks) {
            if (c.verdict == training::check_verdict::unanswered) continue;
            auto& [first, who] = out[{c.round.value, c.lane.value, c.worker, c.checker}];
            if (who.empty()) first = c;
            who.insert(world.id_of(i));
            // Whoever looks on sees no traces; of what both know they say the same.
            BOOST_TEST((c.workers == first.workers && c.checkers == first.checkers));
            BOOST_TEST((c.result == first.result && c.commitment == first.commitment));
            BOOST_TEST((c.verdict == first.verdict));
        }
    }
    return out;
}

/// Every node but that one that computed a slice of a lane, or of its check, knows what came of it,
/// and is named by the others.
void every_member_is_named(const crew_world& world, std::size_t nodes, std::uint32_t slices,
                           std::optional<std::size_t> but = {}) {
    std::map<base::node_id, std::uint64_t> named;
    for (const auto& [where, known] : checks_of(world, nodes)) {
        const auto& [check, who] = known;
        // Of those two one may have died before it showed its trace.
        const bool cut_off =
            but && (check.worker == world.id_of(*but) || check.checker == world.id_of(*but));
        for (const auto& side : {check.workers, check.checkers}) {
            BOOST_TEST((side.size() == slices || side.empty()));
            for (const auto& node : side) {
                ++named[node];
                if (cut_off || (but && node == world.id_of(*but))) continue;
                BOOST_TEST(who.contains(node),
                           world.index_of(node)
                               << " does not know of round " << check.round.value << " lane "
                               << check.lane.value << " of " << world.index_of(check.worker)
                               << ", verdict " << static_cast<int>(check.verdict));
            }
        }
        BOOST_TEST(check.checkers.empty() == (check.verdict == training::check_verdict::unchecked));
    }
    // Every lane has somebody behind it; here each team had one.
    for (std::size_t i = 0; i < nodes; ++i) {
        if (!but || i != *but) BOOST_TEST(named[world.id_of(i)] > 0, "node " << i);
    }
}

/// Until two teams are whole and that node works on a lane of round 1.
void reach_work_in_two_teams(crew_world& world, std::size_t index) {
    run_until(world, 120s, [&] {
        const auto view = world.view(index);
        return view.round == 1 && world.working(index) && view.teams == 2;
    });
}

/// Until all nodes but the victim have seen the job to its end.
void finish_without(crew_world& world, std::size_t victim, std::size_t nodes = 6) {
    run_until(world, 600s, [&] {
        std::size_t done = 0;
        for (std::size_t i = 0; i < nodes; ++i) {
            done += i != victim && world.view(i).state == job_state::done;
        }
        return done == nodes - 1;
    });
}

}  // namespace

BOOST_AUTO_TEST_CASE(any_number_of_slices_ends_with_the_digest_of_one_node) {
    for (const std::uint32_t slices : {1u, 2u, 3u, 4u}) {
        for (const std::uint64_t units : {1, 3}) {
            BOOST_TEST_CONTEXT(slices << " slices, " << units << " units") {
                auto functions = divided(3, 4, units);
                const auto nodes = 2 * slices;
                crew_world world(functions, {.nodes = nodes, .seed = 300 + slices + 10 * units});
                give_room(world, nodes, slices);
                world.start_all();
                finish_as_alone(world, replay(functions), 240s);
                BOOST_TEST(world.view(0).slices == slices);
                const auto led = sum_over(world, nodes, &node_log::team_lanes);
                BOOST_TEST((led > 0) == (slices > 1));
                every_member_is_named(world, nodes, slices);
                for (std::size_t i = 0; i < nodes; ++i) BOOST_TEST(world.log(i).refused.empty());
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_lone_team_finishes_with_unchecked_lanes_as_a_lone_node_does) {
    auto functions = divided();
    crew_world world(functions, {.nodes = 3, .seed = 310});
    give_room(world, 3, 3);
    world.start_all();
    finish_as_alone(world, replay(functions), 240s);
    // Each has all twelve, as the first does.
    every_member_is_named(world, 3, 3);
    BOOST_TEST(checks_of(world, 3).size() == 12u);
}

BOOST_AUTO_TEST_CASE(a_lost_member_costs_one_lane_of_one_round_and_a_standby_takes_its_seat) {
    for (std::size_t victim = 0; victim < 7; ++victim) {
        BOOST_TEST_CONTEXT("victim " << victim) {
            auto functions = divided(6, 4);
            crew_world world(functions, {.nodes = 7, .seed = 320 + victim});
            give_room(world, 7, 3);
            world.start_all();
            reach_work_in_two_teams(world, victim);
            world.run_for(1s);
            world.crash(victim);
            finish_as_alone(world, replay(functions), 240s);
            BOOST_TEST(world.broken_attempts().size() <= 1u);
            every_member_is_named(world, 7, 3, victim);
        }
    }
}

/// A first member that does not name its team as it was is not heard, and others compute the lane.
BOOST_AUTO_TEST_CASE(a_team_that_is_not_named_as_it_was_has_computed_nothing) {
    constexpr std::size_t nodes = 9;
    for (const auto names : {team_naming::nobody, team_naming::not_all, team_naming::stranger}) {
        std::size_t refused = 0;
        for (std::size_t victim = 0; victim < nodes; victim += 3) {
            BOOST_TEST_CONTEXT("naming " << static_cast<int>(names) << ", victim " << victim) {
                auto functions = divided(4, 4);
                crew_world world(functions,
                                 {.nodes = nodes, .seed = 700 + victim, .honest = false});
                give_room(world, nodes, 3);
                world.machine_of(victim).names = names;
                world.start_all();
                finish_without(world, victim, nodes);
                const auto alone = replay(functions);
                for (std::size_t i = 0; i < nodes; ++i) {
                    if (i == victim) continue;
                    BOOST_TEST((world.view(i, true).chronicle == alone.entries), "node " << i);
                    refused += world.log(i).refused.size();
                    for (const auto& c : world.log(i).checks) {
                        BOOST_TEST((c.worker != world.id_of(victim)));
                        BOOST_TEST((c.checker != world.id_of(victim)));
                    }
                }
            }
        }
        // Bytes that break the protocol; whoever names nobody only is not believed.
        BOOST_TEST((refused > 0) == (names != team_naming::nobody));
    }
}

/// Two teams of three, and lanes of 2 s: while one team is not whole the other goes on.
BOOST_AUTO_TEST_CASE(other_lanes_do_not_wait_for_a_lost_member) {
    for (std::size_t victim = 0; victim < 6; ++victim) {
        BOOST_TEST_CONTEXT("victim " << victim) {
            auto functions = divided(8, 3);
            crew_world world(functions, {.nodes = 6, .seed = 380 + victim});
            give_room(world, 6, 3);
            world.start_all();
            reach_work_in_two_teams(world, victim);
            world.run_for(500ms);
            const auto lost = team_of(world, victim);
            const auto lanes = [&] {
                std::uint64_t led = 0;
                for (std::size_t i = 0; i < 6; ++i) {
                    if (!lost.contains(i)) led += world.log(i).team_lanes;
                }
                return led;
            };
            BOOST_TEST(lost.size() == 3u);
            world.crash(victim);
            const auto before = lanes();
            world.run_for(7s);
            BOOST_TEST(lanes() >= before + 2, world.describe());
            BOOST_TEST(world.broken_attempts().size() <= 1u);
            finish_as_alone(world, replay(functions), 240s);
        }
    }
}

/// With a standby: whoever became eight times as slow is found by what its lanes take, and stands
/// by. Where nobody knows what was measured it holds its team up to the end.
BOOST_AUTO_TEST_CASE(a_member_that_slows_down_is_replaced) {
    for (std::size_t victim = 0; victim < 7; ++victim) {
        BOOST_TEST_CONTEXT("victim " << victim) {
            std::array<base::duration, 2> took{};
            for (const bool blind : {false, true}) {
                auto functions = divided(6, 12);
                crew_world world(functions, {.nodes = 7, .seed = 390 + victim, .blind = blind});
                give_room(world, 7, 3);
                world.start_all();
                run_until(world, 240s, [&] { return world.view(victim).round == 2; });
                const bool works = !team_of(world, victim).empty();
                world.machine_of(victim).slowness = 8;
                run_until(world, 600s, [&] { return world.view(0).round >= 12; });
                took[blind] = world.time().now().time_since_epoch();
                if (!blind && works) BOOST_TEST(team_of(world, victim).empty(), world.describe());
                finish_as_alone(world, replay(functions), 240s);
            }
            BOOST_TEST(took[0] <= took[1] + 10s);
        }
    }
}

/// Four fast machines and four that take four times as long, of which one says it is the fastest of
/// all. Its team is as slow as it is, and another one of the fast: that is what it costs.
BOOST_AUTO_TEST_CASE(a_false_claim_of_speed_costs_one_team) {
    std::array<double, 2> took{};
    for (const bool lies : {false, true}) {
        for (const std::uint64_t seed : {400, 401, 402}) {
            auto functions = divided(10, 8);
            crew_world world(functions, {.nodes = 8, .seed = seed});
            give_room(world, 8, 2);
            for (std::size_t i = 0; i < 8; i += 2) world.machine_of(i).slowness = 4;
            if (lies) world.machine_of(0).boasts = 1000;
            world.start_all();
            run_until(world, 600s, [&] { return world.view(1).round >= 8; });
            took[lies] +=
                std::chrono::duration<double>(world.time().now().time_since_epoch()).count();
            finish_as_alone(world, replay(functions), 240s);
        }
    }
    // 2 / 2 + 2 / 8 lanes a second become 1 / 2 + 3 / 8.
    BOOST_TEST(took[1] < 1.25 / 0.875 * 1.2 * took[0], took[0] << " s, then " << took[1]);
}

BOOST_AUTO_TEST_CASE(a_paused_or_suspended_member_is_replaced_and_may_come_back) {
    for (const bool owner : {false, true}) {
        for (std::size_t victim = 0; victim < 5; ++victim) {
            auto functions = divided(4, 4);
            crew_world world(functions, {.nodes = 5, .seed = 330 + victim});
            give_room(world, 5, 2);
            world.start_all();
            run_until(world, 120s, [&] { return world.view(victim).round == 1; });
            if (owner) {
                world.owner_comes(victim);
            } else {
                world.command(victim, crew_command::pause);
            }
            const auto other = (victim + 1) % 5;
            run_until(world, 120s, [&] { return world.view(other).round >= 3; });
            if (owner) {
                world.owner_goes(victim);
            } else {
                world.command(victim, crew_command::resume);
            }
            finish_as_alone(world, replay(functions), 240s);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_worker_that_fails_in_teams_does_not_stop_the_job) {
    for (std::size_t victim = 0; victim < 5; ++victim) {
        auto functions = divided(4, 3);
        crew_world world(functions, {.nodes = 5, .seed = 340 + victim});
        give_room(world, 5, 2);
        world.machine_of(victim).fails_in_teams = true;
        world.start_all();
        finish_as_alone(world, replay(functions), 400s);
    }
}

BOOST_AUTO_TEST_CASE(a_member_that_mistells_its_slice_is_outvoted_or_found) {
    for (std::size_t victim = 0; victim < 6; ++victim) {
        auto functions = divided(4, 4);
        crew_world world(functions, {.nodes = 6, .seed = 350 + victim, .honest = false});
        give_room(world, 6, 2);
        world.machine_of(victim).mistells = true;
        world.start_all();
        finish_without(world, victim);
        const auto alone = replay(functions);
        for (std::size_t i = 0; i < 6; ++i) {
            if (i == victim) continue;
            BOOST_TEST((world.view(i, true).chronicle == alone.entries), "node " << i);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_forged_slice_is_found_by_the_check_of_another_team) {
    for (std::size_t victim = 0; victim < 6; ++victim) {
        BOOST_TEST_CONTEXT("victim " << victim) {
            auto functions = divided(4, 4);
            crew_world world(functions, {.nodes = 6, .seed = 370 + victim, .honest = false});
            give_room(world, 6, 2);
            for (std::uint64_t lane = 0; lane < 4; ++lane) {
                world.machine_of(victim).lies.insert({1, lane});
            }
            world.start_all();
            finish_without(world, victim);
            const auto alone = replay(functions);
            bool refuted = false;
            for (std::size_t i = 0; i < 6; ++i) {
                const auto v = world.view(i, true);
                const bool right = v.chronicle == alone.entries;
                BOOST_TEST((i == victim || right || (v.tainted && v.tainted_from == 1u)),
                           "node " << i << ": " << world.describe());
                for (const auto& c : world.log(i).checks) {
                    refuted = refuted || c.verdict == training::check_verdict::refuted;
                }
            }
            BOOST_TEST(refuted, world.describe());
        }
    }
}

BOOST_AUTO_TEST_CASE(a_newcomer_walks_to_the_tip_and_helps) {
    auto functions = divided(4, 12);
    crew_world world(functions, {.nodes = 5, .seed = 360});
    give_room(world, 5, 2);
    for (std::size_t i = 0; i < 4; ++i) world.start(i);
    run_until(world, 240s, [&] { return world.view(0).round == 8; });
    world.start(4);
    run_until(world, 60s,
              [&] { return world.view(4).round >= 8 && world.view(4).reason_code == "training"; });
    finish_as_alone(world, replay(functions), 240s);
}

/// Six nodes with room for one slice of four each; two die for good, at any moment: four are left,
/// of which one has to walk to the slice that nobody holds any more.
BOOST_AUTO_TEST_CASE(the_last_four_of_six_make_up_a_team) {
    base::rng rng(400);
    for (int trial = 0; trial < 24; ++trial) {
        BOOST_TEST_CONTEXT("trial " << trial) {
            auto functions = divided(1 + rng.below(3), 4, 1 + 2 * rng.below(2));
            crew_world world(functions, {.nodes = 6, .seed = 400 + static_cast<unsigned>(trial)});
            give_room(world, 6, 4);
            world.start_all();
            std::set<std::size_t> dead;
            for (int kills = 0; kills < 2; ++kills) {
                const auto round = rng.below(4);
                const auto victim = static_cast<std::size_t>(rng.below(6));
                if (!dead.insert(victim).second) continue;
                run_until(world, 240s, [&] { return world.view(victim).round >= round; });
                world.run_for(rng.between(0ms, 3s));
                world.crash(victim);
            }
            finish_as_alone(world, replay(functions), 240s);
        }
    }
}

BOOST_AUTO_TEST_CASE(all_nodes_die_at_once_and_teams_form_anew) {
    auto functions = divided(4, 6);
    crew_world world(functions, {.nodes = 4, .seed = 361});
    give_room(world, 4, 2);
    world.start_all();
    run_until(world, 240s, [&] { return world.view(0).round == 3; });
    for (std::size_t i = 0; i < 4; ++i) world.crash(i);
    world.run_for(2s);
    world.start_all();
    finish_as_alone(world, replay(functions), 240s);
}

BOOST_AUTO_TEST_CASE(a_model_that_fits_nobody_is_said_so) {
    auto functions = divided();
    crew_world world(functions, {.nodes = 3, .seed = 362});
    for (std::size_t i = 0; i < 3; ++i) world.machine_of(i).memory = 2;
    world.start_all();
    world.run_for(60s);
    const auto view = world.view(1);
    BOOST_TEST(view.reason_code == "too_large");
    BOOST_TEST(view.reason == "slice 1 of 4 needs 3 B; the largest member offers 2 B");
    BOOST_TEST(view.round == 0u);
}

BOOST_AUTO_TEST_CASE(too_few_members_are_waited_for_and_said_so) {
    auto functions = divided();
    crew_world world(functions, {.nodes = 3, .seed = 363});
    give_room(world, 3, 3);
    world.start(0);
    world.start(1);
    world.run_for(60s);
    BOOST_TEST(world.view(1).reason_code == "team_incomplete");
    BOOST_TEST(world.view(1).reason ==
               "a team needs a member for each of 3 slices; 2 members here could hold one");
    world.start(2);
    finish_as_alone(world, replay(functions), 240s);
}

namespace {

/// Machines of any speed and room on a rough network are killed, paused, wanted by their owners and
/// come back; then it is quiet.
void random_team_history(std::uint64_t seed) {
    base::rng rng = base::rng(seed).split("teams");
    const auto slices = static_cast<std::uint32_t>(1 + rng.below(4));
    const auto lanes = 1 + rng.below(6);
    BOOST_TEST_CONTEXT("seed " << seed << ": " << slices << " slices, " << lanes << " lanes") {
        auto functions = divided(lanes, 4, 1 + 2 * rng.below(2));
        network_conditions rough;
        rough.loss = static_cast<double>(rng.below(20)) / 100;
        rough.duplication = static_cast<double>(rng.below(20)) / 100;
        rough.late = static_cast<double>(rng.below(5)) / 100;
        rough.late_max = 3s;
        const std::size_t nodes = slices + rng.below(slices + 3);
        crew_world world(functions, {.nodes = nodes, .seed = seed, .network = rough});
        give_room(world, nodes, slices);
        for (std::size_t i = 0; i < nodes; ++i) {
            world.machine_of(i).slowness = 0.5 + static_cast<double>(rng.below(60)) / 20;
            // Alone it could never hold everything.
            if (rng.chance(0.2) && nodes > 1) world.machine_of(i).memory = tensors / 2;
        }
        world.start_all();
        for (int step = 0; step < 10; ++step) {
            world.run_for(rng.between(100ms, 6s));
            const auto node = static_cast<std::size_t>(rng.below(nodes));
            if (!world.alive(node)) {
                world.start(node);
                continue;
            }
            switch (rng.below(4)) {
                case 0:
                case 1:
                    world.crash(node);
                    break;
                case 2:
                    world.command(node,
                                  rng.chance(0.5) ? crew_command::pause : crew_command::resume);
                    break;
                case 3:
                    if (rng.chance(0.5)) {
                        world.owner_comes(node);
                    } else {
                        world.owner_goes(node);
                    }
                    break;
            }
        }
        world.network().conditions = {};
        for (std::size_t i = 0; i < nodes; ++i) {
            if (!world.alive(i)) world.start(i);
            world.owner_goes(i);
            world.command(i, crew_command::resume);
        }
        finish_as_alone(world, replay(functions), 600s);
        (void)checks_of(world, nodes);
    }
}

}  // namespace

/// TEQUIO_HISTORIES: how many (ctest -L long: 200). TEQUIO_HISTORY: this seed alone.
BOOST_AUTO_TEST_CASE(any_team_history_ends_with_the_digest_of_one_node) {
    if (const char* given = std::getenv("TEQUIO_HISTORY")) {
        return random_team_history(base::parse_u64(given).value());
    }
    std::uint64_t histories = 12;
    if (const char* given = std::getenv("TEQUIO_HISTORIES")) {
        histories = base::parse_u64(given).value_or(histories);
    }
    // 5021: a member that changes its seat told the list of the slice it had before.
    random_team_history(5021);
    // A steward whose slice was of a division that nobody had any more stayed at its round, and
    // gave those who went on nothing to do.
    random_team_history(13824793269276095627U);
    for (std::uint64_t i = 0; i < histories; ++i) random_team_history(5000 + i);
    const auto fresh = fresh_seed("any_team_history_ends_with_the_digest_of_one_node");
    for (std::uint64_t i = 0; i < 4; ++i) random_team_history(fresh + i);
}

}  // namespace tequio::simulation
