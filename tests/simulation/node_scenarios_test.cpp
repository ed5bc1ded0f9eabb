// Named scenarios of whole nodes: each ends with the digest that one machine alone comes to.
#include "ledger/entry.hpp"
#include "tests/simulation/node_fixture.hpp"

namespace tequio::simulation {
namespace {

using place = std::pair<std::uint64_t, std::uint64_t>;  ///< round, lane

/// Notes of the ledger of `index` about lanes, by place; one that is no matched receipt fails.
std::map<place, std::vector<std::string>> matched_receipts(const node_world& world,
                                                           std::size_t index) {
    std::map<place, std::vector<std::string>> out;
    for (const auto& note : world.disk(index).ledger.notes()) {
        const auto content = ledger::parse_entry_note(note);
        const auto* r = content ? std::get_if<ledger::receipt>(&*content) : nullptr;
        const bool matched = r && r->facts.verdict == ledger::receipt_verdict::matched;
        BOOST_TEST(matched, "not a matched receipt: " << note);
        if (matched) out[{r->facts.round.value, r->facts.lane->value}].push_back(note);
    }
    return out;
}

/// Every lane has one matched receipt, the same in the ledgers of worker and checker.
void every_lane_has_its_receipt(const node_world& world, std::size_t nodes, const sample_job& job) {
    std::map<place, std::map<std::string, int>> copies;
    for (std::size_t i = 0; i < nodes; ++i) {
        for (const auto& [where, notes] : matched_receipts(world, i)) {
            for (const auto& note : notes) ++copies[where][note];
        }
        BOOST_TEST(world.disk(i).ledger.offers() == 0u);
    }
    BOOST_TEST(copies.size() == job.work.train.rounds * job.work.train.lanes);
    for (const auto& [where, notes] : copies) {
        BOOST_TEST(notes.size() == 1u, "round " << where.first << " lane " << where.second);
        for (const auto& [note, count] : notes) BOOST_TEST(count == 2, note);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_node_alone_trains_to_the_end_and_has_the_model) {
    sample_job job(3, 3);
    node_world world(1, 1);
    world.start(0);
    const auto id = submit(world, 0, job, job.task(world));
    finish_as_alone(world, 1, id, job, 120s);
    world.run_for(5s);
    BOOST_TEST(world.disk(0).ledger.notes().size() == 9u);
}

BOOST_AUTO_TEST_CASE(three_nodes_that_know_the_first_share_a_task_and_sign_receipts) {
    sample_job job(4, 4, 30'000);  // three pieces of data
    BOOST_TEST_REQUIRE(job.work.data.tokens.pieces() >= 3u);
    node_world world(3, 2);
    world.start_all();
    world.run_for(5s);
    const auto id = submit(world, 0, job, job.task(world));
    finish_as_alone(world, 3, id, job, 90s);
    world.run_for(60s);
    for (std::size_t i = 0; i < 3; ++i) {
        BOOST_TEST(world.items_begun(i) > 4u);
        BOOST_TEST(world.job(i, id)->crew.checked_share == 1.0);
    }
    every_lane_has_its_receipt(world, 3, job);
}

/// Once the job is over the crew has nothing to say of it again.
BOOST_AUTO_TEST_CASE(a_worker_killed_before_it_signs_its_receipts_signs_them_later) {
    std::size_t kills = 0;
    for (std::uint64_t seed = 60; seed < 68; ++seed) {
        sample_job job(3, 3);
        node_world world(2, seed);
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        bool killed = false;
        world.between_events = [&] {
            const auto& memory = world.disk(1).memory;
            if (killed || !memory.contains({"fact/" + id.hex(), "final"})) return;
            const std::string bucket = "checked/" + id.hex();
            const auto checks = std::ranges::count_if(
                memory, [&](const auto& kept) { return kept.first.first == bucket; });
            const auto signed_here =
                std::ranges::count_if(world.disk(1).ledger.notes(), [&](const std::string& note) {
                    return note.find("\nworker " + world.id_of(1).hex()) != std::string::npos;
                });
            if (signed_here >= checks) return;
            killed = true;
            world.crash(1);
            world.time().after(1s, [&world] { world.start(1); });
        };
        finish_as_alone(world, 2, id, job, 120s);
        world.run_for(60s);
        every_lane_has_its_receipt(world, 2, job);
        kills += killed;
    }
    BOOST_TEST(kills > 0u);
}

BOOST_AUTO_TEST_CASE(a_crew_that_met_in_one_job_is_known_in_the_next) {
    sample_job first(12, 10), second(12, 10, 61);
    node_world world(3, 21);
    world.start_all();
    world.run_for(5s);
    const auto one = submit(world, 0, first, first.task(world));
    finish_as_alone(world, 3, one, first, 400s);
    const auto checked_first = world.job(1, one)->crew.checked_share;
    // Standing is of the machine, not of one life.
    for (std::size_t i = 0; i < 3; ++i) world.crash(i);
    world.start_all();
    world.run_for(20s);
    const auto two = submit(world, 0, second, second.task(world, "another job"));
    finish_as_alone(world, 3, two, second, 400s);
    const auto checked_second = world.job(1, two)->crew.checked_share;
    BOOST_TEST_MESSAGE("checked: " << checked_first << " of the first job, " << checked_second
                                   << " of the second");
    BOOST_TEST(checked_first > 0.3);
    BOOST_TEST(checked_second < 0.15);
    BOOST_TEST(checked_second > 0.0);
}

BOOST_AUTO_TEST_CASE(a_third_node_joins_in_the_middle_and_works) {
    sample_job job(4, 6);
    node_world world(3, 3);
    world.start(0);
    world.start(1);
    const auto id = submit(world, 0, job, job.task(world));
    run_until(world, 120s, [&] { return world.job(0, id)->crew.round == 2; });
    world.start(2);
    run_until(world, 20s, [&] { return world.items_begun(2) > 1; });
    finish_as_alone(world, 3, id, job, 120s);
    BOOST_TEST(world.items_begun(2) > 4u);
}

BOOST_AUTO_TEST_CASE(the_submitters_node_may_die_for_good_once_it_is_safe_to_leave) {
    for (const std::uint64_t seed : {4, 5, 6}) {
        sample_job job(4, 3, 30'000);
        node_world world(3, seed);
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        run_until(world, 60s, [&] { return world.job(0, id)->safe_to_leave; });
        world.crash(0);
        finish_as_alone(world, 3, id, job, 180s);
    }
}

BOOST_AUTO_TEST_CASE(all_nodes_are_killed_and_go_on_after_a_restart) {
    for (const std::uint64_t seed : {7, 8}) {
        sample_job job(3, 4);
        node_world world(3, seed);
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        run_until(world, 120s, [&] { return world.job(0, id)->crew.round == 2; });
        for (std::size_t i = 0; i < 3; ++i) world.crash(i);
        world.run_for(20s);
        world.start_all();
        finish_as_alone(world, 3, id, job, 180s);
    }
}

BOOST_AUTO_TEST_CASE(a_partition_heals_and_both_sides_come_to_one_result) {
    for (const std::uint64_t seed : {9, 10}) {
        sample_job job(4, 6);
        node_world world(4, seed);
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        run_until(world, 120s,
                  [&] { return world.job(3, id) && world.job(3, id)->crew.round == 1; });
        world.partition({0, 3});
        world.run_for(25s);
        world.heal();
        finish_as_alone(world, 4, id, job, 240s);
    }
}

BOOST_AUTO_TEST_CASE(two_jobs_with_one_recipe_end_alike_and_neither_is_stuck) {
    sample_job job(3, 8);
    node_world world(3, 11);
    world.start_all();
    world.run_for(5s);
    const auto task = job.task(world, "first");
    const auto first = submit(world, 0, job, task);
    const auto second = submit(world, 1, job, job.task(world, "second"));
    finish_as_alone(world, 3, first, job, 240s);
    finish_as_alone(world, 3, second, job, 240s);
    world.run_for(1s);  // disks are still at it when the last model is there
    // What the jobs share is dropped with the last of them: of the lanes' contributions only those
    // of the last rounds stay, for members that are still behind.
    std::set<base::digest> old;
    for (std::size_t r = 0; r + task.trust.settle + 2 < job.alone.entries.size(); ++r) {
        const auto& lanes = job.alone.entries[r].contributions;
        old.insert(lanes.begin(), lanes.end());
    }
    BOOST_TEST(old.size() >= 9u);
    for (std::size_t i = 0; i < 3; ++i) {
        for (const auto& [ref, bytes] : world.disk(i).blobs) {
            BOOST_TEST(!old.contains(ref.root), "node " << i << " keeps an old lane");
        }
    }
}

BOOST_AUTO_TEST_CASE(a_restarted_node_fetches_the_data_that_its_disk_lost) {
    sample_job job(4, 8, 30'000);
    node_world world(2, 17);
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    run_until(world, 120s, [&] { return world.job(1, id) && world.job(1, id)->crew.round == 1; });
    world.crash(1);
    world.lose_blob(1, job.work.data.tokens);
    world.start(1);
    run_until(world, 20s, [&] { return world.disk(1).blobs.contains(job.work.data.tokens); });
    finish_as_alone(world, 2, id, job, 240s);
}

BOOST_AUTO_TEST_CASE(a_node_takes_part_once_all_blobs_of_the_task_are_there) {
    for (const std::uint64_t seed : {18, 19}) {
        sample_job job(4, 4, 30'000);
        job.work.model = {"gpt2", 2, 4, 128, 8, 256};
        job.begin_with_weights();
        job.companion = job.add_blob(base::byte_vector(300'000, 'c'));
        BOOST_TEST_REQUIRE(job.blobs.size() == 3u);
        BOOST_TEST_REQUIRE(job.work.model.init->pieces() > 5u);
        node_world world(3, seed);
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        const auto holds_all = [&](std::size_t i) {
            return std::ranges::all_of(
                job.blobs, [&](const auto& b) { return world.disk(i).blobs.contains(b.first); });
        };
        bool early = false;
        world.between_events = [&] {
            for (std::size_t i = 1; i < 3; ++i) {
                if (world.alive(i) && !holds_all(i) && world.items_begun(i) > 0) early = true;
            }
        };
        run_until(world, 60s, [&] { return world.items_begun(1) > 0 && world.items_begun(2) > 0; });
        BOOST_TEST(!early);
        world.between_events = {};
        // What a disk lost of them is fetched again, whichever it is.
        world.crash(1);
        world.lose_blob(1, *job.work.model.init);
        world.lose_blob(1, *job.companion);
        world.start(1);
        run_until(world, 30s, [&] { return holds_all(1); });
        finish_as_alone(world, 3, id, job, 180s);
        const auto view = world.job(1, id);
        BOOST_TEST(view->pieces_here == view->pieces);
        BOOST_TEST(view->pieces > 8u);
    }
}

BOOST_AUTO_TEST_CASE(a_submitter_has_more_jobs_one_after_another_than_at_a_time) {
    sample_job job(1, 1);
    node_world world(2, 12);
    for (std::size_t i = 0; i < 2; ++i) world.options_of(i).jobs_per_submitter = 2;
    world.start_all();
    for (const auto* name : {"first", "second", "third", "fourth"}) {
        const auto id = submit(world, 0, job, job.task(world, name));
        finish_as_alone(world, 2, id, job, 120s);
    }
}

BOOST_AUTO_TEST_CASE(nodes_with_few_links_still_make_one_crew) {
    sample_job job(6, 3);
    node_world world(6, 13);
    for (std::size_t i = 0; i < 6; ++i) {
        world.options_of(i).network.links_target = 2;
        if (i > 0) world.options_of(i).knows = {i - 1};
    }
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    finish_as_alone(world, 6, id, job, 180s);
}

BOOST_AUTO_TEST_CASE(nodes_that_dial_each_other_at_once_meet_in_the_crew) {
    for (std::uint64_t seed = 50; seed < 70; ++seed) {
        sample_job job(2, 20);
        node_world world(2, seed);
        world.options_of(0).knows = {1};
        world.start_all();
        const auto id = submit(world, 0, job, job.task(world));
        const auto present = [&](std::size_t index) {
            const auto j = world.job(index, id);
            return j && std::ranges::count_if(j->crew.members,
                                              [](const auto& m) { return m.present; }) == 2;
        };
        const bool met = world.run(10s, [&] { return present(0) && present(1); });
        BOOST_TEST(met, "seed " << seed << ": " << world.describe());
    }
}

BOOST_AUTO_TEST_CASE(a_paused_node_takes_no_work_until_it_resumes) {
    sample_job job(4, 6);
    node_world world(2, 14);
    world.start_all();
    const auto id = submit(world, 0, job, job.task(world));
    run_until(world, 60s, [&] { return world.job(1, id) && world.job(1, id)->crew.round == 1; });
    world.command(1, [&](auto& logic, auto& out) { logic.pause(world.moment_of(1), {}, out); });
    world.run_for(1s);
    const auto before = world.items_begun(1);
    // A pause outlives the node.
    world.crash(1);
    world.run_for(3s);
    world.start(1);
    world.run_for(5s);
    BOOST_TEST(world.items_begun(1) <= before + 1);  // at most the state it had
    BOOST_TEST(world.logic(1).activity().state == "paused");
    world.command(1, [&](auto& logic, auto& out) { logic.resume(world.moment_of(1), out); });
    finish_as_alone(world, 2, id, job, 180s);
    BOOST_TEST(world.items_begun(1) > before + 2);
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_same_trace_of_nodes) {
    const auto trace = [](std::uint64_t seed) {
        sample_job job(3, 3);
        node_world world(3, seed);
        world.start_all();
        submit(world, 0, job, job.task(world));
        world.run_for(5s);
        world.crash(1);
        world.run_for(2s);
        world.start(1);
        world.run_for(10s);
        return world.trace_value();
    };
    const auto once = trace(15);
    BOOST_TEST((once == trace(15)));
    BOOST_TEST((once != trace(16)));
}

}  // namespace tequio::simulation
