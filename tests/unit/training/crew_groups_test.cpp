// A crew in groups: which node and lane belongs where, who sums what, and the messages.
#include <numeric>

#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/groups.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {
namespace {

base::node_id any_node(std::uint32_t i) {
    return base::node_id{base::sha256("node " + std::to_string(i)).bytes};
}

job_shape many_units(std::uint64_t units) {
    auto shape = small_shape();
    shape.mean_units = units;
    return shape;
}

known_sums sums_by(std::uint8_t i, contribution_run units, contribution_run lanes,
                   std::string_view of = "right") {
    known_sums k;
    k.said = {node(i), 2, {units, lanes}, result_of(of), {result_of("sums"), 90}};
    k.fact.body = sums_body(small_shape().task, k.said);
    k.fact.signature = key_of(node(i)).sign(signed_bytes(fact_kind::sums, k.fact.body));
    return k;
}

group_note some_note() {
    group_note m;
    m.depth = 2;
    m.group = 3;
    m.steward = {4, 9, node(2)};
    m.chronicle = 4;
    m.members = 60;
    m.leased = {0, 3};
    m.books = {{3, 77}, {4, 0}};
    m.sums = 5;
    m.known = {1, 2, 3, 5};
    return m;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_groups)

BOOST_AUTO_TEST_CASE(a_group_divides_in_two_and_nobody_changes_sides) {
    group_map before(small_shape().task, any_node(0)), after(small_shape().task, any_node(0));
    BOOST_TEST(!before.several());
    BOOST_TEST(before.count() == 1u);
    BOOST_TEST(!before.foreign(any_node(1)));
    for (std::uint32_t depth = 0; depth < group_depth_max; ++depth) {
        before.set_depth(depth);
        after.set_depth(depth + 1);
        std::vector<int> members(after.count());
        for (std::uint32_t i = 0; i < 2000; ++i) {
            const auto group = after.of(any_node(i));
            BOOST_REQUIRE(group < after.count());
            BOOST_REQUIRE(group / 2 == before.of(any_node(i)));
            ++members[group];
        }
        for (const auto m : members) BOOST_TEST(m > 2000 / static_cast<int>(after.count()) / 3);
    }
}

BOOST_AUTO_TEST_CASE(every_lane_is_in_one_column) {
    for (std::uint32_t depth = 1; depth <= group_depth_max; ++depth) {
        group_map map(small_shape().task, any_node(0));
        map.set_depth(depth);
        for (const std::uint32_t lanes : {1u, 3u, 16u, 63u, 64u, 100u, 65536u}) {
            std::uint64_t next = 0;
            for (std::uint32_t g = 0; g < map.count(); ++g) {
                const auto column = map.column(g, lanes);
                BOOST_REQUIRE(column.first == next);
                next = column.end();
                if (column.count == 0) continue;
                BOOST_REQUIRE(map.column_of(static_cast<std::uint32_t>(column.first), lanes) == g);
                BOOST_REQUIRE(map.column_of(static_cast<std::uint32_t>(next - 1), lanes) == g);
            }
            BOOST_TEST(next == lanes);
        }
    }
}

BOOST_AUTO_TEST_CASE(what_nobody_is_heard_of_for_falls_to_the_next_group) {
    group_map map(small_shape().task, any_node(0));
    map.set_depth(2);
    BOOST_TEST(map.served_by(2, 0b1111) == 2u);
    BOOST_TEST(map.served_by(2, 0b1011) == 3u);
    BOOST_TEST(map.served_by(2, 0b0011) == 0u);
    BOOST_TEST(map.served_by(2, 0) == map.own());
}

BOOST_AUTO_TEST_CASE(groups_are_meant_to_be_half_full_at_least) {
    BOOST_TEST(depth_max(64, 64) == 0u);
    BOOST_TEST(depth_max(65, 64) == 1u);
    BOOST_TEST(depth_max(127, 64) == 1u);
    BOOST_TEST(depth_max(128, 64) == 2u);
    BOOST_TEST(depth_max(1024, 64) == 5u);
    BOOST_TEST(depth_max(1024, 1) == group_depth_max);
}

BOOST_AUTO_TEST_CASE(rows_are_runs_of_whole_shards) {
    const auto shards = group_shards(3000);
    BOOST_TEST(shards.size() == group_shards_max);
    std::vector<shard_candidate> candidates;
    for (std::uint8_t i = 0; i < 60; ++i) {
        candidates.push_back({node(i), i < 10 ? std::optional<std::uint64_t>(4000) : 1000});
    }
    const auto rows = cut_rows(shards, candidates);
    BOOST_TEST(rows.size() == 60u);
    BOOST_TEST(rows_fit(rows, shards));
    // Ten of sixty at four times the speed: 4 of 90 shares each.
    BOOST_TEST(rows.front().units.count > 3 * rows.back().units.count);
    BOOST_TEST((rows.front().owner == node(0)));

    const auto few = cut_rows(group_shards(2), candidates);
    BOOST_TEST(few.size() == 2u);
    BOOST_TEST(rows_fit(few, group_shards(2)));
    BOOST_TEST(rows_fit(cut_rows(shards, {{node(1), std::nullopt}}), shards));
}

BOOST_AUTO_TEST_CASE(rows_that_cut_a_shard_or_leave_one_out_are_not_taken) {
    const auto shards = group_shards(4096);  // of four units each
    const auto fits = [&](const std::vector<contribution_run>& runs) {
        std::vector<shard> rows;
        for (const auto& r : runs) rows.push_back({r, node(1)});
        return rows_fit(rows, shards);
    };
    BOOST_TEST(fits({{0, 4096}}));
    BOOST_TEST(fits({{0, 8}, {8, 4088}}));
    BOOST_TEST(!fits({}));
    BOOST_TEST(!fits({{0, 6}, {6, 4090}}));
    BOOST_TEST(!fits({{0, 8}}));
    BOOST_TEST(!fits({{0, 8}, {12, 4084}}));
    BOOST_TEST(!fits({{8, 4088}}));
    BOOST_TEST(!fits({{0, 4096}, {4096, 4}}));
    BOOST_TEST(!fits({{0, 8}, {8, 0}, {8, 4088}}));
}

BOOST_AUTO_TEST_CASE(sums_are_found_by_what_they_hold) {
    sums_book book(many_units(8), node(0));
    book.open(2);
    BOOST_TEST(book.add(sums_by(1, {0, 4}, {0, 2})));
    BOOST_TEST(!book.add(sums_by(1, {0, 4}, {0, 2})));
    BOOST_TEST(book.add(sums_by(2, {4, 4}, {0, 2})));
    BOOST_TEST(book.add(sums_by(3, {0, 8}, {2, 2})));
    book.check();
    const auto right = result_of("right");
    BOOST_TEST((book.find({0, 2}, {3, 1}, right)->said.node == node(1)));
    BOOST_TEST((book.find({0, 2}, {4, 1}, right)->said.node == node(2)));
    BOOST_TEST((book.find({2, 2}, {4, 1}, right)->said.node == node(3)));
    BOOST_TEST(book.find({0, 2}, {3, 2}, right) == nullptr);  // across two runs
    BOOST_TEST(book.find({0, 1}, {3, 1}, right) == nullptr);
    BOOST_TEST(book.find({0, 2}, {3, 1}, result_of("other lanes")) == nullptr);
    // This node's own goes before others', and what could not be had is not asked for again.
    BOOST_TEST(book.add(sums_by(0, {0, 8}, {0, 2})));
    BOOST_TEST((book.find({0, 2}, {3, 1}, right)->said.node == node(0)));
    BOOST_TEST(book.own({{0, 8}, {0, 2}}) != nullptr);
    BOOST_TEST(book.own({{0, 4}, {0, 2}}) == nullptr);
    book.distrust(node(3), {result_of("sums"), 90});
    BOOST_TEST(book.find({2, 2}, {4, 1}, right) == nullptr);
    // The same sums made by others: the first maker's being gone says nothing of them.
    BOOST_TEST((book.find({0, 2}, {4, 1}, right)->said.node == node(0)));
    BOOST_TEST(book.add(sums_by(4, {4, 4}, {2, 2})));
    BOOST_TEST((book.find({2, 2}, {4, 1}, right)->said.node == node(4)));
    book.open(3);
    BOOST_TEST(book.all().empty());
    BOOST_TEST(!book.add(sums_by(1, {0, 4}, {0, 2})));
}

BOOST_AUTO_TEST_CASE(a_node_is_heard_on_sums_as_often_as_it_has_something_new_to_say) {
    sums_book book(many_units(8), node(0));
    book.open(2);
    std::size_t kept = 0;
    for (int i = 0; i < 2000; ++i) {
        kept += book.add(sums_by(1, {0, 4}, {0, 2}, "made up " + std::to_string(i)));
    }
    BOOST_TEST(kept == 4 * crew_members_max);
    // Own ones always fit.
    BOOST_TEST(book.add(sums_by(0, {0, 4}, {0, 2})));
}

BOOST_AUTO_TEST_CASE(facts_on_sums_are_signed_for_what_they_are) {
    const auto shape = many_units(8);
    const auto k = sums_by(1, {2, 4}, {1, 3});
    const auto back = parse_sums(shape, k.fact.body);
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((*back == k.said));
    BOOST_TEST(
        (signed_bytes(fact_kind::sums, k.fact.body) != signed_bytes(fact_kind::part, k.fact.body)));
    const auto bad = [&](auto&& change) {
        auto said = k.said;
        change(said);
        const auto parsed = parse_sums(shape, sums_body(shape.task, said));
        BOOST_REQUIRE(!parsed.has_value());
        BOOST_TEST(parsed.error().is(errc::bad_message));
    };
    bad([](lane_sums& s) { s.round = 6; });
    bad([](lane_sums& s) { s.which.units = {2, 0}; });
    bad([](lane_sums& s) { s.which.units = {2, 7}; });
    bad([](lane_sums& s) { s.which.units = {~std::uint64_t{0}, 2}; });
    bad([](lane_sums& s) { s.which.lanes = {1, 0}; });
    bad([](lane_sums& s) { s.which.lanes = {1, 4}; });
    bad([](lane_sums& s) { s.which.lanes = {~std::uint64_t{0}, 2}; });
    bad([](lane_sums& s) { s.blob.size = 0; });
    BOOST_TEST(!parse_sums(shape, sums_body(base::task_id{result_of("another").bytes}, k.said)));
    BOOST_TEST(!parse_sums(shape, base::byte_vector(700, 1)));
}

BOOST_AUTO_TEST_CASE(messages_of_groups_survive_the_wire) {
    const auto shape = small_shape();
    const auto note = through_the_wire(some_note(), shape);
    BOOST_TEST(note.depth == 2u);
    BOOST_TEST(note.group == 3u);
    BOOST_TEST((note.steward == some_note().steward));
    BOOST_TEST(note.chronicle == 4u);
    BOOST_TEST(note.members == 60u);
    BOOST_TEST((note.leased == some_note().leased));
    BOOST_TEST((note.books == some_note().books));
    BOOST_TEST(note.sums == 5u);
    BOOST_TEST((note.known == some_note().known));
    facts f;
    f.sums.push_back(sums_by(1, {0, 1}, {0, 2}).fact);
    BOOST_TEST((through_the_wire(f, shape).sums == f.sums));
    status s;
    s.depth = 3;
    s.sums_wanted = 0b10000001;
    s.parts_wanted = true;
    BOOST_TEST((through_the_wire(s, shape) == s));
    round_open open;
    open.depth = 6;
    open.groups = ~std::uint64_t{0};
    open.abroad = 1000;
    open.lost = {0, 2};
    const auto back = through_the_wire(open, shape);
    BOOST_TEST(back.depth == 6u);
    BOOST_TEST(back.groups == open.groups);
    BOOST_TEST(back.abroad == 1000u);
    BOOST_TEST((back.lost == open.lost));
}

BOOST_AUTO_TEST_CASE(a_crew_without_groups_says_nothing_of_them) {
    const auto shape = small_shape();
    const auto plain = encode(shape.task, status{});
    status s;
    s.depth = 1;
    BOOST_TEST(encode(shape.task, s).size() > plain.size());
    status again;
    BOOST_TEST((encode(shape.task, again) == plain));
}

BOOST_AUTO_TEST_CASE(what_is_out_of_bounds_in_groups_is_refused) {
    const auto with = [](auto&& change) {
        auto m = some_note();
        change(m);
        refused(m);
    };
    with([](group_note& m) { m.depth = 0; });
    with([](group_note& m) { m.depth = group_depth_max + 1; });
    with([](group_note& m) { m.group = 4; });
    with([](group_note& m) { m.chronicle = 8; });
    with([](group_note& m) { m.members = crew_members_max + 1; });
    with([](group_note& m) { m.leased = {3, 3}; });
    with([](group_note& m) { m.leased = {4}; });
    with([](group_note& m) { m.books.assign(books_max + 1, {1, 1}); });
    with([](group_note& m) { m.books = {{7, 1}}; });
    with([](group_note& m) { m.sums = group_sums_max + 1; });
    with([](group_note& m) { m.known.assign(5, 0); });
    with([](group_note& m) { m.steward.term = counter_max + 1; });
    status s;
    s.sums_wanted = 1;  // without groups
    refused(s);
    s.depth = 1;
    s.sums_wanted = 0b100;
    refused(s);
    s.sums_wanted = 0;
    s.depth = group_depth_max + 1;
    refused(s);
    round_open open;
    open.groups = 1;
    refused(open);
    open.depth = 1;
    open.abroad = crew_groups_nodes_max + 1;
    refused(open);
    open.abroad = 0;
    open.lost = {2, 1};
    refused(open);
    open.lost = {4};
    refused(open);
    facts f;
    f.sums.assign(facts_max + 1, sums_by(1, {0, 1}, {0, 2}).fact);
    refused(f);
}

BOOST_AUTO_TEST_CASE(the_largest_messages_of_groups_stay_below_the_cap) {
    const auto shape = small_shape(65536);
    auto note = some_note();
    note.depth = group_depth_max;
    note.known.assign(64, group_sums_max);
    note.books.assign(books_max, {6, ~std::uint64_t{0}});
    note.leased.resize(leased_max);
    std::iota(note.leased.begin(), note.leased.end(), 65000u);
    BOOST_TEST(encode(shape.task, note).size() <= crew_message_max_bytes);
    facts f;
    for (std::uint8_t i = 0; i < 32; ++i) {
        f.sums.push_back(sums_by(i, {0, 1}, {0, 2}).fact);
        f.certificates.emplace_back(node(i), base::byte_vector(certificate_max_bytes, 7));
    }
    BOOST_TEST(encode(shape.task, f).size() <= crew_message_max_bytes);
    round_open open{shape.rounds, counter_max, result_of("state"), {}, {}, 63, 64};
    for (std::uint8_t i = 0; i < 64; ++i) {
        open.assignments.emplace_back(node(i), item_key{5, 65535});
        open.next.emplace_back(node(i), item_key{5, 65534});
        open.shards.push_back({{0, 1}, node(i)});
    }
    open.depth = group_depth_max;
    open.groups = ~std::uint64_t{0};
    open.lost.resize(missing_max);
    std::iota(open.lost.begin(), open.lost.end(), 65000u);
    BOOST_TEST(encode(shape.task, open).size() <= crew_message_max_bytes);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
