#include "training/crew/shards.hpp"

#include <numeric>

#include "base/rng.hpp"
#include "tests/unit/training/crew_fixture.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

job_shape shape_of_units(std::uint64_t units) {
    auto shape = small_shape();
    shape.mean_units = units;
    return shape;
}

std::vector<shard_candidate> nodes(std::initializer_list<std::uint8_t> which) {
    std::vector<shard_candidate> out;
    for (const auto i : which) out.push_back({node(i), std::nullopt});
    return out;
}

known_part part_by(std::uint8_t i, contribution_run units, std::string_view what,
                   std::string_view inputs = "inputs") {
    sum_part p{node(i), 2, units, base::sha256(inputs), {base::sha256(what), 100}};
    signed_fact fact;
    fact.body = part_body(small_shape().task, p);
    fact.signature = key_of(p.node).sign(signed_bytes(fact_kind::part, fact.body));
    return {std::move(p), std::move(fact)};
}

const base::digest inputs = base::sha256("inputs");

struct book_of_round_2 : shard_book {
    explicit book_of_round_2(std::uint64_t units = 12)
        : shard_book(shape_of_units(units), node(0)) {
        open(2);
        make(nodes({0, 1, 2}));
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_shards)

BOOST_AUTO_TEST_CASE(runs_cover_every_unit_once_in_the_shares_of_the_weights) {
    base::rng rng(20261129);
    for (int trial = 0; trial < 5000; ++trial) {
        const auto units = 1 + rng.below(trial % 3 == 0 ? 5 : 100'000);
        std::vector<std::uint64_t> weights;
        for (auto n = 1 + rng.below(64); n > 0; --n) weights.push_back(rng.below(4097));
        weights[rng.below(weights.size())] += 1;
        const auto total = std::accumulate(weights.begin(), weights.end(), std::uint64_t{0});
        const auto runs = cut_units(units, weights);
        BOOST_REQUIRE(runs.size() == weights.size());
        std::uint64_t next = 0;
        for (std::size_t i = 0; i < runs.size(); ++i) {
            BOOST_REQUIRE(runs[i].first == next);
            next = runs[i].end();
            const auto share = static_cast<double>(units) * static_cast<double>(weights[i]) /
                               static_cast<double>(total);
            BOOST_REQUIRE(std::abs(static_cast<double>(runs[i].count) - share) <= 1.001);
        }
        BOOST_REQUIRE(next == units);
    }
}

BOOST_AUTO_TEST_CASE(no_rate_counts_for_more_than_four_medians) {
    using rates = std::vector<std::optional<std::uint64_t>>;
    const auto weights = [](const rates& r) { return capped_weights(r); };
    BOOST_TEST((weights({{}, {}, {}}) == std::vector<std::uint64_t>{1024, 1024, 1024}));
    BOOST_TEST((weights({{1000}, {}, {3000}, {2000}}) ==
                std::vector<std::uint64_t>{512, 1024, 1536, 1024}));
    BOOST_TEST((weights({{1000}, {900}, {UINT64_MAX}, {0}, {1001}}) ==
                std::vector<std::uint64_t>{1024, 921, 4096, 256, 1025}));
}

BOOST_AUTO_TEST_CASE(a_plan_gives_each_its_run) {
    const book_of_round_2 b;
    BOOST_REQUIRE(b.plan().size() == 3u);
    for (const auto& s : b.plan()) BOOST_TEST(s.units.count == 4u);
    b.check();
}

BOOST_AUTO_TEST_CASE(few_units_go_to_others_in_the_next_round) {
    shard_book b(shape_of_units(2), node(0));
    std::set<base::node_id> owners;
    for (std::uint64_t round = 0; round < 4; ++round) {
        b.open(round);
        b.make(nodes({0, 1, 2, 3}));
        BOOST_TEST(b.plan().size() == 2u);
        for (const auto& s : b.plan()) owners.insert(s.owner);
    }
    BOOST_TEST(owners.size() == 4u);
}

BOOST_AUTO_TEST_CASE(one_unit_or_one_node_needs_no_plan) {
    shard_book one_unit(shape_of_units(1), node(0));
    one_unit.make(nodes({0, 1, 2}));
    BOOST_TEST(!one_unit.several());
    shard_book one_node(shape_of_units(9), node(0));
    one_node.make(nodes({0}));
    BOOST_TEST(one_node.plan().empty());
}

BOOST_AUTO_TEST_CASE(a_faster_uplink_gets_a_longer_run) {
    shard_book b(shape_of_units(100), node(0));
    b.make({{node(0), std::nullopt}, {node(1), 4000}, {node(2), 1000}, {node(3), 1000}});
    std::map<base::node_id, std::uint64_t> units;
    for (const auto& s : b.plan()) units[s.owner] = s.units.count;
    BOOST_TEST(units[node(1)] > 3 * units[node(2)]);
    BOOST_TEST(units[node(0)] + 1 >= units[node(2)]);
}

BOOST_AUTO_TEST_CASE(plans_with_gaps_or_overlaps_are_not_taken) {
    book_of_round_2 b;
    const auto before = b.plan();
    using plan = std::vector<shard>;
    BOOST_TEST(!b.adopt(plan{{{0, 4}, node(1)}, {{5, 7}, node(2)}}));
    BOOST_TEST(!b.adopt(plan{{{0, 6}, node(1)}, {{5, 7}, node(2)}}));
    BOOST_TEST(!b.adopt(plan{{{0, 6}, node(1)}, {{6, 5}, node(2)}}));
    BOOST_TEST((b.plan() == before));
    BOOST_TEST(b.adopt(plan{{{0, 5}, node(1)}, {{5, 7}, node(2)}}));
    BOOST_TEST(b.adopt(plan{}));
    BOOST_TEST(!b.several());
}

BOOST_AUTO_TEST_CASE(equal_parts_are_one_and_different_ones_a_dispute) {
    book_of_round_2 b;
    const contribution_run units{4, 4};
    BOOST_TEST((b.add(part_by(1, units, "right")) == shard_book::added::fresh));
    BOOST_TEST((b.add(part_by(1, units, "right")) == shard_book::added::known));
    BOOST_TEST((b.add(part_by(1, units, "other")) == shard_book::added::contradiction));
    BOOST_TEST((b.add(part_by(2, units, "right")) == shard_book::added::fresh));
    BOOST_REQUIRE(b.resolved(units, inputs) != nullptr);
    BOOST_TEST((b.makers(b.resolved(units, inputs)->said) ==
                std::vector<base::node_id>{node(1), node(2)}));
    BOOST_TEST((b.add(part_by(3, units, "wrong")) == shard_book::added::fresh));
    BOOST_TEST(b.disputed(units, inputs));
    BOOST_TEST(b.resolved(units, inputs) == nullptr);
    // This node has summed it itself: that decides.
    BOOST_TEST((b.add(part_by(0, units, "right")) == shard_book::added::fresh));
    BOOST_TEST((b.resolved(units, inputs)->said.blob.root == base::sha256("right")));
    BOOST_TEST(b.own_facts().size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_part_told_again_is_known_byte_for_byte) {
    book_of_round_2 b;
    const auto part = part_by(1, {4, 4}, "right");
    BOOST_TEST(!b.knows(part.said, part.fact));
    b.add(part);
    BOOST_TEST(b.knows(part.said, part.fact));
    const auto other = part_by(1, {4, 4}, "other");
    BOOST_TEST(!b.knows(other.said, other.fact));
    auto forged = part.fact;
    forged.signature[0] ^= 1;
    BOOST_TEST(!b.knows(part.said, forged));
    b.open(3);
    BOOST_TEST(!b.knows(part.said, part.fact));
}

BOOST_AUTO_TEST_CASE(parts_of_other_contributions_rounds_or_units_do_not_count) {
    book_of_round_2 b;
    BOOST_TEST((b.add(part_by(1, {4, 5}, "a")) == shard_book::added::stale));
    auto late = part_by(1, {4, 4}, "a");
    late.said.round = 1;
    BOOST_TEST((b.add(std::move(late)) == shard_book::added::stale));
    BOOST_TEST((b.add(part_by(1, {4, 4}, "a", "other lanes")) == shard_book::added::fresh));
    BOOST_TEST(b.resolved({4, 4}, inputs) == nullptr);
    for (std::uint8_t i = 2; i < 20; ++i) b.add(part_by(i, {4, 4}, "a"));
    b.check();
}

BOOST_AUTO_TEST_CASE(a_lost_shard_goes_to_who_has_least_and_at_last_comes_here) {
    book_of_round_2 b;
    const auto first = b.plan()[0].owner;
    b.reassign(base::time_point{} + 3s, 0, {node(1), node(2), node(4)});
    BOOST_TEST((b.plan()[0].owner == node(4)));
    BOOST_TEST((b.reassigned(b.plan()[0].units) == base::time_point{} + 3s));
    BOOST_TEST(!b.reassigned(b.plan()[1].units).has_value());
    b.reassign(base::time_point{} + 4s, 0, {first, node(4)});
    BOOST_TEST((b.plan()[0].owner == (first == node(0) ? node(0) : b.plan()[0].owner)));
    b.reassign(base::time_point{} + 5s, 0, {});
    BOOST_TEST((b.plan()[0].owner == node(0)));
    b.check();
}

BOOST_AUTO_TEST_CASE(a_lost_shard_goes_back_to_whoever_has_summed_it_after_all) {
    book_of_round_2 b;
    const auto units = b.plan()[1].units;
    b.adopt({{b.plan()[0].units, node(0)}, {{4, 8}, node(1)}});
    const auto made = part_by(1, {4, 8}, "right");
    b.add(part_by(1, {4, 8}, "right"));
    b.give_back(1, made.said);
    BOOST_TEST((b.plan()[1].owner == node(1)));  // it never lost it
    b.reassign(base::time_point{} + 3s, 1, {node(2), node(3)});
    BOOST_TEST((b.plan()[1].owner == node(2)));
    b.give_back(1, part_by(1, units, "right").said);
    BOOST_TEST((b.plan()[1].owner == node(2)));  // of other units
    // One that was never asked for it has no claim to it.
    b.add(part_by(3, {4, 8}, "other"));
    b.give_back(1, part_by(3, {4, 8}, "other").said);
    BOOST_TEST((b.plan()[1].owner == node(2)));
    b.give_back(1, made.said);
    BOOST_TEST((b.plan()[1].owner == node(1)));
    b.check();
}

BOOST_AUTO_TEST_CASE(a_lost_shard_goes_first_to_who_gathers_for_it_too) {
    book_of_round_2 b;
    b.reassign(base::time_point{} + 3s, 0, {node(1), node(2), node(4)}, {b.plan()[1].owner});
    BOOST_TEST((b.plan()[0].owner == b.plan()[1].owner));
    // Who had it is not asked again, preferred or not; this node may be preferred.
    b.reassign(base::time_point{} + 4s, 0, {node(4)}, {b.plan()[1].owner});
    BOOST_TEST((b.plan()[0].owner == node(4)));
    if (b.plan()[1].owner != node(0)) {
        b.reassign(base::time_point{} + 5s, 1, {node(4)}, {node(0)});
        BOOST_TEST((b.plan()[1].owner == node(0)));
    }
    b.check();
}

BOOST_AUTO_TEST_CASE(the_owners_behind_a_shard_stand_by_for_it) {
    book_of_round_2 b;
    std::vector<base::node_id> owners;
    for (const auto& s : b.plan()) owners.push_back(s.owner);
    const auto all = [](const base::node_id&) { return true; };
    BOOST_TEST((b.standbys(0, 1, all) == std::vector{owners[1]}));
    BOOST_TEST((b.standbys(2, 2, all) == std::vector{owners[0], owners[1]}));
    BOOST_TEST((b.standbys(1, 9, all) == std::vector{owners[2], owners[0]}));
    BOOST_TEST(b.standbys(1, 0, all).empty());
    const auto but_next = [&](const base::node_id& node) { return node != owners[1]; };
    BOOST_TEST((b.standbys(0, 1, but_next) == std::vector{owners[2]}));
    // An owner of two shards stands by for neither, and counts once for a third.
    b.reassign({}, 1, {owners[0]}, {owners[0]});
    BOOST_TEST((b.standbys(0, 2, all) == std::vector{owners[2]}));
    BOOST_TEST((b.standbys(2, 2, all) == std::vector{owners[0]}));
}

BOOST_AUTO_TEST_CASE(rates_follow_what_was_measured) {
    book_of_round_2 b;
    BOOST_TEST(!b.rate_of(node(1)).has_value());
    b.measured(node(1), 1'000'000, 1s);
    BOOST_TEST(b.rate_of(node(1)).value() == 1'000'000u);
    for (int i = 0; i < 20; ++i) b.measured(node(1), 3'000'000, 1s);
    BOOST_TEST(b.rate_of(node(1)).value() > 2'900'000u);
    b.open(3);
    BOOST_TEST(b.rate_of(node(1)).has_value());
}

BOOST_AUTO_TEST_CASE(parts_and_plans_travel) {
    const auto shape = shape_of_units(12);
    const auto p = part_by(1, {4, 4}, "a").said;
    BOOST_TEST((parse_part(shape, part_body(shape.task, p)).value() == p));
    auto beyond = p;
    beyond.units = {4, 9};
    BOOST_TEST(!parse_part(shape, part_body(shape.task, beyond)).has_value());
    beyond.units = {UINT64_MAX, 2};
    BOOST_TEST(!parse_part(shape, part_body(shape.task, beyond)).has_value());
    beyond = p;
    beyond.round = shape.rounds;
    BOOST_TEST(!parse_part(shape, part_body(shape.task, beyond)).has_value());
    facts m;
    m.parts.push_back(part_by(1, {4, 4}, "a").fact);
    const auto back = std::get<facts>(decode(shape, encode(shape.task, m)).value());
    BOOST_REQUIRE(back.parts.size() == 1u);
    BOOST_TEST((back.parts[0] == m.parts[0]));
    round_open open{3, 1, base::sha256("state"), {}, {}};
    open.shards = {{{0, 5}, node(1)}, {{5, 7}, node(2)}};
    const auto opened = std::get<round_open>(decode(shape, encode(shape.task, open)).value());
    BOOST_TEST((opened.shards == open.shards));
    open.shards[1].units.count = 8;
    BOOST_TEST(!decode(shape, encode(shape.task, open)).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
