#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"
#include "node/core/job.hpp"
#include "training/cost.hpp"
#include "training/lane_load.hpp"

// What receipts say of a lane that was checked.
namespace tequio::node {
namespace {

using ledger::receipt_kind;
using ledger::receipt_verdict;
using training::check_verdict;

base::node_id node(std::uint8_t i) {
    base::node_id id;
    id.bytes[0] = i;
    return id;
}

/// Of six layers, with cuts for up to three slices.
held_job divided_job() {
    training::task t;
    t.work.model = {"gpt2", 6, 2, 16, 8, 256};
    t.work.slices.cuts = {2, 4};
    t.work.data.tokens = {base::sha256("tokens"), 4000};
    t.work.train.lanes = 2;
    t.work.train.rounds = 3;
    t.work.train.inner_steps = t.work.train.batch = t.work.train.micro_batch = 2;
    held_job j;
    j.id = base::task_id{base::sha256("task").bytes};
    j.task = std::make_shared<const training::task>(std::move(t));
    return j;
}

training::check_recorded check(std::vector<base::node_id> workers,
                               std::vector<base::node_id> checkers) {
    training::check_recorded r;
    r.round = base::round_index{2};
    r.lane = base::lane_index{1};
    r.worker = workers[0];
    if (!checkers.empty()) r.checker = checkers[0];
    r.verdict = checkers.empty() ? check_verdict::unchecked : check_verdict::matched;
    r.state = base::sha256("state");
    r.result = r.checker_result = base::sha256("result");
    r.workers = std::move(workers);
    r.checkers = std::move(checkers);
    return r;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(receipts)

BOOST_AUTO_TEST_CASE(a_lane_of_one_node_has_one_receipt_over_all_of_it) {
    const auto j = divided_job();
    const auto all = receipts_of(j, check({node(1)}, {node(2)}));
    BOOST_REQUIRE(all.size() == 1u);
    BOOST_TEST((all[0].kind == receipt_kind::lane));
    BOOST_TEST((all[0].worker == node(1) && all[0].checker == node(2)));
    BOOST_TEST((!all[0].slice && all[0].round.value == 2 && all[0].lane->value == 1));
    BOOST_TEST(all[0].flops == training::cost_of(j.task->work).lane_flops);
    const auto alone = receipts_of(j, check({node(1)}, {}));
    BOOST_REQUIRE(alone.size() == 1u);
    BOOST_TEST((alone[0].verdict == receipt_verdict::unchecked && !alone[0].checker));
}

BOOST_AUTO_TEST_CASE(each_member_has_one_for_its_slice) {
    const auto j = divided_job();
    const auto all = receipts_of(j, check({node(1), node(2), node(3)}, {node(4)}));
    BOOST_REQUIRE(all.size() == 3u);
    const auto load = training::lane_load_of(j.task->work);
    for (std::uint8_t i = 0; i < 3; ++i) {
        BOOST_TEST((all[i].kind == receipt_kind::lane));
        BOOST_TEST((all[i].verdict == receipt_verdict::matched));
        BOOST_TEST((all[i].worker == node(i + 1) && all[i].checker == node(4)));
        BOOST_TEST((all[i].slice == i && all[i].contribution == base::sha256("result")));
        BOOST_TEST(all[i].flops == load.work({i, 3}));
        BOOST_TEST(all[i].flops < training::cost_of(j.task->work).lane_flops / 2);
    }
}

BOOST_AUTO_TEST_CASE(those_who_computed_the_check_have_one_from_the_worker) {
    const auto j = divided_job();
    auto seen = check({node(1), node(2)}, {node(4), node(5), node(6)});
    seen.verdict = check_verdict::refuted;
    seen.checker_result = base::sha256("another");
    const auto all = receipts_of(j, seen);
    BOOST_REQUIRE(all.size() == 5u);
    for (std::size_t i = 2; i < 5; ++i) {
        BOOST_TEST((all[i].kind == receipt_kind::check && all[i].slice == i - 2));
        BOOST_TEST((all[i].verdict == receipt_verdict::refuted));
        BOOST_TEST((all[i].worker == node(static_cast<std::uint8_t>(i + 2))));
        BOOST_TEST((all[i].checker == node(1)));
        BOOST_TEST((all[i].contribution == base::sha256("another")));
    }
    BOOST_TEST((all[1].contribution == base::sha256("result") && all[1].checker == node(4)));
}

BOOST_AUTO_TEST_CASE(nobody_checks_what_it_computed_itself) {
    const auto j = divided_job();
    const auto all = receipts_of(j, check({node(1), node(2)}, {node(2), node(1)}));
    BOOST_REQUIRE(all.size() == 4u);
    for (const std::size_t own : {1, 3}) {
        BOOST_TEST((all[own].verdict == receipt_verdict::unchecked && !all[own].checker));
    }
    BOOST_TEST((all[0].checker == node(2) && all[2].checker == node(1)));
}

BOOST_AUTO_TEST_CASE(a_trace_that_is_not_shown_is_the_first_members_alone) {
    const auto j = divided_job();
    auto seen = check({node(1), node(2)}, {node(4), node(5)});
    seen.verdict = check_verdict::unanswered;
    const auto all = receipts_of(j, seen);
    BOOST_REQUIRE(all.size() == 1u);
    BOOST_TEST((all[0].worker == node(1) && !all[0].slice));
    BOOST_TEST((all[0].verdict == receipt_verdict::unanswered));
    const auto unchecked = receipts_of(j, check({node(1), node(2)}, {}));
    BOOST_REQUIRE(unchecked.size() == 2u);
    BOOST_TEST((unchecked[1].worker == node(2) && unchecked[1].slice == 1u));
    BOOST_TEST((unchecked[1].verdict == receipt_verdict::unchecked && !unchecked[1].checker));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
