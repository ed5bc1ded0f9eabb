// A month's traffic that is used up, and whose bytes are whose.
#include "tests/simulation/node_fixture.hpp"

namespace tequio::simulation {
namespace {

void use_up(node_world& world, std::size_t index, bool is) {
    std::optional<node::traffic_used_up> used;
    if (is) used = {std::uint64_t{1} << 30, {world.wall(index).seconds + base::day_seconds}};
    world.command(index, [&](node::node_logic& logic, node::node_effects& out) {
        logic.set_traffic_used_up(world.moment_of(index), used, out);
    });
}

std::string refusal_at(const node_world& world, std::size_t index, const base::task_id& id,
                       std::size_t of) {
    const auto job = world.job(index, id);
    for (const auto& r : job->refusals) {
        if (r.node == world.id_of(of)) return r.reason;
    }
    return "";
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_node_without_traffic_works_no_more_and_stays_a_peer_until_there_is_some) {
    sample_job first(6, 8), second(4, 4, 61), third(4, 4, 62);
    node_world world(3, 31);
    world.start_all();
    world.run_for(5s);
    const auto one = submit(world, 0, first, first.task(world));
    run_until(world, 200s, [&] { return world.job(2, one)->crew.round == 2; });
    use_up(world, 2, true);
    world.run_for(5s);  // the lane in hand
    const auto begun = world.items_begun(2);
    const auto activity = world.logic(2).activity();
    BOOST_TEST(activity.state == "paused");
    BOOST_TEST(activity.reason_code == "traffic_used_up");
    BOOST_TEST(activity.reason.find("1.0 GiB") != std::string::npos);
    BOOST_TEST((activity.until == base::unix_time{world.wall(2).seconds + base::day_seconds - 5}));
    run_until(world, 400s, [&] { return world.job(0, one)->crew.state == job_state::done; });
    BOOST_TEST((world.job(0, one)->crew.state_digest == first.result()));
    // It hears of a task, says why it does not take it, and its own user is told as well.
    const auto two = submit(world, 0, second, second.task(world, "another job"));
    run_until(world, 400s, [&] { return world.job(1, two)->crew.state == job_state::done; });
    BOOST_TEST(!world.job(2, two).has_value());
    BOOST_TEST(refusal_at(world, 0, two, 2).find("network.monthly_traffic") != std::string::npos);
    const auto own =
        world.submit(2, third.task(world, "own job"), submitter_key(), third.blobs, third.alone);
    BOOST_TEST_REQUIRE(!own.has_value());
    BOOST_TEST(own.error().message().find("network.monthly_traffic") != std::string::npos);
    BOOST_TEST(world.items_begun(2) == begun);
    BOOST_TEST(world.logic(2).network().peers().size() == 2u);
    BOOST_TEST(world.logic(2).network().transfers().empty());
    // The next month: what it missed is looked at again.
    use_up(world, 2, false);
    finish_as_alone(world, 3, one, first, 200s);
    finish_as_alone(world, 3, two, second, 200s);
}

BOOST_AUTO_TEST_CASE(a_node_without_traffic_serves_nothing) {
    sample_job job(4, 4, 30'000);
    node_world world(2, 32);
    world.start(0);
    const auto id = submit(world, 0, job, job.task(world));
    use_up(world, 0, true);
    world.start(1);
    world.run_for(60s);
    BOOST_TEST(world.logic(1).network().peers().size() == 1u);
    BOOST_TEST_REQUIRE(world.job(1, id).has_value());
    BOOST_TEST(!world.job(1, id)->data_here);
    use_up(world, 0, false);
    finish_as_alone(world, 2, id, job, 300s);
}

BOOST_AUTO_TEST_CASE(bytes_are_counted_by_job_and_over_restarts) {
    sample_job job(4, 6, 30'000), other(2, 2, 61);
    node_world world(2, 33);
    world.start_all();
    world.run_for(5s);
    const auto id = submit(world, 0, job, job.task(world));
    run_until(world, 200s, [&] { return world.job(1, id) && world.job(1, id)->crew.round == 4; });
    const auto data = job.work.data.tokens.size;
    BOOST_TEST(world.job(0, id)->traffic.sent > data);
    BOOST_TEST(world.job(1, id)->traffic.received > data);
    // What one sends the other receives, but for what is on its way.
    const auto sent = world.job(0, id)->traffic.sent, received = world.job(1, id)->traffic.received;
    BOOST_TEST(static_cast<double>(received) > 0.95 * static_cast<double>(sent));
    BOOST_TEST(received <= sent);
    world.crash(1);
    world.start(1);
    world.run_for(1s);
    BOOST_TEST(world.job(1, id)->traffic.received > data);
    finish_as_alone(world, 2, id, job, 300s);
    // What a node that ends has still to write is what it shows.
    const auto before = world.job(1, id)->traffic;
    run_until(world, 60s, [&] { return world.job(1, id)->traffic != before; });
    const auto unkept = world.logic(1).unkept_traffic();
    BOOST_TEST_REQUIRE(unkept.size() == 1u);
    BOOST_TEST(unkept.front().bucket == "job/" + id.hex());
    BOOST_TEST(unkept.front().value.value() == node::traffic_text(world.job(1, id)->traffic));
    // Another job's bytes are its own.
    const auto two = submit(world, 0, other, other.task(world, "another job"));
    finish_as_alone(world, 2, two, other, 300s);
    BOOST_TEST(world.job(1, two)->traffic.received > 0u);
    BOOST_TEST(world.job(1, two)->traffic.received < data);
}

}  // namespace tequio::simulation
