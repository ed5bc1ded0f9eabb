#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/teams.hpp"

// Seats and teams: how many slices, who holds which, who works with whom.
namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

/// Node `i` with room for slices of at most 1 / `room` of the model; divisions into up to 4.
seat_candidate with_room(std::uint8_t i, std::uint32_t room, std::uint64_t speed = 100) {
    seat_candidate c;
    c.node = node(i);
    for (std::uint32_t count = 1; count <= 4; ++count) {
        c.fits.push_back(room != 0 && count >= room ? (1u << count) - 1 : 0u);
    }
    c.speed = speed;
    return c;
}

/// Holds what the plan gives it, and is at the tip.
void settle(std::vector<seat_candidate>& candidates, const team_plan& plan) {
    for (auto& c : candidates) {
        const auto* s = plan.find(c.node);
        c.holds = s == nullptr ? std::nullopt : std::optional(model_slice{s->slice, plan.count});
        c.ready = s != nullptr;
    }
}

std::vector<seat_candidate> alike(std::uint8_t nodes, std::uint32_t room) {
    std::vector<seat_candidate> out;
    for (std::uint8_t i = 0; i < nodes; ++i) out.push_back(with_room(i, room));
    return out;
}

bool whole(const team_plan& plan) {
    for (const auto number : plan.teams()) {
        const auto team = plan.team(number);
        if (team.size() != plan.count) return false;
        for (const auto& n : team) {
            if (n.is_zero()) return false;
        }
    }
    return true;
}

/// Composed of nodes in order of id, whatever they are: what placement is measured against.
team_plan round_robin(const std::vector<seat_candidate>& candidates, std::uint32_t count) {
    team_plan plan{count, {}};
    const auto teams = candidates.size() / count;
    for (std::size_t i = 0; i < teams * count; ++i) {
        plan.seats.push_back({candidates[i].node, static_cast<std::uint32_t>(i % count),
                              static_cast<std::uint32_t>(1 + i / count)});
    }
    return plan;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_teams)

BOOST_AUTO_TEST_CASE(as_few_slices_as_will_do) {
    struct row {
        std::vector<std::uint32_t> rooms;  // 1: all of it; 4: a quarter; 0: nothing
        std::uint32_t now, count;
    };
    const std::vector<row> table{
        {{1}, 0, 1},
        {{1, 1, 4}, 0, 1},        // two of three can hold all
        {{2}, 0, 0},              // half a model and nobody else
        {{2, 2}, 0, 2},           //
        {{1, 4, 4, 4}, 0, 4},     // alone it would leave three without work
        {{2, 2, 4}, 0, 2},        // most can help
        {{2, 2, 4, 4, 4}, 0, 4},  // most could not
        {{3, 3, 3, 3}, 0, 3},     //
        {{4, 4, 4}, 0, 0},        // one too few
        {{0, 0, 0, 0, 0}, 0, 0},  //
        {{1, 1, 1, 1}, 4, 4},     // what is kept is not walked again
        {{1, 0}, 2, 1},           // what has no team is not kept
        {{}, 0, 0},
    };
    for (const auto& row : table) {
        std::vector<seat_candidate> members;
        for (std::uint8_t i = 0; i < row.rooms.size(); ++i) {
            members.push_back(with_room(i, row.rooms[i]));
        }
        BOOST_TEST(choose_count(members, 4, row.now) == row.count,
                   "row of " << row.rooms.size() << ", now " << row.now);
    }
}

BOOST_AUTO_TEST_CASE(as_many_whole_teams_as_there_can_be_and_the_rest_stands_by) {
    for (std::uint8_t nodes = 2; nodes <= 11; ++nodes) {
        const auto members = alike(nodes, 2);
        const auto plan = seat_teams(members, 2, {}, {}, change::seats);
        BOOST_TEST(plan.teams().size() == nodes / 2u);
        BOOST_TEST(plan.seats.size() == nodes);
        BOOST_TEST(whole(plan));
    }
}

BOOST_AUTO_TEST_CASE(who_fits_only_one_slice_gets_it) {
    auto members = alike(3, 3);
    members[0].fits[2] = 0b001;
    members[1].fits[2] = 0b011;
    members[2].fits[2] = 0b111;
    const auto plan = seat_teams(members, 3, {}, {}, change::seats);
    BOOST_TEST(plan.teams().size() == 1u);
    BOOST_TEST(plan.find(node(0))->slice == 0u);
    BOOST_TEST(plan.find(node(1))->slice == 1u);
    BOOST_TEST(plan.find(node(2))->slice == 2u);
    members.pop_back();
    const auto reach = reach_of(members, 3);
    BOOST_TEST(reach.teams == 0u);
    BOOST_TEST(reach.lacking.value() == 2u);
}

BOOST_AUTO_TEST_CASE(seats_and_whole_teams_stay_when_others_come_and_go) {
    auto members = alike(7, 2);
    const auto before = seat_teams(members, 2, {}, {}, change::seats);
    settle(members, before);
    // The standby is not needed; then a member is lost, then one more comes.
    for (std::size_t gone = 0; gone < 7; ++gone) {
        auto rest = members;
        rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(gone));
        const auto* seat_gone = before.find(members[gone].node);
        const auto plan = seat_teams(rest, 2, {}, before, change::seats);
        std::size_t moved = 0, torn = 0;
        for (const auto& s : before.seats) {
            const auto* now = plan.find(s.node);
            moved += now != nullptr && now->slice != s.slice;
            torn +=
                now != nullptr && s.team != 0 && s.team != seat_gone->team && now->team != s.team;
        }
        // At most the standby moves, when what was lost is of the other slice.
        BOOST_TEST(moved <= 1u);
        BOOST_TEST(torn == 0u);
        BOOST_TEST(plan.teams().size() == 3u);
        rest.push_back(with_room(9, 2));
        const auto more = seat_teams(rest, 2, {}, plan, change::seats);
        for (const auto& s : plan.seats) {
            BOOST_TEST(more.find(s.node)->slice == s.slice);
            if (s.team != 0) BOOST_TEST(more.find(s.node)->team == s.team);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_standby_that_is_ready_replaces_a_member_that_is_not) {
    auto members = alike(3, 2);
    auto before = seat_teams(members, 2, {}, {}, change::seats);
    settle(members, before);
    const auto standby = std::ranges::find(before.seats, 0u, &seat::team)->node;
    const auto slice = before.find(standby)->slice;
    const auto member = before.team(1)[slice];
    for (auto& c : members) {
        if (c.node == member) c.ready = false;
    }
    const auto plan = seat_teams(members, 2, {}, before, change::seats);
    BOOST_TEST(plan.find(standby)->team == 1u);
    BOOST_TEST(plan.find(member)->team == 0u);
    BOOST_TEST(plan.find(member)->slice == slice);
}

BOOST_AUTO_TEST_CASE(like_works_with_like_and_the_fastest_takes_the_largest_slice) {
    std::vector<seat_candidate> members;
    for (std::uint8_t i = 0; i < 8; ++i) {
        members.push_back(with_room(i, 2, i % 2 == 0 ? 1000 : 100));
    }
    const crew_lane_load even{.work = [](model_slice) { return std::uint64_t{1}; }};
    const auto plan = seat_teams(members, 2, even, {}, change::seats);
    BOOST_TEST(pace_of(plan, members, even) == 2200.0);
    // Slice 1 is twice the work of slice 0: the faster of a pair has it.
    members = {with_room(0, 2, 200), with_room(1, 2, 100)};
    const crew_lane_load uneven{.work = [](model_slice s) { return std::uint64_t{s.index + 1}; }};
    BOOST_TEST(pace_of(seat_teams(members, 2, uneven, {}, change::seats), members, uneven) ==
               100.0);
    std::swap(members[0].speed, members[1].speed);
    BOOST_TEST(pace_of(seat_teams(members, 2, uneven, {}, change::seats), members, uneven) ==
               100.0);
}

BOOST_AUTO_TEST_CASE(placement_beats_round_robin_for_members_of_any_speed) {
    double ours = 0, theirs = 0;
    base::rng rng(7);
    for (int trial = 0; trial < 50; ++trial) {
        std::vector<seat_candidate> members;
        for (std::uint8_t i = 0; i < 32; ++i) {
            members.push_back(with_room(i, 4, 100 + rng.below(900)));
        }
        const auto plan = seat_teams(members, 4, {}, {}, change::seats);
        BOOST_TEST(plan.teams().size() == 8u);
        const auto mine = pace_of(plan, members, {});
        const auto other = pace_of(round_robin(members, 4), members, {});
        BOOST_TEST(mine >= other);
        ours += mine;
        theirs += other;
    }
    BOOST_TEST(ours > 1.5 * theirs, "placed " << ours << ", round robin " << theirs);
}

BOOST_AUTO_TEST_CASE(teams_are_taken_apart_only_when_asked_and_worth_it) {
    // Two teams of a fast and a slow member each.
    std::vector<seat_candidate> members{with_room(0, 2, 1000), with_room(1, 2, 100),
                                        with_room(2, 2, 100), with_room(3, 2, 1000)};
    team_plan before{2, {{node(0), 0, 1}, {node(1), 1, 1}, {node(2), 0, 2}, {node(3), 1, 2}}};
    settle(members, before);
    BOOST_TEST((seat_teams(members, 2, {}, before, change::seats) == before));
    const auto plan = seat_teams(members, 2, {}, before, change::teams);
    BOOST_TEST(pace_of(plan, members, {}) == 1100.0);
    BOOST_TEST(plan.find(node(0))->slice == 0u);  // nobody walks for it
}

BOOST_AUTO_TEST_CASE(teams_go_by_uplinks_and_ways_as_well_as_speeds) {
    struct member {
        std::uint64_t speed, up, delay;  // operations and bytes a second, microseconds
    };
    struct row {
        const char* what;
        std::vector<member> members;
        crew_lane_load load;
        double pace;  // of two teams of two, lanes a second
    };
    const auto work = [](model_slice) { return std::uint64_t{100}; };
    const auto sends = [](model_slice) { return std::uint64_t{1000}; };
    const std::vector<row> table{
        {"speeds alone",
         {{100, 0, 0}, {10, 0, 0}, {10, 0, 0}, {100, 0, 0}},
         {.work = work},
         1.0 + 0.1},
        {"a narrow uplink is as bad as a slow machine",
         {{100, 1000, 0}, {100, 100, 0}, {100, 100, 0}, {100, 1000, 0}},
         {.work = work, .sends = sends},
         1.0 + 0.1},
        {"whichever takes longer",
         {{100, 1000, 0}, {100, 100, 0}, {10, 1000, 0}, {100, 1000, 0}},
         {.work = work, .sends = sends},
         1.0 + 0.1},
        {"a wide one does not help a slow machine",
         {{100, 1000, 0}, {10, 100'000, 0}, {10, 1000, 0}, {100, 1000, 0}},
         {.work = work, .sends = sends},
         1.0 + 0.1},
        // 2 passes a step over one way of both members' delays: 10 * 2 * (0.05 + 0.05) s.
        {"near ones together",
         {{100, 0, 50'000}, {100, 0, 500'000}, {100, 0, 500'000}, {100, 0, 50'000}},
         {.work = work, .steps = 10},
         1.0 / 3 + 1.0 / 21},
        // Every second stage waits once a step: a lane takes 1 + 1 / 4 of its stages' time.
        {"in turn", {{100, 0, 0}, {100, 0, 0}}, {.work = work, .micro_batches = 4}, 1.0 / 1.25},
        // Half of 2000 bytes goes to the first of each team: 10 s and 1 s, beside 1 s of computing;
        // the others could give theirs in as long.
        {"the widest connections take the contributions",
         {{100, 1000, 0}, {100, 1000, 0}, {100, 100, 0}, {100, 100, 0}},
         {.work = work, .contribution = 2000},
         1.0 / 2 + 1.0 / 11},
        {"who is not measured is in the middle",
         {{100, 0, 0}, {0, 0, 0}, {1, 0, 0}, {10, 0, 0}},
         {.work = work},
         0.1 + 0.01},
    };
    for (const auto& row : table) {
        std::vector<seat_candidate> members;
        for (std::uint8_t i = 0; i < row.members.size(); ++i) {
            auto c = with_room(i, 2, row.members[i].speed);
            c.up = row.members[i].up;
            c.delay = row.members[i].delay;
            members.push_back(c);
        }
        const auto plan = seat_teams(members, 2, row.load, {}, change::seats);
        const auto pace = pace_of(plan, members, row.load);
        BOOST_TEST(std::abs(pace - row.pace) < 1e-9, row.what << ": " << pace);
    }
}

BOOST_AUTO_TEST_CASE(a_team_at_work_is_left_alone) {
    std::vector<seat_candidate> members{with_room(0, 2, 1000), with_room(1, 2, 100),
                                        with_room(2, 2, 100), with_room(3, 2, 1000)};
    const team_plan before{2, {{node(0), 0, 1}, {node(1), 1, 1}, {node(2), 0, 2}, {node(3), 1, 2}}};
    settle(members, before);
    members[2].working = true;
    BOOST_TEST((seat_teams(members, 2, {}, before, change::all) == before));
    members[2].working = false;
    BOOST_TEST((seat_teams(members, 2, {}, before, change::all) != before));
}

/// Three teams of three. Once it is known what they have, who has made nothing yet changes its
/// slice; who has made something does not.
BOOST_AUTO_TEST_CASE(slices_that_nobody_has_made_yet_are_dealt_out_anew) {
    auto members = alike(9, 3);
    const crew_lane_load load{.work = [](model_slice) { return std::uint64_t{100}; },
                              .sends = [](model_slice) { return std::uint64_t{1000}; },
                              .contribution = 9000};
    const auto before = seat_teams(members, 3, load, {}, change::seats);
    settle(members, before);
    for (std::size_t i = 0; i < members.size(); ++i) {
        members[i].up = 1000 * (1 + i * i);
        members[i].speed = 100 * (1 + (i * 5) % 9);
    }
    for (auto& m : members) {
        m.ready = false;
        m.unmade = true;
    }
    const auto dealt = seat_teams(members, 3, load, before, change::all);
    BOOST_TEST(whole(dealt));
    BOOST_TEST(dealt.teams().size() == 3u);
    BOOST_TEST(pace_of(dealt, members, load) > 1.1 * pace_of(before, members, load));
    // The widest connection of all is where contributions come together.
    BOOST_TEST(dealt.find(node(8))->slice == 0u);
    // What was dealt stands as long as nothing else is known.
    settle(members, dealt);
    for (auto& m : members) m.ready = false;
    BOOST_TEST((seat_teams(members, 3, load, dealt, change::all) == dealt));
    // One that has made its slice keeps it, whatever the others do.
    settle(members, before);
    const auto made = before.find(node(8))->slice;
    for (auto& m : members) m.unmade = m.node != node(8);
    const auto later = seat_teams(members, 3, load, before, change::all);
    BOOST_TEST(later.find(node(8))->slice == made);
    BOOST_TEST(whole(later));
    BOOST_TEST(later.teams().size() == 3u);
}

/// Both fast ones hold the same slice: one has to walk, which is worth it only for so much.
BOOST_AUTO_TEST_CASE(slices_change_hands_only_for_a_third_more_lanes) {
    struct row {
        std::uint64_t slow;  // beside 1000
        change most;
        bool moves;
    };
    for (const auto& row : std::vector<row>{{100, change::all, true},
                                            {100, change::teams, false},
                                            {100, change::seats, false},
                                            {400, change::all, true},
                                            {600, change::all, false},
                                            {1000, change::all, false}}) {
        std::vector<seat_candidate> members{with_room(0, 2, 1000), with_room(1, 2, row.slow),
                                            with_room(2, 2, 1000), with_room(3, 2, row.slow)};
        const team_plan before{
            2, {{node(0), 0, 1}, {node(1), 1, 1}, {node(2), 0, 2}, {node(3), 1, 2}}};
        settle(members, before);
        const auto plan = seat_teams(members, 2, {}, before, row.most);
        std::size_t moved = 0;
        for (const auto& s : plan.seats) moved += before.find(s.node)->slice != s.slice;
        BOOST_TEST(moved == (row.moves ? 2u : 0u), "beside " << row.slow);
        // Nobody is sent elsewhere while half of them walk.
        members[1].ready = members[3].ready = false;
        const auto later = seat_teams(members, 2, {}, before, row.most);
        for (const auto& s : later.seats) BOOST_TEST(before.find(s.node)->slice == s.slice);
    }
}

BOOST_AUTO_TEST_CASE(what_is_told_of_a_measurement_stands_for_a_while) {
    const std::vector<std::pair<std::uint64_t, std::uint64_t>> table{
        {100, 100}, {90, 100},  {110, 100}, {300, 100}, {105, 100}, {300, 300},
        {290, 300}, {310, 300}, {0, 300},   {20, 300},  {20, 20},   {21, 20}};
    steady_figure figure;
    for (const auto& [measured, told] : table) {
        figure.add(measured);
        BOOST_TEST(figure.told() == told, "after " << measured);
    }
}

BOOST_AUTO_TEST_CASE(what_is_missing_for_a_moment_changes_nothing) {
    auto members = alike(3, 2);
    for (auto& c : members) c.fits = {0, 0b11, 0, 0b1111};
    team_desk desk;
    desk.step(at(0s), members, 4, {}, change::seats);
    BOOST_TEST(desk.plan().count == 2u);
    settle(members, desk.plan());
    const auto before = desk.plan();
    // Two of them go: no division has a team now; the seat of the third stays.
    const std::vector<seat_candidate> one{members[0]};
    desk.step(at(1s), one, 4, {}, change::seats);
    BOOST_TEST(desk.plan().count == 2u);
    BOOST_TEST(desk.plan().find(node(0))->slice == before.find(node(0))->slice);
    desk.step(at(5s), members, 4, {}, change::seats);
    BOOST_TEST(desk.plan().teams().size() == 1u);
    for (const auto& s : before.seats) {
        BOOST_TEST(desk.plan().find(s.node)->slice == s.slice);
    }
}

BOOST_AUTO_TEST_CASE(another_number_of_slices_when_the_present_one_stays_without_a_team) {
    auto members = alike(2, 2);
    team_desk desk;
    desk.step(at(0s), members, 4, {}, change::seats);
    settle(members, desk.plan());
    std::vector<seat_candidate> left{members[0]};
    for (std::uint8_t i = 4; i < 7; ++i) left.push_back(with_room(i, 4));
    desk.step(at(1s), left, 4, {}, change::seats);
    BOOST_TEST(desk.plan().count == 2u);
    desk.step(at(30s), left, 4, {}, change::seats);
    BOOST_TEST(desk.plan().count == 4u);
    BOOST_TEST(desk.plan().teams().size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
