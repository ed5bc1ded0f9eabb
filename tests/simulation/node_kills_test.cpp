// kill -9 anywhere: nothing false is ever said, and the job ends as on one machine alone.
#include "tests/simulation/node_fixture.hpp"

namespace tequio::simulation {
namespace {

constexpr std::size_t nodes = 3;

/// Runs a small job and kills node `victim` at event `at` of the world; the victim is back after a
/// while. Gives the number of events of the whole run.
std::uint64_t run_with_kill(std::uint64_t seed, std::uint64_t at, std::size_t victim,
                            bool in_shards = false) {
    BOOST_TEST_CONTEXT("seed " << seed << ", kill of node " << victim << " at event " << at) {
        auto job = in_shards ? sample_job::of_several_units(3, 3) : sample_job(3, 2);
        node_world world(nodes, seed);
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        bool killed = false;
        world.between_events = [&] {
            if (killed || world.events() < at) return;
            killed = true;
            world.crash(victim);
            // The submitter's command may be lost with its node; people submit again.
            world.time().after(3s, [&world, victim] { world.start(victim); });
        };
        finish_as_alone(world, nodes, id, job, 180s);
        return world.events();
    }
    return 0;
}

/// Any node dies again and again, by chance, for a while; then all live.
void run_storm(std::uint64_t seed) {
    BOOST_TEST_CONTEXT("seed " << seed) {
        sample_job job(4, 5);
        node_world world(nodes, seed);
        base::rng chance = base::rng(seed).split("kills");
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        run_until(world, 30s, [&] { return world.job(0, id)->safe_to_leave; });
        const auto until = world.time().now() + 90s;
        world.between_events = [&] {
            if (world.time().now() > until || !chance.chance(0.003)) return;
            const auto victim = chance.below(nodes);
            if (!world.alive(victim)) return;
            world.crash(victim);
            world.time().after(chance.between(100ms, 10s),
                               [&world, victim] { world.start(victim); });
        };
        world.run(90s, [&] { return world.all(id, job_state::done); });
        world.between_events = nullptr;
        run_until(world, 20s, [&] { return world.alive(0) && world.alive(1) && world.alive(2); });
        finish_as_alone(world, nodes, id, job, 240s);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_node_killed_at_any_moment_comes_back_and_finishes) {
    const auto events = run_with_kill(41, UINT64_MAX, 0);
    std::size_t victim = 0;
    for (std::uint64_t at = 20; at < events; at += 1 + events / 24) {
        run_with_kill(41 + at, at, victim);
        victim = (victim + 1) % nodes;
    }
}

BOOST_AUTO_TEST_CASE(an_owner_of_a_shard_killed_at_any_moment_comes_back_and_finishes) {
    const auto events = run_with_kill(43, UINT64_MAX, 0, true);
    std::size_t victim = 0;
    for (std::uint64_t at = 20; at < events; at += 1 + events / 24) {
        run_with_kill(43 + at, at, victim, true);
        victim = (victim + 1) % nodes;
    }
}

BOOST_AUTO_TEST_CASE(a_node_killed_between_the_end_and_its_model_makes_the_model_later) {
    sample_job job(3, 3);
    node_world world(2, 42);
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    int kills = 0;
    // Once the end is durable, and again while the final state is rebuilt.
    world.between_events = [&] {
        if (kills == 2 || !world.alive(1)) return;
        const auto j = world.job(1, id);
        if (!j || j->crew.state != job_state::done || !j->files.empty()) return;
        const auto& memory = world.disk(1).memory;
        if (!memory.contains({"fact/" + id.hex(), "final"})) return;
        if (kills == 1 && world.logic(1).activity().state != "working") return;
        ++kills;
        world.crash(1);
        world.time().after(1s, [&world] { world.start(1); });
    };
    finish_as_alone(world, 2, id, job, 120s);
    run_until(world, 60s,
              [&] { return kills == 2 && world.alive(1) && !world.job(1, id)->files.empty(); });
}

BOOST_AUTO_TEST_CASE(a_storm_of_kills_ends_as_one_machine_alone) {
    for (const auto seed : known_seeds(TEQUIO_SOURCE_DIR "/tests/simulation/seeds.txt")) {
        run_storm(seed);
    }
    run_storm(fresh_seed("a_storm_of_kills_ends_as_one_machine_alone"));
}

}  // namespace tequio::simulation
