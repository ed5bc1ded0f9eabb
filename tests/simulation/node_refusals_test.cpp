// Tasks that end before their work does: cancelled, refused, or out of time.
#include "tests/simulation/node_fixture.hpp"

namespace tequio::simulation {
namespace {

std::string cancellation_of(const node_world& world, const base::task_id& id) {
    const training::cancellation c{id, submitter_key().public_part(), world.wall(0), "enough"};
    return training::sign_cancellation(c, submitter_key()).encode();
}

void cancel(node_world& world, std::size_t index, const base::task_id& id) {
    world.command(index, [&](node::node_logic& logic, node::node_effects& out) {
        const auto done = logic.cancel(world.moment_of(index), cancellation_of(world, id), out);
        BOOST_TEST_REQUIRE(done.has_value());
    });
}

/// Submits at node 0 and waits until it heard that node 1 does not want the task; what it said.
std::string refusal_of_second(node_world& world, sample_job& job, const training::task& task) {
    world.start_all();
    world.run_for(5s);
    const auto id = submit(world, 0, job, task);
    run_until(world, 20s, [&] { return !world.job(0, id)->refusals.empty(); });
    const auto refusals = world.job(0, id)->refusals;
    BOOST_TEST(refusals.size() == 1u);
    BOOST_TEST((refusals.front().node == world.id_of(1)));
    BOOST_TEST(!world.job(1, id).has_value());
    // Whoever wants it goes on alone.
    run_until(world, 120s, [&] { return world.job(0, id)->crew.state == job_state::done; });
    return refusals.front().reason;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_cancellation_reaches_everybody_and_whoever_joins_later) {
    for (const std::uint64_t seed : {21, 22}) {
        sample_job job(4, 20);
        node_world world(4, seed);
        for (std::size_t i = 0; i < 3; ++i) world.start(i);
        const auto id = submit(world, 0, job, job.task(world));
        run_until(world, 60s,
                  [&] { return world.job(2, id) && world.job(2, id)->crew.round == 1; });
        world.crash(2);  // it hears of the cancellation when it is back
        cancel(world, 0, id);
        run_until(world, 5s, [&] { return world.all(id, job_state::cancelled); });
        world.start(3);
        world.start(2);
        run_until(world, 60s, [&] { return world.all(id, job_state::cancelled); });
        // It is remembered, and nobody works.
        world.crash(1);
        world.start(1);
        world.run_for(10s);
        BOOST_TEST(world.all(id, job_state::cancelled), world.describe());
        std::uint64_t begun = 0;
        for (std::size_t i = 0; i < 4; ++i) begun += world.items_begun(i);
        world.run_for(20s);
        for (std::size_t i = 0; i < 4; ++i) begun -= world.items_begun(i);
        BOOST_TEST(begun == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_cancellation_by_another_key_changes_nothing) {
    sample_job job(3, 3);
    node_world world(2, 23);
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    const auto stranger = base::signing_key::from_seed(base::sha256("a stranger").bytes);
    const training::cancellation c{id, stranger.public_part(), world.wall(0), ""};
    const auto note = training::sign_cancellation(c, stranger).encode();
    world.command(1, [&](node::node_logic& logic, node::node_effects& out) {
        BOOST_TEST(!logic.cancel(world.moment_of(1), note, out).has_value());
    });
    finish_as_alone(world, 2, id, job, 120s);
}

BOOST_AUTO_TEST_CASE(a_false_cancellation_ahead_of_the_task_does_not_hide_the_true_one) {
    sample_job job(3, 20);
    node_world world(3, 32);
    world.start_all();
    world.run_for(5s);
    const auto task = job.task(world);
    const auto id = training::task_id_of(task);
    const auto stranger = base::signing_key::from_seed(base::sha256("a stranger").bytes);
    const auto publish = [&](const std::string& note) {
        world.command(1, [&](node::node_logic& logic, node::node_effects& out) {
            const auto bytes = base::as_bytes(note);
            logic.handle(world.moment_of(1),
                         p2p::network_event(p2p::publish_note{2, {bytes.begin(), bytes.end()}}),
                         out);
        });
        world.run_for(5s);
    };
    const training::cancellation lie{id, stranger.public_part(), world.wall(0), ""};
    publish(training::sign_cancellation(lie, stranger).encode());
    publish(cancellation_of(world, id));
    // Nodes 0 and 2 know both notes before they know the task.
    submit(world, 1, job, task);
    run_until(world, 10s, [&] {
        return world.job(2, id) && world.job(2, id)->crew.state == job_state::cancelled;
    });
    for (std::size_t i = 0; i < 3; ++i) {
        for (const auto& peer : world.logic(i).network().peers()) BOOST_TEST(peer.strikes == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_job_that_is_done_stays_done_when_it_is_cancelled) {
    sample_job job(2, 2);
    node_world world(2, 24);
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    finish_as_alone(world, 2, id, job, 120s);
    world.command(0, [&](node::node_logic& logic, node::node_effects& out) {
        BOOST_TEST(!logic.cancel(world.moment_of(0), cancellation_of(world, id), out).has_value());
    });
    world.run_for(5s);
    BOOST_TEST(world.all(id, job_state::done), world.describe());
    world.crash(1);
    world.start(1);
    world.run_for(20s);
    BOOST_TEST(world.all(id, job_state::done), world.describe());
}

BOOST_AUTO_TEST_CASE(a_task_for_another_swarm_is_refused_and_the_submitter_hears_why) {
    sample_job job(1, 1);
    node_world world(2, 25);
    auto task = job.task(world);
    task.swarm = base::swarm_id{base::sha256("a swarm").bytes};
    world.options_of(0).swarm = task.swarm;
    const auto why = refusal_of_second(world, job, task);
    BOOST_TEST(why.find("swarm") != std::string::npos, why);
}

BOOST_AUTO_TEST_CASE(a_task_past_its_deadline_is_refused_and_the_submitter_hears_why) {
    sample_job job(1, 1);
    node_world world(2, 26);
    world.options_of(1).clock_ahead_seconds = 2 * 24 * 3600;
    const auto why = refusal_of_second(world, job, job.task(world));
    BOOST_TEST(why.find("expired") != std::string::npos, why);
}

BOOST_AUTO_TEST_CASE(a_task_that_the_owner_does_not_want_is_refused_and_passed_on) {
    sample_job job(1, 1);
    node_world world(2, 27);
    world.options_of(1).accept.licenses = {"MIT"};
    const auto why = refusal_of_second(world, job, job.task(world));
    BOOST_TEST(why.find("CC0-1.0") != std::string::npos, why);

    // Node 2 knows node 1 alone, which refuses; the task comes through all the same.
    node_world line(3, 28);
    line.options_of(1).accept.licenses = {"MIT"};
    line.options_of(2).knows = {1};
    for (std::size_t i = 0; i < 3; ++i) line.options_of(i).network.links_target = 0;
    line.start_all();
    line.run_for(5s);
    const auto id = submit(line, 0, job, job.task(line));
    run_until(line, 30s, [&] { return line.job(2, id).has_value(); });
}

BOOST_AUTO_TEST_CASE(a_task_that_does_not_fit_the_disk_is_refused_and_the_submitter_hears_why) {
    sample_job job(1, 1);
    node_world world(2, 33);
    const auto need = node::disk_need(job.task(world));
    world.options_of(1).disk.limit_bytes = need - 1;
    const auto why = refusal_of_second(world, job, job.task(world));
    BOOST_TEST(why.find("limits.disk is") != std::string::npos, why);

    // One fits, two of one submitter do not.
    node_world other(2, 34);
    other.options_of(1).disk.submitter_bytes = 2 * need - 1;
    other.start_all();
    other.run_for(5s);
    submit(other, 0, job, job.task(other, "first"));
    const auto second = submit(other, 0, job, job.task(other, "second"));
    run_until(other, 20s, [&] { return !other.job(0, second)->refusals.empty(); });
    const auto said = other.job(0, second)->refusals.front().reason;
    BOOST_TEST(said.find("accept.disk_per_submitter is") != std::string::npos, said);
    BOOST_TEST(!other.job(1, second).has_value());
}

BOOST_AUTO_TEST_CASE(without_room_nothing_is_fetched_the_job_says_so_and_goes_on_when_there_is) {
    sample_job job(3, 3);
    node_world world(2, 35);
    world.options_of(1).no_room = "limits.disk is 1 KiB";
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    run_until(world, 20s, [&] { return world.job(1, id).has_value(); });
    world.run_for(10s);
    const auto view = *world.job(1, id);
    BOOST_TEST(view.crew.reason_code == "no_room");
    BOOST_TEST(view.crew.reason == "limits.disk is 1 KiB");
    BOOST_TEST(!view.data_here);
    BOOST_TEST(world.disk(1).pieces.empty());
    BOOST_TEST(world.disk(1).blobs.empty());
    world.options_of(1).no_room.clear();
    finish_as_alone(world, 2, id, job, 120s);
}

BOOST_AUTO_TEST_CASE(a_machine_that_failed_its_self_test_refuses_tasks) {
    sample_job job(1, 1);
    node_world world(2, 29);
    world.options_of(1).exact = false;
    const auto why = refusal_of_second(world, job, job.task(world));
    BOOST_TEST(why.find("self-test") != std::string::npos, why);
}

BOOST_AUTO_TEST_CASE(a_job_fails_everywhere_when_its_deadline_passes) {
    sample_job job(4, 50);
    node_world world(2, 30);
    world.start_all();
    auto task = job.task(world);
    task.deadline = {task.created.seconds + 60};
    const auto id = submit(world, 0, job, task);
    run_until(world, 30s, [&] { return world.job(1, id) && world.job(1, id)->crew.round == 1; });
    run_until(world, 60s, [&] { return world.all(id, job_state::failed); });
    BOOST_TEST(world.job(1, id)->crew.reason_code == "deadline");
    BOOST_TEST(world.wall(0).seconds - task.deadline.seconds <= 20);
    world.crash(1);
    world.start(1);
    world.run_for(20s);
    BOOST_TEST(world.all(id, job_state::failed), world.describe());
}

BOOST_AUTO_TEST_CASE(a_node_leaves_a_job_and_the_others_go_on) {
    sample_job job(4, 5);
    node_world world(3, 31);
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    run_until(world, 60s, [&] { return world.job(2, id) && world.job(2, id)->crew.round == 1; });
    world.command(2, [&](node::node_logic& logic, node::node_effects& out) {
        BOOST_TEST(logic.leave(world.moment_of(2), id, out).has_value());
    });
    world.run_for(1s);
    const auto begun = world.items_begun(2);
    run_until(world, 180s, [&] {
        return world.job(0, id)->crew.state == job_state::done &&
               world.job(1, id)->crew.state == job_state::done;
    });
    BOOST_TEST(world.items_begun(2) == begun);
}

}  // namespace tequio::simulation
