// Full states: newcomers, and nodes that come back, go on from one instead of over all means.
#include <array>

#include "tests/simulation/crew_fixture.hpp"

namespace tequio::simulation {
namespace {

/// A state has three pieces and is as large as seven and a half means.
constexpr std::uint64_t state_bytes = 700'000;
constexpr std::uint64_t spacing = 10;

lane_functions& long_job() {
    static const auto functions =
        make_hash_functions({.lanes = 2, .rounds = 40, .mean_bytes = 93'333});
    return *functions;
}
const replayed& long_alone() {
    static const auto alone = replay(long_job());
    return alone;
}

world_options keeping(std::size_t nodes, std::uint64_t seed) {
    world_options o;
    o.nodes = nodes;
    o.seed = seed;
    o.full_state_bytes = state_bytes;
    o.full_state_spacing = spacing;
    return o;
}

/// The first `old` machines reach that round; then the next one comes.
void join_at(crew_world& world, std::size_t old, std::uint64_t round) {
    for (std::size_t i = 0; i < old; ++i) world.start(i);
    run_until(world, 20min, [&] { return world.view(0).round >= round; });
    world.start(old);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_states)

BOOST_AUTO_TEST_CASE(a_newcomer_fetches_one_state_and_the_means_since) {
    crew_world world(long_job(), keeping(4, 11));
    join_at(world, 3, 34);
    run_until(world, 2min, [&] { return world.log(3).lanes_run > 0; });
    BOOST_TEST(world.log(3).states_loaded == 1u);
    BOOST_TEST(world.log(3).means_applied < spacing);
    BOOST_TEST(world.log(0).states_kept == 3u);
    finish_as_alone(world, long_alone(), 20min);
    BOOST_TEST(world.log(3).states_loaded == 1u);
    BOOST_TEST(world.log(3).means_applied == 10u);
    // Whoever asks it for older means is told that it never had them.
    const auto view = world.view(0);
    for (const auto& m : view.members) {
        BOOST_TEST(m.means_from == (m.node == world.id_of(3) ? 30u : 0u));
    }
    BOOST_TEST(view.full_states.size() == training::crew_states_kept);
}

BOOST_AUTO_TEST_CASE(a_newcomer_to_a_short_history_takes_the_means) {
    crew_world world(long_job(), keeping(3, 12));
    join_at(world, 2, 6);
    finish_as_alone(world, long_alone(), 20min);
    BOOST_TEST(world.log(2).states_loaded == 0u);
    BOOST_TEST(world.log(2).means_applied == 40u);
}

BOOST_AUTO_TEST_CASE(a_forged_state_is_found_out_and_the_means_lead_to_the_right_one) {
    crew_world world(long_job(), keeping(4, 13));
    for (const std::size_t i : {0, 1}) world.machine_of(i).keeps_none = true;
    world.machine_of(2).forges_states = true;
    join_at(world, 3, 33);
    finish_as_alone(world, long_alone(), 20min);
    BOOST_TEST(world.log(3).states_loaded == 1u);
    BOOST_TEST(world.log(3).means_applied == 40u);
}

BOOST_AUTO_TEST_CASE(a_lone_forger_among_others_is_not_asked) {
    crew_world world(long_job(), keeping(4, 14));
    world.machine_of(1).forges_states = true;
    join_at(world, 3, 33);
    finish_as_alone(world, long_alone(), 20min);
    BOOST_TEST(world.log(3).states_loaded == 1u);
    BOOST_TEST(world.log(3).means_applied == 10u);
}

BOOST_AUTO_TEST_CASE(a_holder_that_dies_in_the_middle_is_replaced_by_others_or_by_the_means) {
    for (const bool others : {true, false}) {
        crew_world world(long_job(), keeping(4, 15));
        for (const std::size_t i : {0, 1}) world.machine_of(i).keeps_none = !others;
        for (std::size_t i = 0; i < 3; ++i) world.start(i);
        run_until(world, 20min, [&] { return world.view(0).round >= 33; });
        world.start(3);
        run_until(world, 1min, [&] {
            return world.view(3).reason.starts_with("fetching the state of round 30");
        });
        std::array<std::uint64_t, 3> before{};
        for (std::size_t i = 0; i < 3; ++i) before[i] = world.log(i).piece_bytes_sent;
        std::size_t holder = 3;
        run_until(world, 1min, [&] {
            for (std::size_t i = 0; i < 3 && holder == 3; ++i) {
                if (world.log(i).piece_bytes_sent >= before[i] + base::piece_size_bytes) holder = i;
            }
            return holder < 3;
        });
        BOOST_TEST(world.log(3).states_loaded == 0u);
        world.crash(holder);
        finish_as_alone(world, long_alone(), 20min);
        BOOST_TEST(world.log(3).states_loaded == (others ? 1u : 0u));
        BOOST_TEST(world.log(3).means_applied == (others ? 10u : 40u));
    }
}

BOOST_AUTO_TEST_CASE(a_newcomer_killed_in_the_middle_of_fetching_a_state_fetches_it_again) {
    crew_world world(long_job(), keeping(4, 18));
    join_at(world, 3, 33);
    const auto sent = [&] {
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < 3; ++i) out += world.log(i).piece_bytes_sent;
        return out;
    };
    run_until(world, 1min,
              [&] { return world.view(3).reason.starts_with("fetching the state of round 30"); });
    const auto before = sent();
    run_until(world, 1min, [&] { return sent() > before + base::piece_size_bytes; });
    BOOST_TEST(world.log(3).states_loaded == 0u);
    world.crash(3);
    world.start(3);
    finish_as_alone(world, long_alone(), 20min);
    BOOST_TEST(world.log(3).states_loaded == 1u);
    BOOST_TEST(world.log(3).means_applied == 10u);
}

BOOST_AUTO_TEST_CASE(a_node_that_comes_back_goes_on_from_its_own_state) {
    crew_world world(long_job(), keeping(2, 16));
    world.start_all();
    run_until(world, 20min, [&] { return world.view(1).round >= 25; });
    const auto applied = world.log(1).means_applied;
    world.crash(1);
    world.start(1);
    finish_as_alone(world, long_alone(), 20min);
    BOOST_TEST(world.log(1).states_loaded == 1u);
    BOOST_TEST(world.log(1).means_applied <= applied + 20);
    // The blob is gone: the others' is fetched, or the means are, which are on the disk.
    crew_world robbed(long_job(), keeping(2, 17));
    robbed.start_all();
    run_until(robbed, 20min, [&] { return robbed.view(1).round >= 25; });
    robbed.crash(1);
    robbed.lose_blobs(1);
    robbed.start(1);
    finish_as_alone(robbed, long_alone(), 20min);
}

BOOST_AUTO_TEST_CASE(nodes_killed_at_any_instant_come_to_the_same_end) {
    const auto job = make_hash_functions({.lanes = 2, .rounds = 24, .mean_bytes = 500});
    const auto alone = replay(*job);
    for (std::uint64_t seed = 1; seed <= seeds(6, 60); ++seed) {
        auto o = keeping(4, 100 + seed);
        o.full_state_bytes = 900;
        o.full_state_spacing = 2;
        crew_world world(*job, o);
        auto rng = world.rng("kills");
        for (std::size_t i = 0; i < 3; ++i) world.start(i);
        for (int i = 0; i < 12; ++i) {
            world.run_for(std::chrono::milliseconds(500 + rng.below(8000)));
            const auto who = rng.below(4);
            if (world.alive(who)) {
                world.crash(who);
                // Of one alone: means that are lost everywhere are another matter.
                if (who == 3 && rng.below(2) == 0) world.lose_blobs(who);
            } else {
                world.start(who);
            }
        }
        for (std::size_t i = 0; i < 4; ++i) {
            if (!world.alive(i)) world.start(i);
        }
        BOOST_TEST_CONTEXT("seed " << seed) {
            finish_as_alone(world, alone, 30min);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::simulation
