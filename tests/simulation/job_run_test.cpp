// `tequio-sim job`: links shared fairly, options refused by name, one trace a seed, and the figures
// that can be had by hand.
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/simulation/job_run.hpp"
#include "tests/simulation/team_time.hpp"

namespace tequio::simulation {
namespace {

using namespace std::chrono_literals;

double seconds(const scheduler& time) {
    return std::chrono::duration<double>(time.now().time_since_epoch()).count();
}

/// A small job that ends soon, of equal nodes that stay.
job_scenario small(std::uint64_t nodes) {
    job_scenario s;
    s.nodes = nodes;
    s.rounds = 3;
    s.lanes = 16;
    s.spread = 1;
    return s;
}

job_report run(const job_scenario& s) {
    const auto report = run_job(s);
    BOOST_TEST_REQUIRE(report.has_value());
    return *report;
}

std::string refusal(std::string_view name, std::string_view text) {
    job_scenario s;
    const auto set = set_option(s, name, text);
    return set ? "accepted" : set.error().message();
}

/// Two transfers from node 0 to others; returns when each ended.
std::vector<double> two_uploads(double first_bytes, double second_bytes) {
    scheduler time;
    shared_links links(time);
    for (int i = 0; i < 3; ++i) links.add_node({.up = 100, .down = 1000});
    std::vector<double> ends(2);
    links.start(1, first_bytes, {{0}}, [&](double) { ends[0] = seconds(time); });
    links.start(2, second_bytes, {{0}}, [&](double) { ends[1] = seconds(time); });
    while (time.run_one()) {
    }
    BOOST_TEST(links.sent(0) == first_bytes + second_bytes, boost::test_tools::tolerance(1e-6));
    return ends;
}

}  // namespace

BOOST_AUTO_TEST_CASE(transfers_share_an_uplink_and_the_rest_speeds_up) {
    const auto ends = two_uploads(1000, 3000);
    BOOST_TEST(ends[0] == 20.0, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(ends[1] == 40.0, boost::test_tools::tolerance(1e-3));
}

BOOST_AUTO_TEST_CASE(what_one_link_leaves_over_goes_to_others) {
    scheduler time;
    shared_links links(time);
    // Node 0 sends to 1 and 2; node 1 can take only 10 bytes a second, so that 2 gets 90.
    links.add_node({.up = 100, .down = 1000});
    links.add_node({.up = 100, .down = 10});
    links.add_node({.up = 100, .down = 1000});
    double slow = 0, fast = 0;
    links.start(1, 100, {{0}}, [&](double) { slow = seconds(time); });
    links.start(2, 900, {{0}}, [&](double) { fast = seconds(time); });
    while (time.run_one()) {
    }
    BOOST_TEST(slow == 10.0, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(fast == 10.0, boost::test_tools::tolerance(1e-3));
}

BOOST_AUTO_TEST_CASE(an_uplink_that_gives_turns_serves_its_own_first_and_then_who_asked_first) {
    scheduler time;
    shared_links links(time);
    links.turns = 2;
    for (int i = 0; i < 5; ++i) links.add_node({.up = 100, .down = 1000});
    std::vector<double> ends(4);
    const auto start = [&](std::size_t to, bool own) {
        links.start(to, 1000, {{0, own}}, [&, to](double) { ends[to - 1] = seconds(time); });
    };
    start(1, false);
    start(2, true);
    start(3, false);
    start(4, true);
    while (time.run_one()) {
    }
    // Its own share the uplink for 20 s, then the copies do.
    const std::vector<double> expected{40, 20, 40, 20};
    for (std::size_t i = 0; i < 4; ++i) {
        BOOST_TEST(ends[i] == expected[i], boost::test_tools::tolerance(1e-3));
    }
}

BOOST_AUTO_TEST_CASE(a_transfer_takes_from_several_holders_and_outlives_one) {
    scheduler time;
    shared_links links(time);
    for (int i = 0; i < 3; ++i) links.add_node({.up = 100, .down = 1000});
    double end = 0, left = -1;
    links.start(2, 2000, {{0}, {1}}, [&](double rest) {
        end = seconds(time);
        left = rest;
    });
    time.after(5s, [&] { links.leave(1); });
    while (time.run_one()) {
    }
    // 1000 bytes in 5 s from both, then 1000 in 10 s from one.
    BOOST_TEST(end == 15.0, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(left == 0);
    BOOST_TEST(links.downloads(2) == 0u);
}

BOOST_AUTO_TEST_CASE(a_transfer_without_a_holder_says_what_is_left) {
    scheduler time;
    shared_links links(time);
    for (int i = 0; i < 2; ++i) links.add_node({.up = 100, .down = 1000});
    double left = -1;
    links.start(1, 2000, {{0}}, [&](double rest) { left = rest; });
    time.after(5s, [&] { links.leave(0); });
    while (time.run_one()) {
    }
    BOOST_TEST(left == 1500, boost::test_tools::tolerance(1e-3));
}

BOOST_AUTO_TEST_CASE(what_moved_while_rates_stand_is_counted_when_a_transfer_is_stopped) {
    scheduler time;
    shared_links links(time);
    links.stand_for_each = 1s;
    for (int i = 0; i < 3; ++i) links.add_node({.up = 100, .down = 1000});
    double left = 0, end = 0;
    const auto id = links.start(1, 2000, {{0}}, [](double) {});
    time.after(5300ms, [&] {
        left = links.stop(id);
        // Once more, and nothing is counted twice.
        BOOST_TEST(links.stop(id) == 0);
        links.start(2, 1000, {{0}}, [&](double) { end = seconds(time); });
    });
    while (time.run_one()) {
    }
    BOOST_TEST(left == 1470, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(links.sent(0) == 1530, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(links.received(1) == 530, boost::test_tools::tolerance(1e-3));
    BOOST_TEST(end == 15.3, boost::test_tools::tolerance(1e-3));
}

BOOST_AUTO_TEST_CASE(a_holder_that_leaves_while_rates_stand_is_replaced_by_the_others) {
    scheduler time;
    shared_links links(time);
    links.stand_for_each = 500ms;
    for (int i = 0; i < 3; ++i) links.add_node({.up = 100, .down = 1000});
    double end = 0;
    links.start(2, 2000, {{0}, {1}}, [&](double) { end = seconds(time); });
    time.after(4500ms, [&] { links.leave(1); });
    while (time.run_one()) {
    }
    BOOST_TEST(links.sent(0) + links.sent(1) == 2000, boost::test_tools::tolerance(1e-3));
    // 900 bytes from both, then 1100 from one, give or take what was on its way.
    BOOST_TEST(end == 15.5, boost::test_tools::tolerance(0.05));
}

BOOST_AUTO_TEST_CASE(a_refused_option_is_named_with_what_was_found_and_what_is_allowed) {
    BOOST_TEST(refusal("nodes", "1025") ==
               "--nodes: found \"1025\", allowed: 1 to 1024; above 64 they are in groups");
    for (const auto& option : job_options()) {
        const auto said = refusal(option.name, "x\ty");
        BOOST_TEST(said.starts_with("--" + std::string(option.name) + ": found "), said);
        BOOST_TEST(said.ends_with("allowed: " + std::string(option.allowed)), said);
    }
    BOOST_TEST(refusal("leaving", "100%").starts_with("--leaving"));
    BOOST_TEST(refusal("spread", "0.5").starts_with("--spread"));
    BOOST_TEST(refusal("up", "0Mbit/s").starts_with("--up"));
    BOOST_TEST(refusal("lanes", "0").starts_with("--lanes"));
    BOOST_TEST(!job_preset("office").has_value());
}

BOOST_AUTO_TEST_CASE(a_model_is_divided_among_as_many_nodes_as_have_slices_and_are_in_no_groups) {
    auto s = *job_preset("grid");
    const auto said = [&](std::uint64_t nodes) {
        s.nodes = nodes;
        const auto r = recipe_of(s);
        return r ? "accepted" : r.error().message();
    };
    BOOST_TEST(said(64) == "accepted");
    BOOST_TEST(said(65) == "--nodes: found 65, allowed: at most 64 with --slices");
    BOOST_TEST(said(7) == "--nodes: found 7, allowed: at least 8, one for each slice");
}

/// As many nodes as two groups have: every lane once, and what leaves a node is what it computed,
/// its share of the mean, and the sums of its group over an n-th of the elements.
BOOST_AUTO_TEST_CASE(more_nodes_than_a_crew_has_work_in_groups) {
    auto s = small(72);
    s.rounds = 1;
    s.lanes = 72;
    s.acquainted = true;
    const auto r = run(s);
    BOOST_TEST(r.finished);
    BOOST_TEST(r.lanes_merged == 72u);
    BOOST_TEST(r.utilisation > 0.3, "utilisation " << r.utilisation);
    const double sent = (r.bytes_sent - r.message_bytes) / r.bytes_formula;
    BOOST_TEST((sent > 0.8 && sent < 1.6), "of the formula's bytes " << sent);
    std::printf("72 nodes: utilisation %.3f of bound %.3f, bytes %.3f, messages %.0f bytes\n",
                r.utilisation, r.ratio_to_bound, sent, r.message_bytes);
}

BOOST_AUTO_TEST_CASE(presets_are_valid_jobs) {
    for (const auto* name : {"home", "volunteers", "grid"}) {
        const auto s = job_preset(name);
        BOOST_TEST_REQUIRE(s.has_value());
        BOOST_TEST(recipe_of(*s).has_value());
    }
    const auto volunteers = *job_preset("volunteers");
    BOOST_TEST(leaving_rate(volunteers) == 0.357, boost::test_tools::tolerance(1e-2));
}

BOOST_AUTO_TEST_CASE(the_bound_is_the_formula) {
    job_scenario s = small(2);
    s.up_bits = 8'000'000;
    s.down_bits = 16'000'000;
    s.latency = 0ms;
    s.leaving = 0.3;
    training::job_cost cost;
    cost.lane_flops = 3600;
    cost.contribution_bytes = 1'000'000;
    cost.mean_bytes = 2'000'000;
    const auto b = bound_of(s, cost, {{.speed = 1}, {.speed = 1}});
    const double a = 0.35667494;
    BOOST_TEST(b.compute == 16 * 3600.0 / 2, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(b.transfer == 1.0 + 2.0, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(b.kept == a / (std::exp(a) - 1), boost::test_tools::tolerance(1e-6));
    BOOST_TEST(b.links == 1.0);
    // Half of a lane is 1800 s of computing; two ends that send 3600 bytes of it each, by 1 and by
    // 4 bytes a second.
    s.slices = 2;
    const auto divided = bound_of(s, cost, {{.speed = 1, .up = 1}, {.speed = 1, .up = 4}}, 3600);
    BOOST_TEST(divided.links == (0.5 + 1) / 2, boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(one_node_alone_computes_all_the_time) {
    const auto r = run(small(1));
    BOOST_TEST(r.finished);
    BOOST_TEST(r.lanes_run == 48u);
    BOOST_TEST(r.checks_run == 0u);
    BOOST_TEST(r.bytes_sent == 0.0);
    BOOST_TEST(r.utilisation > 0.9);
    BOOST_TEST(r.utilisation <= 1.0);
    // 50 GFLOP/s, and a lane has as many operations as the recipe says.
    const double lane = static_cast<double>(r.cost.lane_flops) / 50e9;
    BOOST_TEST(r.seconds > 48 * lane);
    BOOST_TEST(r.seconds < 1.1 * 48 * lane);
}

BOOST_AUTO_TEST_CASE(what_a_crew_sends_is_what_its_lanes_and_means_weigh) {
    const auto r = run(small(4));
    BOOST_TEST(r.finished);
    BOOST_TEST(r.tokens == 48 * r.cost.lane_tokens);
    BOOST_TEST(r.lanes_run >= 48u);
    // Whoever sums takes the others' lanes and gives them the mean; checks of sums take them again.
    const double node_rounds = 3 * 4;
    const double least = (3.0 / 4 * 48 * static_cast<double>(r.cost.contribution_bytes) +
                          3 * 3 * static_cast<double>(r.cost.mean_bytes)) /
                         node_rounds;
    BOOST_TEST(r.bytes_sent > least);
    BOOST_TEST(r.bytes_sent < 3 * least);
    double time = 0;
    for (const double share : r.use) time += share;
    BOOST_TEST(time == 1.0, boost::test_tools::tolerance(1e-6));
    BOOST_TEST(r.ratio_to_bound > 0.3);
    BOOST_TEST(r.ratio_to_bound < 1.0);
}

/// (lanes run + 1) contributions, and no more: nobody fetches whole contributions while parts may
/// come, and of the members one checks a merge. Seeds: 0.69 of the formula with two nodes, 0.91
/// with four.
BOOST_AUTO_TEST_CASE(home_sends_no_more_than_the_formula) {
    for (const std::uint64_t nodes : {2, 4}) {
        auto s = *job_preset("home");
        s.nodes = nodes;
        s.rounds = 20;
        const auto r = run(s);
        BOOST_TEST(r.finished);
        BOOST_TEST(r.bytes_sent < r.bytes_formula,
                   nodes << " nodes: " << r.bytes_sent << " of " << r.bytes_formula);
        // A part of each lane stays with its owner, and a check fetches an n-th at most.
        const double kept = 1 - 1 / static_cast<double>(nodes);
        BOOST_TEST(r.bytes_sent > kept * r.bytes_formula);
    }
}

/// The last lane of a round goes from one uplink to every owner, and takes longer than anybody is
/// waited for who shows nothing. No shard is given to another for that, which would have to fetch
/// all of it; and the lane does not share its uplink with the part of the node that computed it.
/// Fast nodes do not look on while the slowest computes it.
BOOST_AUTO_TEST_CASE(owners_have_the_time_that_the_last_lanes_take_to_come) {
    for (const std::uint64_t up : {500'000, 250'000}) {
        auto s = *job_preset("volunteers");
        s.model = "small-10m";
        s.nodes = 16;
        s.rounds = 1;
        s.lanes = 64;
        s.leaving = 0;
        s.up_bits = up;
        s.down_bits = 5 * s.up_bits;
        s.speed_gflops = 1;
        const auto r = run(s);
        BOOST_TEST(r.finished);
        BOOST_TEST(r.bytes_sent < r.bytes_formula, r.bytes_sent << " of " << r.bytes_formula);
        // 0.75 and 0.50.
        BOOST_TEST(r.ratio_to_bound > 0.45, r.ratio_to_bound);
    }
}

/// The steward leaves, and whoever follows it came in the middle of the round and never heard of
/// its plan: it makes another, instead of telling everybody that there is none and fetching every
/// lane whole, which took longer than it stayed. With other seeds (6, 8, 9) these rounds still take
/// too long: six in ten leave in an hour.
BOOST_AUTO_TEST_CASE(a_steward_that_came_in_the_middle_of_a_round_has_it_summed_in_shards) {
    for (const std::uint64_t seed : {3, 7}) {
        auto s = *job_preset("volunteers");
        s.seed = seed;
        s.nodes = 12;
        s.rounds = 2;
        s.lanes = 48;
        s.inner_steps = 10;
        s.leaving = 0.6;
        BOOST_TEST(run(s).finished, "seed " << seed);
    }
}

/// A check that its round's close would break off is work lost, and so is a validation begun again
/// for the sum. Two equal nodes with two lanes each have little else to lose.
BOOST_AUTO_TEST_CASE(checks_and_validations_are_seen_through_when_a_round_is_summed) {
    std::uint64_t checks = 0, stopped = 0;
    for (const std::uint64_t seed : {1, 2, 3}) {
        auto s = small(2);
        s.seed = seed;
        s.lanes = 4;
        s.rounds = 60;
        s.inner_steps = 100;
        s.acquainted = true;
        const auto r = run(s);
        BOOST_TEST(r.finished);
        BOOST_TEST(r.utilisation > 0.86, "seed " << seed << ": " << r.utilisation);
        checks += r.checks_run;
        stopped += r.lanes_stopped;
    }
    // 104 to 42; 151 when both were broken off. A check leaves the other node alone with a lane, of
    // which it makes a second copy.
    BOOST_TEST(stopped < 3 * checks, stopped << " stopped, " << checks << " checks");
}

BOOST_AUTO_TEST_CASE(a_run_of_pieces_weighs_what_its_pieces_weigh) {
    const base::blob_ref ref{{}, 5 * base::piece_size_bytes + 100};
    BOOST_TEST(bytes_of(ref, {}) == ref.size);
    BOOST_TEST(bytes_of(ref, {1, 2}) == 2 * base::piece_size_bytes);
    BOOST_TEST(bytes_of(ref, {4, 2}) == base::piece_size_bytes + 100);
    BOOST_TEST(bytes_of(ref, {5, 1}) == 100u);
    BOOST_TEST(bytes_of({{}, 0}, {}) == 0u);
}

BOOST_AUTO_TEST_CASE(stand_ins_for_parts_come_to_the_mean_however_they_are_cut) {
    const auto functions =
        make_hash_functions({.lanes = 2,
                             .rounds = 1,
                             .contribution_bytes = 1 << 30,
                             .mean_bytes = 1 << 29,
                             .units = 2048,
                             .shard =
                                 [](auto units) {
                                     return training::crew_shard{units, units.count << 18};
                                 },
                             .stand_ins = true});
    const auto first = functions->lane({}, 0, 0), second = functions->lane({}, 0, 1);
    const std::vector<base::byte_view> lanes{first.bytes, second.bytes};
    const auto whole = functions->sum(lanes);
    BOOST_TEST(whole.outcome.blob.size == 1u << 29);
    for (const std::uint64_t cut : {1, 700, 2047}) {
        const auto a = functions->sum_shard(lanes, {0, cut});
        const auto b = functions->sum_shard(lanes, {cut, 2048 - cut});
        BOOST_TEST(a.outcome.blob.size == cut << 18);
        const auto joined = functions->join({a.bytes, b.bytes});
        BOOST_TEST_REQUIRE(joined.has_value());
        BOOST_TEST((joined->outcome == whole.outcome));
        BOOST_TEST((joined->bytes == whole.bytes));
        BOOST_TEST(!functions->join({b.bytes, a.bytes}).has_value());
        BOOST_TEST(!functions->join({a.bytes}).has_value());
        const auto other = functions->sum_shard({lanes[1], lanes[0]}, {cut, 2048 - cut});
        BOOST_TEST(!functions->join({a.bytes, other.bytes}).has_value());
    }
}

/// Four stages of 1 + 2 seconds, links that take no time: the schedule's formula.
BOOST_AUTO_TEST_CASE(a_pipeline_with_free_links_has_the_bubble_of_the_formula) {
    const std::vector<team_stage> stages(4, {1, 2, 1e18, 1e18, 0});
    const auto t = time_of(stages, {.steps = 5, .micro_batches = 8, .message_bytes = 1});
    BOOST_TEST(t.lane == 5 * 3.0 * (8 + 4 - 1), boost::test_tools::tolerance(1e-9));
    BOOST_TEST(t.computes[2] == 5 * 3.0 * 8, boost::test_tools::tolerance(1e-9));
    BOOST_TEST(t.balance() == 1.0, boost::test_tools::tolerance(1e-9));
}

BOOST_AUTO_TEST_CASE(a_pipeline_is_as_slow_as_its_slowest_stage_or_uplink) {
    struct row {
        std::vector<team_stage> stages;
        double least, most;  // a step of 100 micro-batches
    };
    const auto stage = [](double forward, double up, double delay) {
        return team_stage{forward, 2 * forward, up, 1e9, delay};
    };
    const std::vector<row> table{
        {{stage(1, 1e9, 0), stage(1, 1e9, 0), stage(1, 1e9, 0)}, 300, 308},
        // The middle one takes 6 seconds a micro-batch, or sends two messages of 100 in 8.
        {{stage(1, 1e9, 0), stage(2, 1e9, 0), stage(1, 1e9, 0)}, 600, 612},
        {{stage(1, 1e9, 0), stage(1, 25, 0), stage(1, 1e9, 0)}, 800, 830},
        // An end sends half as much, 4 seconds a micro-batch.
        {{stage(1, 25, 0), stage(1, 1e9, 0), stage(1, 1e9, 0)}, 400, 430},
        // 0.4 s to the neighbour and back hide behind computing.
        {{stage(1, 1e9, 0.1), stage(1, 1e9, 0.1), stage(1, 1e9, 0.1)}, 300, 310},
    };
    for (const auto& row : table) {
        const auto t =
            time_of(row.stages, {.steps = 1, .micro_batches = 100, .message_bytes = 100});
        BOOST_TEST(t.lane >= row.least);
        BOOST_TEST(t.lane <= row.most);
    }
}

BOOST_AUTO_TEST_CASE(one_seed_gives_one_trace) {
    job_scenario s = small(6);
    s.spread = 10;
    s.leaving = 0.99;  // each node stays 13 minutes on average
    s.rounds = 6;
    const auto once = run(s);
    BOOST_TEST(once.left > 0u);
    BOOST_TEST((once.trace == run(s).trace));
    s.seed = 2;
    BOOST_TEST((once.trace != run(s).trace));
}

BOOST_AUTO_TEST_CASE(a_crew_whose_members_come_and_go_gets_there) {
    job_scenario s = small(8);
    s.rounds = 6;
    s.inner_steps = 100;
    s.leaving = 0.8;  // each node stays 37 minutes on average, and a lane takes 6
    const auto r = run(s);
    BOOST_TEST(r.finished);
    BOOST_TEST(r.left == r.joined);
    BOOST_TEST(r.left >= 3u);
    BOOST_TEST_REQUIRE(r.first_work_seconds.has_value());
    // What a newcomer fetches are means, whole ones.
    BOOST_TEST(r.newcomer_bytes > 0.0);
    BOOST_TEST(r.bound.kept < 1.0);
}

BOOST_AUTO_TEST_CASE(who_comes_late_fetches_one_state_in_place_of_all_means) {
    job_scenario s = small(4);
    s.rounds = 24;  // a state after the tenth, and the twentieth
    s.leaving = 0.5;
    const auto r = run(s);
    BOOST_TEST(r.finished);
    BOOST_TEST(r.states_fetched >= 2u);
    BOOST_TEST(r.states_fetched < r.joined);
    // Eight means' worth, and those of half the rounds between two.
    BOOST_TEST(r.newcomer_bytes < 20.0 * static_cast<double>(r.cost.mean_bytes));
}

/// The first of a team has summed the round, waits for what the other slices come to, and checks
/// meanwhile. It broke each check off for the sum that it had, and began it again, at every
/// message.
BOOST_AUTO_TEST_CASE(a_team_checks_while_its_sum_waits_for_the_other_slices) {
    auto s = *job_preset("grid");
    for (const auto& [name, text] : {std::pair{"nodes", "16"},
                                     {"slices", "4"},
                                     {"lanes", "8"},
                                     {"inner-steps", "4"},
                                     {"activations", "bf16"},
                                     {"rounds", "4"},
                                     {"beat", "60s"}}) {
        BOOST_REQUIRE(set_option(s, name, text).has_value());
    }
    const auto report = run_job(s);
    BOOST_TEST_REQUIRE(report.has_value());
    BOOST_TEST(report->finished);
    BOOST_TEST(report->settled_seconds > 0);
    BOOST_TEST(report->events < 400'000u);
}

BOOST_AUTO_TEST_CASE(the_limit_of_time_ends_a_job_and_says_so) {
    job_scenario s = small(2);
    s.limit = 30s;
    const auto r = run(s);
    BOOST_TEST(!r.finished);
    BOOST_TEST(r.rounds < 3u);
    BOOST_TEST(r.seconds < 60.0);  // the first event after it
}

}  // namespace tequio::simulation
