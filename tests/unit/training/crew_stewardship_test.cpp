#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/stewardship.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

std::vector<worker_slot> idle_slots(std::initializer_list<std::uint8_t> nodes) {
    std::vector<worker_slot> out;
    for (const auto i : nodes) out.push_back({node(i), true, false, std::nullopt});
    return out;
}

void claim_item(round_book& b, std::uint8_t i, std::uint32_t item,
                std::string_view what = "right") {
    b.add(signed_claim(claim_by(i, {2, item}, what)));
}

std::uint32_t item_of(const planner& p, std::uint8_t i) {
    const auto key = p.of(node(i));
    return key ? key->item : 99;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_leadership)

BOOST_AUTO_TEST_CASE(a_node_alone_leads_at_once) {
    const crew_timings timings;
    leadership l(small_shape(), node(0), timings, at(0s));
    l.beat(at(0s), 0, true, {}, false);
    BOOST_TEST(l.leading());
}

BOOST_AUTO_TEST_CASE(a_node_that_expects_others_waits_for_word_first) {
    const crew_timings timings;
    leadership l(small_shape(), node(0), timings, at(0s));
    l.beat(at(400ms), 0, true, {}, true);
    BOOST_TEST(!l.leading());
    l.beat(at(500ms), 0, true, {}, true);
    BOOST_TEST(l.leading());
}

BOOST_AUTO_TEST_CASE(ranks_take_over_one_after_the_other) {
    const crew_timings timings;
    std::vector<base::duration> when;
    for (std::uint8_t i = 0; i < 3; ++i) {
        leadership l(small_shape(), node(i), timings, at(0s));
        std::vector<base::node_id> others;
        for (std::uint8_t j = 0; j < 3; ++j) {
            if (j != i) others.push_back(node(j));
        }
        l.heard(at(10s), {2, 1, node(9)});
        for (base::duration t = 10s; !l.leading(); t += 100ms) {
            BOOST_REQUIRE((t < 20s));
            l.beat(at(t), 2, true, others, false);
            if (l.leading()) when.push_back(t);
        }
    }
    std::sort(when.begin(), when.end());
    BOOST_TEST((when[0] == 12s));
    BOOST_TEST((when[1] == 12500ms));
    BOOST_TEST((when[2] == 13s));
}

BOOST_AUTO_TEST_CASE(a_steward_steps_down_before_a_better_one) {
    const crew_timings timings;
    leadership l(small_shape(), node(5), timings, at(0s));
    l.beat(at(0s), 2, true, {}, false);
    BOOST_TEST(l.leading());
    BOOST_TEST(!l.heard(at(1s), {1, 9, node(6)}));
    BOOST_TEST(l.leading());
    BOOST_TEST(l.heard(at(1s), {2, 1, node(4)}));
    BOOST_TEST(!l.leading());
    BOOST_TEST(l.follows(node(4)));
}

BOOST_AUTO_TEST_CASE(a_steward_that_cannot_work_resigns_and_followers_notice) {
    const crew_timings timings;
    leadership l(small_shape(), node(5), timings, at(0s));
    l.beat(at(0s), 2, true, {}, false);
    l.beat(at(1s), 2, false, {}, false);
    BOOST_TEST(!l.leading());

    leadership follower(small_shape(), node(6), timings, at(0s));
    follower.heard(at(1s), {2, 1, node(5)});
    follower.heard_status(at(1s), node(5), steward_name{2, 1, node(5)});
    BOOST_TEST(follower.follows(node(5)));
    follower.heard_status(at(2s), node(5), std::nullopt);
    BOOST_TEST(!follower.current().has_value());
    follower.beat(at(2s), 2, true, {}, false);
    BOOST_TEST(follower.leading());
    BOOST_TEST((follower.current()->term > 1));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(crew_planner)

BOOST_AUTO_TEST_CASE(idle_nodes_get_different_lanes_and_then_the_validation) {
    auto open = book_at(0);
    planner p(small_shape());
    p.plan(at(0s), {&open, {}}, idle_slots({0, 1, 2}));
    BOOST_TEST(item_of(p, 0) == 0u);
    BOOST_TEST(item_of(p, 1) == 1u);
    BOOST_TEST(item_of(p, 2) == 2u);
    claim_item(open, 0, 0);
    claim_item(open, 1, 1);
    p.plan(at(1s), {&open, {}}, idle_slots({0, 1, 2}));
    BOOST_TEST(item_of(p, 0) == 3u);
    BOOST_TEST(item_of(p, 1) == small_shape().validation_item());
    BOOST_TEST(item_of(p, 2) == 2u);
}

BOOST_AUTO_TEST_CASE(the_lane_of_a_silent_node_goes_to_another) {
    auto open = book_at(0);
    planner p(small_shape());
    p.plan(at(0s), {&open, {}}, idle_slots({0, 1}));
    auto slots = idle_slots({0, 1, 2});
    slots[1].fit = false;
    p.plan(at(6s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 1) == 99u);
    BOOST_TEST(item_of(p, 2) == 3u);
    BOOST_TEST(p.next_of(node(2))->item == 1u);
}

BOOST_AUTO_TEST_CASE(a_new_steward_learns_what_nodes_are_doing) {
    auto open = book_at(0);
    planner p(small_shape());
    auto slots = idle_slots({0, 1});
    slots[0].doing = item_key{2, 1};
    p.plan(at(0s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 0) == 1u);
    BOOST_TEST(item_of(p, 1) == 3u);  // its own by its place, 1 of 2, as lane 1 is taken
}

BOOST_AUTO_TEST_CASE(nobody_checks_its_own_lane) {
    auto open = book_at(0);
    for (std::uint32_t item = 0; item < 5; ++item) claim_item(open, 0, item);
    planner p(small_shape());
    p.plan(at(0s), {&open, {}}, idle_slots({0}));
    BOOST_TEST(item_of(p, 0) == 99u);
    p.plan(at(0s), {&open, {}}, idle_slots({0, 1}));
    BOOST_TEST(item_of(p, 0) == 99u);
    BOOST_TEST(item_of(p, 1) == 0u);
}

BOOST_AUTO_TEST_CASE(the_last_running_lane_is_doubled_by_who_is_idle) {
    auto open = book_at(0);
    for (std::uint32_t item = 0; item < 5; ++item) {
        if (item == 2) continue;
        claim_item(open, 0, item);
        claim_item(open, 1, item);
    }
    planner p(small_shape());
    p.plan(at(0s), {&open, {}}, idle_slots({0, 1, 2}));
    BOOST_TEST(item_of(p, 0) == 2u);
    BOOST_TEST(item_of(p, 1) == 2u);
    BOOST_TEST(item_of(p, 2) == 99u);
}

BOOST_AUTO_TEST_CASE(checks_of_closed_rounds_come_before_checks_of_the_open_one) {
    auto closed = round_book(small_shape(), 1, base::sha256("earlier"), node(0));
    auto c = claim_by(0, {1, 3}, "right");
    c.state = base::sha256("earlier");
    closed.add(signed_claim(c));
    closed.close(right_results());
    auto open = book_at(0);
    for (std::uint32_t item = 0; item < 5; ++item) claim_item(open, 0, item);
    planner p(small_shape());
    p.plan(at(0s), {&open, {&closed}}, idle_slots({1}));
    BOOST_TEST((p.of(node(1)) == item_key{1, 3}));
}

BOOST_AUTO_TEST_CASE(disputes_and_divergences_come_first) {
    auto open = book_at(0);
    claim_item(open, 1, 2, "right");
    claim_item(open, 3, 2, "wrong");
    planner p(small_shape());
    p.plan(at(0s), {&open, {}}, idle_slots({4, 5}));
    BOOST_TEST(item_of(p, 4) == 2u);
    BOOST_TEST(item_of(p, 5) == 2u);

    auto other = book_at(0);
    claim d = claim_by(1, {2, 3}, "right");
    d.divergence = diverged{1, "loss"};
    d.result = d.divergence->digest();
    d.blob_size = 0;
    other.add(signed_claim(d));
    planner q(small_shape());
    q.plan(at(0s), {&other, {}}, idle_slots({4, 5}));
    BOOST_TEST(item_of(q, 4) == 3u);
    BOOST_TEST(item_of(q, 5) == 1u);
}

std::uint32_t next_of(const planner& p, std::uint8_t i) {
    const auto key = p.next_of(node(i));
    return key ? key->item : 99;
}

BOOST_AUTO_TEST_CASE(each_node_gets_a_lane_to_go_on_with) {
    const auto shape = small_shape(8);
    round_book open(shape, 2, base::sha256("state"), node(0));
    planner p(shape);
    auto slots = idle_slots({0, 1, 2});
    p.plan(at(0s), {&open, {}}, slots);
    for (std::uint8_t i = 0; i < 3; ++i) {
        BOOST_TEST(item_of(p, i) == i);
        BOOST_TEST(next_of(p, i) == i + 3u);
        slots[i].doing = item_key{2, i};
    }
    // Done with the first, it goes on with the second; the steward finds another for later.
    open.add({claim_by(1, {2, 1}, "right"), {}});
    slots[1].doing = item_key{2, 4};
    p.plan(at(2s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 1) == 4u);
    BOOST_TEST(next_of(p, 1) == 7u);
    BOOST_TEST((p.place_of(node(2)) == crew_place{2, 3}));
}

BOOST_AUTO_TEST_CASE(an_idle_node_takes_what_the_slowest_has_not_begun) {
    const auto shape = small_shape(8);
    round_book open(shape, 2, base::sha256("state"), node(0));
    planner p(shape);
    auto slots = idle_slots({0, 1, 2});
    for (std::uint8_t i = 0; i < 3; ++i) slots[i].doing = item_key{2, i};
    p.plan(at(0s), {&open, {}}, slots);
    const auto done = [&](std::uint8_t i, std::uint32_t lane, base::duration now) {
        open.add({claim_by(i, {2, lane}, "right"), {}});
        slots[i].doing = p.next_of(node(i));
        p.plan(at(now), {&open, {}}, slots);
    };
    done(2, 2, 1s);
    BOOST_TEST(item_of(p, 2) == 5u);
    BOOST_TEST(next_of(p, 2) == 7u);
    done(0, 0, 5s);  // five times slower
    BOOST_TEST(item_of(p, 0) == 3u);
    BOOST_TEST(next_of(p, 0) == 6u);
    done(1, 1, 5s);
    BOOST_TEST(item_of(p, 1) == 4u);
    BOOST_TEST(next_of(p, 1) == 99u);
    done(1, 4, 5500ms);
    BOOST_TEST(item_of(p, 1) == 6u);
    BOOST_TEST(next_of(p, 0) == 99u);
    BOOST_TEST(next_of(p, 2) == 7u);
}

BOOST_AUTO_TEST_CASE(a_fast_node_computes_what_slow_ones_would_have_last) {
    const auto shape = small_shape(5);
    round_book open(shape, 2, base::sha256("state"), node(0));
    planner p(shape);
    auto slots = idle_slots({0, 1});
    const auto plan = [&](base::duration now) {
        p.plan(at(now), {&open, {}}, slots);
        for (std::uint8_t i = 0; i < slots.size(); ++i) slots[i].doing = p.of(node(i));
    };
    const auto done = [&](std::uint8_t i, base::duration now) {
        // Checked at once: there is nothing else to do.
        const auto key = *p.of(node(i));
        for (const std::uint8_t by : {i, std::uint8_t{9}}) {
            open.add({claim_by(by, key, "right"), {}});
        }
        slots[i].doing = p.next_of(node(i));
        plan(now);
    };
    for (std::uint8_t i = 0; i < 2; ++i) claim_item(open, i, shape.validation_item());
    plan(0s);
    slots.push_back(idle_slots({2}).front());
    plan(18s);
    done(0, 20s);
    done(1, 21s);
    const auto before = item_of(p, 0), last = item_of(p, 1);
    // Those two need 20 s for a lane, node 2 needs 4 s.
    done(2, 22s);
    BOOST_TEST(open.unclaimed().size() == 3u);  // two lanes and the merge
    BOOST_TEST(item_of(p, 2) == last);
    done(2, 26s);
    BOOST_TEST(item_of(p, 2) == before);
}

BOOST_AUTO_TEST_CASE(who_does_not_begin_its_lane_or_vanishes_loses_it_and_comes_last) {
    const auto shape = small_shape(3);
    round_book open(shape, 2, base::sha256("state"), node(0));
    planner p(shape);
    auto slots = idle_slots({0, 1});
    p.plan(at(0s), {&open, {}}, slots);
    slots[1].doing = item_key{2, 1};
    p.plan(at(4s), {&open, {}}, slots);
    // Node 0 has not begun lane 0: it may have another, and that one goes to somebody else.
    BOOST_TEST(item_of(p, 0) == 2u);
    BOOST_TEST(next_of(p, 0) == 99u);
    BOOST_TEST(next_of(p, 1) == 0u);
    slots.erase(slots.begin() + 1);
    slots.push_back({node(2), true, false, std::nullopt});
    slots[0].doing = item_key{2, 2};
    p.plan(at(5s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 2) == 1u);
    // Back again, it is served after the others for a while.
    slots.insert(slots.begin(), {node(1), true, false, std::nullopt});
    slots.push_back({node(3), true, false, std::nullopt});
    p.plan(at(6s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 3) == 0u);
    BOOST_TEST(item_of(p, 1) == shape.validation_item());
}

BOOST_AUTO_TEST_CASE(what_a_node_did_not_begin_it_gets_again_after_a_while) {
    planner p(small_shape());
    auto open = book_at(0);
    for (std::uint32_t lane = 1; lane < 4; ++lane) claim_item(open, 1, lane);
    const auto slots = idle_slots({0});
    p.plan(at(0s), {&open, {}}, slots);
    BOOST_TEST(p.of(node(0))->item == 0u);
    // Not begun: there may be others who do it. There are none.
    p.plan(at(4s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 0) != 0u);
    p.plan(at(8s), {&open, {}}, slots);
    p.plan(at(12s), {&open, {}}, slots);
    p.plan(at(16s), {&open, {}}, slots);
    BOOST_TEST(item_of(p, 0) == 0u);
}

BOOST_AUTO_TEST_CASE(a_parked_lane_is_handed_out_when_no_other_is_left) {
    planner p(small_shape());
    auto open = book_at(0);
    auto slots = idle_slots({0, 1});
    slots[1].fit = slots[1].able = false;
    slots[1].doing = item_key{2, 0};
    std::vector<std::uint32_t> order;
    for (int i = 0; i < 5; ++i) {
        p.plan(at(i * 1s), {&open, {}}, slots);
        BOOST_REQUIRE(p.of(node(0)).has_value());
        order.push_back(p.of(node(0))->item);
        slots[0].doing = p.of(node(0));
        p.plan(at(i * 1s), {&open, {}}, slots);
        BOOST_TEST((!p.next_of(node(0)) || p.next_of(node(0))->item != 0u));
        claim_item(open, 0, order.back());
        slots[0].doing.reset();
    }
    // After the other lanes and the validation.
    BOOST_TEST(order.size() == 5u);
    BOOST_TEST(order.back() == 0u);
    BOOST_TEST(std::count(order.begin(), order.end(), 0u) == 1);
}

BOOST_AUTO_TEST_CASE(a_check_runs_twice_at_once_only_when_all_wait_for_it) {
    const auto shape = small_shape();
    round_book closed(shape, 1, base::sha256("earlier"), node(9));
    for (std::uint32_t item = 0; item <= shape.merge_item(); ++item) {
        for (const std::uint8_t by : std::initializer_list<std::uint8_t>{0, 3}) {
            auto c = claim_by(by, {1, item}, "right");
            c.state = base::sha256("earlier");
            if (by == 0 || item != 1) closed.add(signed_claim(c));
        }
    }
    closed.close(right_results());
    BOOST_REQUIRE(closed.undecided() == std::set<std::uint32_t>{1});
    for (const bool awaited : {false, true}) {
        planner p(small_shape());
        p.plan(at(0s), {nullptr, {&closed}, nullptr, awaited}, idle_slots({1, 2}));
        BOOST_TEST(item_of(p, 1) == 1u);
        BOOST_TEST(item_of(p, 2) == (awaited ? 1u : 99u));
    }
}

BOOST_AUTO_TEST_CASE(a_lane_lost_with_its_node_is_computed_again_once) {
    const auto shape = small_shape();
    auto open = book_at(0);
    for (std::uint32_t lane = 0; lane < 4; ++lane) claim_item(open, 5, lane);
    claim_item(open, 5, shape.validation_item());
    claim_item(open, 6, 1);  // matched, and lost all the same
    planner p(shape);
    planner::books b{&open, {}};
    b.lost = {1};
    p.plan(at(0s), b, idle_slots({1, 2}));
    BOOST_TEST(item_of(p, 1) == 1u);
    BOOST_TEST(item_of(p, 2) != 1u);
    auto slots = idle_slots({1, 2});
    slots[0].doing = item_key{2, 1};
    p.plan(at(1s), b, slots);
    BOOST_TEST(item_of(p, 1) == 1u);
    // There again: the lease is over.
    claim_item(open, 1, 1);
    b.lost = {};
    p.plan(at(2s), b, idle_slots({1, 2}));
    BOOST_TEST(item_of(p, 1) != 1u);
}

BOOST_AUTO_TEST_CASE(the_check_of_a_merge_is_nobodys_lease) {
    const auto shape = small_shape();
    round_book closed(shape, 1, base::sha256("earlier"), node(9));
    for (std::uint32_t item = 0; item <= shape.merge_item(); ++item) {
        for (const std::uint8_t by : std::initializer_list<std::uint8_t>{0, 3}) {
            auto c = claim_by(by, {1, item}, "right");
            c.state = base::sha256("earlier");
            if (by == 0 || item != shape.merge_item()) closed.add(signed_claim(c));
        }
    }
    closed.close(right_results());
    BOOST_REQUIRE(closed.undecided() == std::set<std::uint32_t>{shape.merge_item()});
    planner p(shape);
    p.plan(at(0s), {nullptr, {&closed}}, idle_slots({1, 2}));
    BOOST_TEST(!p.of(node(1)).has_value());
    BOOST_TEST(!p.of(node(2)).has_value());
}

BOOST_AUTO_TEST_CASE(leases_of_nodes_that_have_gone_do_not_pile_up) {
    const auto shape = small_shape(200);
    round_book open(shape, 2, base::sha256("state"), node(0));
    planner p(shape);
    for (std::uint8_t i = 1; i < 100; ++i) {
        auto slots = idle_slots({0, i});
        p.plan(at(1s * i), {&open, {}}, slots);
        // Somebody else is quicker, while it is busy with something of its own; then it vanishes.
        open.add({claim_by(0, {2, item_of(p, i)}, "right"), {}});
        open.add({claim_by(101, {2, item_of(p, i)}, "right"), {}});
        slots[1].busy = true;
        p.plan(at(1s * i), {&open, {}}, slots);
        BOOST_TEST(p.next_assignments().size() <= 2u);
        BOOST_TEST(p.assignments().size() <= 2u);
    }
}

BOOST_AUTO_TEST_CASE(newcomers_hold_at_most_half_the_leases_unless_there_are_no_others) {
    const auto shape = small_shape(40);
    const round_book open(shape, 2, base::sha256("state"), node(0));
    for (const std::size_t newcomers : {0u, 1u, 2u, 3u, 4u}) {
        planner p(shape);
        auto slots = idle_slots({0, 1, 2, 3});
        std::set<base::node_id> are;
        for (std::size_t i = 0; i < newcomers; ++i) {
            slots[i].newcomer = true;
            are.insert(slots[i].node);
        }
        p.plan(at(0s), {&open, {}}, slots);
        std::size_t theirs = 0, all = 0;
        for (const auto& leases : {p.assignments(), p.next_assignments()}) {
            for (const auto& [who, key] : leases) {
                ++all;
                theirs += are.contains(who);
            }
        }
        BOOST_TEST(p.assignments().size() == 4u);
        if (newcomers < 4) BOOST_TEST(theirs <= 4u);
        if (newcomers == 4) BOOST_TEST(all == 8u);
    }
}

BOOST_AUTO_TEST_CASE(crews_larger_than_a_round_and_rounds_larger_than_a_crew) {
    const auto shape = small_shape(16);
    round_book open(shape, 2, base::sha256("state"), node(0));
    planner one(shape);
    one.plan(at(0s), {&open, {}}, idle_slots({0}));
    BOOST_TEST(item_of(one, 0) == 0u);
    BOOST_TEST(next_of(one, 0) == 1u);
    planner many(shape);
    std::vector<worker_slot> slots;
    for (std::uint8_t i = 0; i < 40; ++i) slots.push_back({node(i), true, false, std::nullopt});
    many.plan(at(0s), {&open, {}}, slots);
    std::map<std::uint32_t, int> copies;
    for (const auto& [who, key] : many.assignments()) ++copies[key.item];
    BOOST_TEST(copies.size() == 17u);
    for (const auto& [item, count] : copies) BOOST_TEST(count <= 2);
    BOOST_TEST(many.next_assignments().empty());
}

BOOST_AUTO_TEST_CASE(places_give_each_lane_one_owner_and_any_free_lane_is_found) {
    // Naive twin: the own lanes in order, then the highest.
    base::rng rng(7);
    for (int trial = 0; trial < 2000; ++trial) {
        const auto lanes = static_cast<std::uint32_t>(1 + rng.below(40));
        const auto count = static_cast<std::uint32_t>(rng.below(10));
        const crew_place place{static_cast<std::uint32_t>(count == 0 ? 0 : rng.below(count)),
                               count};
        std::set<std::uint32_t> wanted, taken;
        for (std::uint32_t lane = 0; lane < lanes + 2; ++lane) {
            if (rng.chance(0.6)) wanted.insert(lane);
            if (rng.chance(0.3)) taken.insert(lane);
        }
        std::optional<std::uint32_t> expected;
        for (std::uint32_t lane = 0; lane < lanes; ++lane) {
            if (!wanted.contains(lane) || taken.contains(lane)) continue;
            const bool own = count > 0 && lane % count == place.index;
            const bool had_own = expected && count > 0 && *expected % count == place.index;
            if (!had_own) expected = own ? lane : std::max(expected.value_or(0), lane);
        }
        const auto found = lane_for(place, wanted, taken, lanes);
        BOOST_TEST_REQUIRE((found == expected), "trial " << trial);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
