// Whole nodes whose crew is in groups: what the shell adds to crew_groups_test.cpp is links, blobs
// and tasks. The digest is that of one machine alone.
#include <cstdlib>

#include "base/text.hpp"
#include "tests/simulation/node_fixture.hpp"

namespace tequio::simulation {
namespace {

/// `nodes` machines whose crews have groups of at most `group` nodes, and a task for more.
struct grouped_world {
    std::size_t nodes;
    sample_job job;
    node_world world;
    base::task_id id;

    grouped_world(std::size_t n, std::uint64_t group, std::uint64_t seed,
                  const std::function<void(node_options&)>& set_up = {}, std::uint64_t lanes = 8)
        : nodes(n), job(sample_job::of_true_sums(lanes, lanes > 8 ? 2 : 3)), world(n, seed) {
        for (std::size_t i = 0; i < n; ++i) {
            auto& o = world.options_of(i);
            o.group_max = group;
            if (set_up) set_up(o);
        }
        world.start_all();
    }
    void submit_task(std::uint64_t crew_min = 1) {
        auto task = job.task(world);
        task.trust.crew_max = 4 * world.options_of(0).group_max;
        task.trust.crew_min = crew_min;
        id = submit(world, 0, job, task);
    }
    void finish(base::duration limit) { finish_as_alone(world, nodes, id, job, limit); }
    std::uint64_t lane_sums() const {
        std::uint64_t out = 0;
        for (std::size_t i = 0; i < nodes; ++i) out += world.lane_sums(i);
        return out;
    }
    bool divided() const {
        for (std::size_t i = 0; i < nodes; ++i) {
            const auto v = world.alive(i) ? world.job(i, id) : std::nullopt;
            if (!v || v->crew.groups < 2) return false;
        }
        return true;
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(nodes_beyond_a_groups_seats_work_in_groups_and_come_to_one_machines_result) {
    for (const std::uint64_t seed : {900, 901}) {
        grouped_world g(7, 3, seed);
        g.submit_task();
        g.finish(400s);
        BOOST_TEST(g.divided());
        BOOST_TEST(g.lane_sums() > 0U);
    }
}

BOOST_AUTO_TEST_CASE(a_crew_that_waits_for_more_nodes_than_a_group_seats_begins_with_them) {
    grouped_world g(6, 3, 910);
    g.submit_task(6);
    g.finish(400s);
    BOOST_TEST(g.divided());
}

BOOST_AUTO_TEST_CASE(who_keeps_few_links_otherwise_finds_its_group_and_the_others_stewards) {
    grouped_world g(9, 3, 920, [](node_options& o) { o.network.links_target = 2; });
    g.submit_task();
    g.finish(600s);
    BOOST_TEST(g.divided());
    BOOST_TEST(g.lane_sums() > 0U);
}

BOOST_AUTO_TEST_CASE(members_killed_at_any_moment_come_back_and_finish_in_groups) {
    for (std::uint64_t seed = 930; seed < 936; ++seed) {
        BOOST_TEST_CONTEXT("seed " << seed) {
            grouped_world g(6, 3, seed);
            g.submit_task();
            auto chance = base::rng(seed).split("kills");
            run_until(g.world, 60s, [&] { return g.divided(); });
            g.world.run_for(chance.between(100ms, 20s));
            const auto victim = 1 + chance.below(5);
            g.world.crash(victim);
            if (seed % 2 == 0) {
                g.world.time().after(chance.between(100ms, 20s),
                                     [&, victim] { g.world.start(victim); });
            }
            g.finish(600s);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_whole_group_of_nodes_dies_and_the_others_finish) {
    grouped_world g(7, 3, 940);
    g.submit_task();
    run_until(g.world, 60s, [&] { return g.divided(); });
    g.world.run_for(5s);
    const auto group = g.world.job(6, g.id)->crew.group;
    std::size_t left = 0;
    for (std::size_t i = 0; i < 7; ++i) {
        if (g.world.job(i, g.id)->crew.group == group) {
            g.world.crash(i);
        } else {
            ++left;
        }
    }
    BOOST_TEST(left > 0U);
    g.finish(600s);
}

/// With TEQUIO_CROWD so many nodes, more than 64, of a crew that divides as any task's does. A lane
/// each.
BOOST_AUTO_TEST_CASE(a_crowd_takes_all_seats_and_divides_while_it_waits_for_one_more) {
    const auto* crowd = std::getenv("TEQUIO_CROWD");
    const auto nodes = crowd == nullptr ? 12 : base::parse_u64(crowd).value_or(70);
    const auto seats = crowd == nullptr ? 8 : training::crew_members_max;
    grouped_world g(nodes, seats, 970, {}, nodes);
    auto task = g.job.task(g.world);
    task.trust.crew_max = std::min(2 * nodes, training::crew_groups_nodes_max);
    task.trust.crew_min = nodes - 2;
    g.id = submit(g.world, 0, g.job, task);
    g.finish(900s);
    BOOST_TEST(g.divided());
    BOOST_TEST(g.lane_sums() > 0U);
    std::size_t most = 0;
    for (std::size_t i = 0; i < nodes; ++i) {
        most = std::max(most, g.world.logic(i).network().peers().size());
    }
    BOOST_TEST_MESSAGE(nodes << " nodes, " << most << " links at most");
}

BOOST_AUTO_TEST_CASE(members_of_a_crew_are_all_linked_whatever_their_swarm_links) {
    for (const std::uint64_t group : {3, 12}) {
        grouped_world g(9, group, 950, [](node_options& o) { o.network.links_target = 2; });
        auto task = g.job.task(g.world);
        task.trust.crew_max = 12;
        g.id = submit(g.world, 0, g.job, task);
        g.world.run_for(60s);
        for (std::size_t i = 0; i < 9; ++i) {
            BOOST_TEST(g.world.logic(i).network().peers().size() == 8U);
        }
    }
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_trace_of_nodes_in_groups) {
    const auto trace = [] {
        grouped_world g(6, 3, 960);
        g.submit_task();
        g.finish(400s);
        return g.world.trace_value();
    };
    BOOST_TEST((trace() == trace()));
}

}  // namespace tequio::simulation
