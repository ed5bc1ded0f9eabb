#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/exchange.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

const crew_timings timings;

struct gathering {
    gathering() { hear(); }
    void hear() {
        for (const std::uint8_t i : present) members.heard(now, node(i), status{});
    }
    void put(std::uint8_t i, std::uint32_t lane, std::string_view what) {
        book.add(signed_claim(claim_by(i, {2, lane}, what)));
        x.offer(lane);
    }
    std::vector<fetch_blob> step(base::duration later = 0s) {
        now += later;
        hear();
        std::vector<crew_effect> out;
        x.step(now, &book, members, desk, out);
        std::vector<fetch_blob> asked;
        for (const auto& e : out) asked.push_back(std::get<fetch_blob>(e));
        return asked;
    }
    base::blob_ref ref(std::string_view what) const {
        return {result_of(what), small_shape().contribution_bytes};
    }

    std::vector<std::uint8_t> present{1, 2};
    base::time_point now{};
    roster members{node(0), 64, timings};
    round_book book = book_at(0);
    blob_desk desk{timings};
    exchange x{small_shape()};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_exchange)

BOOST_AUTO_TEST_CASE(gathers_lanes_as_they_are_claimed) {
    gathering g;
    g.put(1, 0, "a");
    g.x.begin(2, {}, &g.book);
    auto asked = g.step();
    BOOST_REQUIRE(asked.size() == 1u);
    BOOST_TEST((asked[0].holders == std::vector<base::node_id>{node(1)}));
    BOOST_TEST(g.step().empty());  // one question is enough
    g.desk.arrived(g.ref("a"));
    for (const std::uint32_t lane : {1u, 2u, 3u}) g.put(2, lane, "b" + std::to_string(lane));
    BOOST_TEST(g.step().size() == 3u);
    BOOST_TEST(!g.x.complete());
    for (const std::uint32_t lane : {1u, 2u, 3u}) {
        g.desk.arrived(g.ref("b" + std::to_string(lane)));
    }
    g.step();
    BOOST_TEST(g.x.complete());
    BOOST_TEST((g.x.inputs()[0] == g.ref("a")));
    BOOST_TEST((g.x.inputs()[3] == g.ref("b3")));
    g.desk.check();
}

BOOST_AUTO_TEST_CASE(a_lane_whose_only_holder_is_gone_is_lost_at_its_first_failure) {
    gathering g;
    g.put(1, 0, "a");
    g.x.begin(2, {}, &g.book);
    g.step();
    g.present = {2};
    const auto asked = g.step(6s);
    BOOST_REQUIRE(asked.size() == 1u);
    BOOST_TEST(asked[0].holders.empty());
    g.desk.failed(g.now, g.ref("a"));
    g.step();
    BOOST_TEST((g.x.lost() == std::optional<std::uint32_t>(0)));
    // Made here, it is as good as fetched.
    g.desk.made(g.ref("a"), 2);
    g.step();
    BOOST_TEST(!g.x.lost().has_value());
    BOOST_TEST(g.x.gathered() == 1u);
}

BOOST_AUTO_TEST_CASE(a_holder_that_is_here_is_tried_three_times) {
    gathering g;
    g.put(1, 0, "a");
    g.x.begin(2, {}, &g.book);
    std::size_t asked = g.step().size();
    for (int failures = 1; failures <= 3; ++failures) {
        BOOST_TEST(!g.x.lost().has_value());
        g.desk.failed(g.now, g.ref("a"));
        g.step();
        asked += g.step(5s).size();
    }
    BOOST_TEST(asked == 4u);
    g.step();
    BOOST_TEST(g.x.lost().has_value());
}

BOOST_AUTO_TEST_CASE(a_result_that_turns_out_wrong_is_exchanged_for_the_right_one) {
    gathering g;
    g.put(1, 0, "wrong");
    g.x.begin(2, {}, &g.book);
    g.step();
    g.desk.arrived(g.ref("wrong"));
    g.step();
    BOOST_TEST(g.x.gathered() == 1u);
    g.put(0, 0, "right");  // computed here
    g.step();
    BOOST_TEST(g.x.gathered() == 0u);
    g.desk.made(g.ref("right"), 2);
    g.step();
    BOOST_TEST(g.x.gathered() == 1u);
}

BOOST_AUTO_TEST_CASE(others_that_gather_the_same_are_asked_as_well_or_alone) {
    gathering g;
    g.put(1, 0, "a");
    g.put(1, 1, "b");
    g.x.begin(2, {}, &g.book, {0, 1});
    g.x.lean_on({node(2), node(3)});
    auto asked = g.step();
    BOOST_REQUIRE(asked.size() == 2u);
    // Node 3 is not here.
    BOOST_TEST((asked[0].holders == std::vector<base::node_id>{node(1), node(2)}));
    // The lane's own node goes: the others may have it.
    g.present = {2};
    asked = g.step(6s);
    BOOST_REQUIRE(asked.size() == 2u);
    BOOST_TEST((asked[0].holders == std::vector<base::node_id>{node(2)}));

    gathering alone;
    alone.put(1, 0, "a");
    alone.put(1, 1, "b");
    alone.x.begin(2, {}, &alone.book, {0, 1});
    alone.x.lean_on({node(2)}, true);
    std::vector<crew_effect> out;
    alone.x.step(alone.now, &alone.book, alone.members, alone.desk, out, 1);
    BOOST_REQUIRE(out.size() == 1u);  // so many at a time
    BOOST_TEST((std::get<fetch_blob>(out[0]).holders == std::vector<base::node_id>{node(2)}));
}

BOOST_AUTO_TEST_CASE(large_lanes_of_one_node_come_one_after_the_other) {
    auto shape = small_shape();
    shape.contribution_bytes = std::uint64_t{8} << 20;
    gathering g;
    const auto put = [&](std::uint8_t i, std::uint32_t lane, std::string_view what) {
        auto c = claim_by(i, {2, lane}, what);
        c.blob_size = shape.contribution_bytes;
        g.book.add(signed_claim(c));
    };
    put(1, 0, "a");
    put(1, 1, "b");
    put(2, 2, "c");
    exchange x(shape);
    x.begin(2, {}, &g.book);
    const auto asked = [&] {
        std::vector<crew_effect> out;
        x.step(g.now, &g.book, g.members, g.desk, out);
        std::vector<base::digest> roots;
        for (const auto& f : out) roots.push_back(std::get<fetch_blob>(f).ref.root);
        return roots;
    };
    BOOST_TEST((asked() == std::vector{result_of("a"), result_of("c")}));
    BOOST_TEST(asked().empty());
    g.desk.arrived({result_of("a"), shape.contribution_bytes});
    BOOST_TEST((asked() == std::vector{result_of("b")}));
}

BOOST_AUTO_TEST_CASE(what_is_expected_is_asked_of_those_who_closed_the_round) {
    gathering g;
    status ahead;
    ahead.chronicle = 3;
    g.members.heard(g.now, node(1), ahead);
    g.x.begin(2, std::vector<base::digest>(4, result_of("same")), nullptr);
    std::vector<crew_effect> out;
    g.x.step(g.now, nullptr, g.members, g.desk, out);
    BOOST_REQUIRE(out.size() == 1u);
    BOOST_TEST((std::get<fetch_blob>(out[0]).holders == std::vector<base::node_id>{node(1)}));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(crew_blob_desk)

BOOST_AUTO_TEST_CASE(asks_again_after_rising_pauses) {
    blob_desk desk(timings);
    const base::blob_ref ref{result_of("a"), 10};
    std::vector<crew_effect> out;
    base::time_point now{};
    std::vector<base::duration> asked;
    for (int step = 0; step < 200; ++step) {
        out.clear();
        desk.want(now, {ref, {node(1)}, 1, false}, out);
        if (!out.empty()) {
            asked.push_back(now.time_since_epoch());
            desk.failed(now, ref);
        }
        now += 100ms;
    }
    BOOST_REQUIRE(asked.size() >= 5u);
    for (std::size_t i = 2; i < asked.size(); ++i) {
        BOOST_TEST((asked[i] - asked[i - 1] > asked[i - 1] - asked[i - 2]));
    }
}

BOOST_AUTO_TEST_CASE(other_holders_are_another_chance) {
    blob_desk desk(timings);
    const base::blob_ref ref{result_of("a"), 10};
    std::vector<crew_effect> out;
    base::time_point now{};
    for (int i = 0; i < 3; ++i) {
        desk.want(now, {ref, {node(1)}, 1, false}, out);
        desk.failed(now, ref);
        now += 10s;
    }
    BOOST_TEST(desk.failures(ref) == 3u);
    desk.want(now, {ref, {node(1)}, 1, false}, out);
    desk.failed(now, ref);
    out.clear();
    BOOST_TEST(!desk.want(now, {ref, {node(1)}, 1, false}, out));
    BOOST_TEST(out.empty());  // after a pause
    BOOST_TEST(!desk.want(now, {ref, {node(2)}, 1, false}, out));
    BOOST_TEST(out.size() == 1u);
    BOOST_TEST(desk.failures(ref) == 0u);
}

BOOST_AUTO_TEST_CASE(fetches_at_a_time_are_bounded) {
    blob_desk desk(timings);
    std::vector<crew_effect> out;
    for (int i = 0; i < 1000; ++i) {
        desk.want({}, {{result_of(std::to_string(i)), 10}, {node(1)}, 1, false}, out);
    }
    BOOST_TEST(out.size() == 256u);
    BOOST_TEST(!desk.has_room());
    desk.failed({}, {result_of("3"), 10});
    BOOST_TEST(desk.has_room());
    desk.check();
}

BOOST_AUTO_TEST_CASE(room_that_something_else_gives_back_is_used_at_once) {
    gathering g;
    std::vector<crew_effect> out;
    std::vector<base::blob_ref> others;
    while (g.desk.has_room()) {
        others.push_back(g.ref("other " + std::to_string(others.size())));
        g.desk.want(g.now, {others.back(), {node(1)}, 2, false, {5, 2}}, out);
    }
    g.put(1, 0, "a");
    g.x.begin(2, {}, &g.book, {0, 1});
    BOOST_TEST(g.step().empty());
    BOOST_TEST(g.step().empty());
    g.desk.arrived(others.front(), {5, 2});
    BOOST_TEST(g.step().size() == 1u);
    g.desk.check();
}

BOOST_AUTO_TEST_CASE(changes_are_those_of_the_same_pieces_and_of_whole_blobs) {
    gathering g;
    std::vector<crew_effect> out;
    const base::piece_run first{0, 2}, second{2, 2};
    for (const auto& run : {first, second}) {
        g.desk.want(g.now, {g.ref("a"), {node(1)}, 2, false, run}, out);
    }
    const auto changes = [&] { return std::pair(g.desk.changes(first), g.desk.changes(second)); };
    const auto before = changes();
    g.desk.arrived(g.ref("a"), first);
    const auto came = changes();
    BOOST_TEST(came.first != before.first);
    BOOST_TEST(came.second == before.second);
    g.desk.failed(g.now, g.ref("a"), second);
    const auto failed = changes();
    BOOST_TEST(failed.first == came.first);
    BOOST_TEST(failed.second != came.second);
    g.desk.made(g.ref("b"), 2);
    const auto made = changes();
    BOOST_TEST(made.first != failed.first);
    BOOST_TEST(made.second != failed.second);
    g.desk.drop_before(3, out);
    BOOST_TEST(changes().first != made.first);
    BOOST_TEST(changes().second != made.second);
    BOOST_TEST(!g.desk.here(g.ref("a"), first));
}

BOOST_AUTO_TEST_CASE(a_roster_has_another_stamp_when_others_are_present_or_elsewhere) {
    roster members{node(0), 64, timings};
    base::time_point now{};
    status said;
    members.heard(now, node(1), said);
    const auto one = members.stamp(now);
    said.activity = 7;
    members.heard(now, node(1), said);
    BOOST_TEST(members.stamp(now) == one);
    said.chronicle = 1;
    members.heard(now, node(1), said);
    const auto further = members.stamp(now);
    BOOST_TEST(further != one);
    members.heard(now, node(2), said);
    const auto two = members.stamp(now);
    BOOST_TEST(two != further);
    members.down(node(2));
    BOOST_TEST(members.stamp(now) == further);
    now += timings.silent_after + 1s;
    BOOST_TEST(members.stamp(now) != further);
}

BOOST_AUTO_TEST_CASE(old_rounds_are_dropped_and_means_are_kept) {
    blob_desk desk(timings);
    const base::blob_ref old{result_of("old"), 10}, mean{result_of("mean"), 10},
        fresh{result_of("fresh"), 10};
    desk.made(old, 1);
    desk.made(mean, 1);
    desk.keep(mean);
    desk.made(fresh, 5);
    std::vector<crew_effect> out;
    desk.drop_before(5, out);
    BOOST_REQUIRE(out.size() == 1u);
    BOOST_TEST((std::get<drop_blob>(out[0]).ref == old));
    BOOST_TEST(desk.here(mean));
    BOOST_TEST(desk.here(fresh));
    desk.drop(mean, out);
    BOOST_TEST(desk.here(mean));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(crew_roster)

BOOST_AUTO_TEST_CASE(a_seat_is_free_once_its_member_leaves_or_is_out_of_reach_and_silent) {
    const base::time_point begin{}, later = begin + timings.silent_after + 1ms;
    status leaves;
    leaves.leaving = true;
    roster r(node(0), 2, timings);
    const auto sits = [&](base::time_point now, std::uint8_t i) {
        return r.heard(now, node(i), status{}) != nullptr;
    };
    (void)r.up(begin, node(1));
    (void)r.up(begin, node(2));
    BOOST_TEST(!r.full(begin));
    BOOST_TEST(sits(begin, 1));
    BOOST_TEST(r.full(begin));
    BOOST_TEST(!sits(begin, 2));
    // Silent, but in reach.
    BOOST_TEST(r.full(later));
    // A word on its way when its link went down.
    r.down(node(1));
    BOOST_TEST(sits(begin, 1));
    BOOST_TEST(r.full(begin));
    BOOST_TEST(!r.full(later));
    BOOST_TEST(sits(later, 2));
    (void)r.up(later, node(1));
    BOOST_TEST(!sits(later, 1));
    r.heard(later, node(2), leaves);
    BOOST_TEST(!r.full(later));
    BOOST_TEST(sits(later, 1));
    // It does not come back to a seat that has been taken.
    BOOST_TEST(!sits(later, 2));
    BOOST_TEST(!r.find(node(2))->joined);
    BOOST_TEST(r.count_present(later) == 1u);
}

BOOST_AUTO_TEST_CASE(members_are_present_while_they_are_heard) {
    roster r(node(0), 64, timings);
    r.up({}, node(1));
    BOOST_TEST(r.expecting());
    BOOST_TEST(!r.present({}, node(1)));
    r.heard({}, node(1), status{});
    BOOST_TEST(!r.expecting());
    BOOST_TEST(r.present(base::time_point(5s), node(1)));
    BOOST_TEST(!r.present(base::time_point(5s + 1ms), node(1)));
    r.heard(base::time_point(6s), node(1), status{});
    r.down(node(1));
    BOOST_TEST(!r.present(base::time_point(6s), node(1)));
    r.beat(base::time_point(6s));
    BOOST_TEST(r.all().empty());
}

/// Against asking for each by name, which keeps nothing.
BOOST_AUTO_TEST_CASE(who_is_present_is_known_after_any_history) {
    roster r(node(0), 12, timings);
    base::rng rng(7);
    base::time_point now{};
    for (int step = 0; step < 4000; ++step) {
        const auto i = static_cast<std::uint8_t>(1 + rng.below(15));
        switch (rng.below(8)) {
            case 0:
                r.down(node(i));
                break;
            case 1:
                r.up(now, node(i));
                break;
            case 2:
                r.beat(now);
                break;
            case 3:
                now += std::chrono::milliseconds(rng.below(4000));
                break;
            default:
                status said;
                said.chronicle = rng.below(3);
                said.leaving = rng.chance(0.1);
                said.full = rng.chance(0.3);
                if (rng.chance(0.2)) said.kept.emplace();
                r.heard(now, node(i), said);
        }
        std::set<base::node_id> named;
        std::size_t full = 0;
        bool keeps = false;
        for (std::uint8_t n = 1; n <= 15; ++n) {
            if (!r.present(now, node(n))) continue;
            named.insert(node(n));
            full += r.find(node(n))->said.full;
            keeps = keeps || r.find(node(n))->said.kept;
        }
        const auto listed = r.present(now);
        BOOST_REQUIRE(std::set(listed.begin(), listed.end()) == named);
        BOOST_REQUIRE_EQUAL(r.count_present(now), named.size());
        BOOST_REQUIRE_EQUAL(r.count_full(now), full);
        BOOST_REQUIRE_EQUAL(r.anyone_keeps(now), keeps);
    }
}

BOOST_AUTO_TEST_CASE(a_full_crew_admits_no_more) {
    roster r(node(0), 3, timings);
    BOOST_TEST((r.heard({}, node(1), status{}) != nullptr));
    BOOST_TEST((r.heard({}, node(2), status{}) != nullptr));
    BOOST_TEST((r.heard({}, node(3), status{}) == nullptr));
    BOOST_TEST((r.heard({}, node(1), status{}) != nullptr));
    BOOST_TEST(r.present({}).size() == 2u);
    r.check();
}

BOOST_AUTO_TEST_CASE(a_leaving_member_is_not_present) {
    roster r(node(0), 3, timings);
    status s;
    s.leaving = true;
    r.heard({}, node(1), s);
    BOOST_TEST(!r.present({}, node(1)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
