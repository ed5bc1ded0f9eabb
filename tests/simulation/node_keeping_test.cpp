// What nodes keep of jobs that are over, for how long, and what they let go (DESIGN.md section 11).
#include "tests/simulation/node_fixture.hpp"
#include "training/cost.hpp"

namespace tequio::simulation {
namespace {

constexpr auto day = base::day_seconds;

training::task task_kept(const sample_job& job, const node_world& world, std::uint64_t copies,
                         std::uint64_t days) {
    auto task = job.task(world);
    task.keep = {copies, 10, days};
    task.deadline = {task.created.seconds + 30 * day};
    return task;
}

/// All clocks go `seconds` ahead.
void ahead(node_world& world, std::size_t nodes, std::int64_t seconds) {
    for (std::size_t i = 0; i < nodes; ++i) world.options_of(i).clock_ahead_seconds += seconds;
}

/// Keys of the node's memory that tell of the job.
std::size_t remembered(const node_world& world, std::size_t index, const base::task_id& id) {
    const auto& memory = world.disk(index).memory;
    return static_cast<std::size_t>(std::count_if(memory.begin(), memory.end(), [&](const auto& m) {
        return m.first.first.ends_with("/" + id.hex());
    }));
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_job_is_forgotten_when_its_days_are_over_and_its_receipts_stay) {
    sample_job job(3, 4);
    node_world world(2, 41);
    world.start_all();
    const auto id = submit(world, 0, job, task_kept(job, world, 3, 2));
    finish_as_alone(world, 2, id, job, 120s);
    world.run_for(60s);
    const std::vector notes{world.disk(0).ledger.notes(), world.disk(1).ledger.notes()};
    BOOST_TEST_REQUIRE(!notes[1].empty());
    // The means are there to the last, contributions are not.
    ahead(world, 2, 2 * day - 1000);
    world.run_for(30s);
    for (std::size_t i = 0; i < 2; ++i) {
        for (const auto& entry : job.alone.entries) {
            if (entry.closes()) continue;
            BOOST_TEST(world.disk(i).blobs.contains(entry.mean));
            for (const auto& root : entry.contributions) {
                const auto size = training::cost_of(job.work).contribution_bytes;
                BOOST_TEST(!world.disk(i).blobs.contains({root, size}));
            }
        }
        BOOST_TEST(world.disk(i).blobs.contains(job.work.data.tokens));
    }
    ahead(world, 2, 1100);
    // A clock that is ahead for a moment ends nothing.
    world.run_for(60s);
    ahead(world, 2, -1100);
    world.run_for(60s);
    ahead(world, 2, 1100);
    world.run_for(9min);
    BOOST_TEST(world.job(0, id).has_value());
    run_until(world, 2min, [&] { return !world.job(0, id) && !world.job(1, id); });
    world.run_for(10s);
    for (std::size_t i = 0; i < 2; ++i) {
        BOOST_TEST(remembered(world, i, id) == 0u);
        BOOST_TEST(world.disk(i).blobs.empty());
        BOOST_TEST(world.disk(i).ledger.notes() == notes[i]);
    }
    // Nobody takes it up again: not who hears of it once more, nor after a restart.
    world.crash(0);
    world.start(0);
    world.run_for(60s);
    for (std::size_t i = 0; i < 2; ++i) BOOST_TEST(!world.job(i, id).has_value());
}

BOOST_AUTO_TEST_CASE(a_job_that_was_being_forgotten_at_a_crash_does_not_come_back) {
    for (const std::uint64_t seed : {42, 43, 44}) {
        sample_job job(2, 2);
        node_world world(1, seed);
        world.start_all();
        const auto id = submit(world, 0, job, task_kept(job, world, 1, 1));
        finish_as_alone(world, 1, id, job, 120s);
        ahead(world, 1, day);
        run_until(world, 12min, [&] { return !world.job(0, id); });
        // Some of it is on disk: how much depends on the seed.
        const auto steps = seed % 3;
        for (std::uint64_t i = 0; i < steps; ++i) world.run_for(3ms);
        world.crash(0);
        world.start(0);
        world.run_for(11min);
        BOOST_TEST(!world.job(0, id).has_value());
        BOOST_TEST(remembered(world, 0, id) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(copies_beyond_those_asked_for_go_after_a_day_and_the_submitters_stays) {
    sample_job job(4, 3);
    node_world world(5, 45);
    world.start_all();
    const auto id = submit(world, 0, job, task_kept(job, world, 2, 20));
    finish_as_alone(world, 5, id, job, 180s);
    const auto holders = [&] {
        std::size_t count = 0;
        for (std::size_t i = 0; i < 5; ++i) count += world.job(i, id) ? 1 : 0;
        return count;
    };
    world.run_for(60s);
    BOOST_TEST(holders() == 5u);
    // While others cannot be seen nothing goes.
    world.partition({0, 1});
    world.run_for(30s);
    ahead(world, 5, day);
    world.run_for(30s);
    BOOST_TEST(holders() >= 4u);
    world.heal();
    run_until(world, 5min, [&] { return holders() <= 3; });
    world.run_for(60s);
    BOOST_TEST(holders() >= 2u);
    BOOST_TEST(world.job(0, id).has_value());
    for (std::size_t i = 0; i < 5; ++i) {
        if (world.job(i, id)) BOOST_TEST(world.disk(i).blobs.contains(job.work.data.tokens));
    }
}

BOOST_AUTO_TEST_CASE(a_job_at_work_loses_nothing_when_another_of_its_recipe_is_forgotten) {
    sample_job job(3, 250);
    node_world world(2, 46);
    world.start_all();
    auto first = task_kept(job, world, 3, 1);
    first.deadline = {first.created.seconds + 20};
    const auto early = submit(world, 0, job, first);
    run_until(world, 60s, [&] { return world.all(early, job_state::failed); });
    auto second = task_kept(job, world, 3, 1);
    second.name = "again";
    second.nonce = base::sha256("again").hex().substr(0, 32);
    const auto late = submit(world, 0, job, second);
    run_until(world, 60s, [&] { return world.job(1, late) && world.job(1, late)->crew.round > 2; });
    ahead(world, 2, day);
    run_until(world, 15min, [&] { return !world.job(0, early) && !world.job(1, early); });
    BOOST_TEST(!world.all(late, job_state::done));
    finish_as_alone(world, 2, late, job, 40min);
}

}  // namespace tequio::simulation
