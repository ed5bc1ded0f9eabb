#include <rapidcheck.h>

#include "tests/unit/training/crew_fixture.hpp"

namespace tequio::training::crew_protocol {
namespace {

using added = round_book::added;

added put(round_book& b, std::uint8_t i, std::uint32_t item, std::string_view what) {
    return b.add(signed_claim(claim_by(i, {2, item}, what)));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_round_book)

BOOST_AUTO_TEST_CASE(a_claim_counts_once_a_node) {
    auto b = book_at(0);
    BOOST_TEST((put(b, 1, 0, "right") == added::fresh));
    BOOST_TEST((put(b, 1, 0, "right") == added::known));
    BOOST_TEST((put(b, 1, 0, "wrong") == added::contradiction));
    BOOST_TEST((b.standing(0) == item_standing::single));
    BOOST_TEST(b.claims(0).size() == 1u);
    BOOST_TEST((b.claims(0).front().said.result == result_of("right")));
    b.check();
}

BOOST_AUTO_TEST_CASE(claims_on_another_state_are_stale) {
    auto b = book_at(0);
    auto c = claim_by(1, {2, 0}, "right");
    c.state = base::sha256("another state");
    BOOST_TEST((b.add(signed_claim(c)) == added::stale));
    BOOST_TEST(b.fold() == 0u);
}

BOOST_AUTO_TEST_CASE(two_alike_match_and_two_unlike_are_disputed) {
    auto b = book_at(0);
    put(b, 1, 0, "right");
    put(b, 2, 0, "right");
    BOOST_TEST((b.standing(0) == item_standing::matched));
    put(b, 1, 1, "right");
    put(b, 2, 1, "wrong");
    BOOST_TEST((b.standing(1) == item_standing::disputed));
    BOOST_TEST((b.resolved(1) == nullptr));
    BOOST_TEST(b.disputed().contains(1));
    // The node's own computation decides for itself.
    put(b, 0, 1, "right");
    BOOST_TEST((b.standing(1) == item_standing::defended));
    BOOST_TEST((b.resolved(1)->said.result == result_of("right")));
    b.check();
}

BOOST_AUTO_TEST_CASE(a_third_claim_settles_a_dispute_for_who_did_not_compute) {
    auto b = book_at(0);
    put(b, 1, 1, "wrong");
    put(b, 2, 1, "right");
    put(b, 3, 1, "right");
    BOOST_TEST((b.standing(1) == item_standing::defended));
    BOOST_TEST((b.resolved(1)->said.result == result_of("right")));
}

BOOST_AUTO_TEST_CASE(own_computation_outweighs_any_number) {
    auto b = book_at(0);
    put(b, 0, 0, "right");
    put(b, 1, 0, "wrong");
    put(b, 2, 0, "wrong");
    BOOST_TEST((b.resolved(0)->said.result == result_of("right")));
    auto results = right_results();
    results[0] = result_of("wrong");
    b.close(results);
    BOOST_TEST((b.standing(0) == item_standing::refuted));
    BOOST_TEST(b.refuted().contains(0));
    b.check();
}

BOOST_AUTO_TEST_CASE(what_a_team_computed_is_one_word_among_others_where_a_third_can_tell) {
    auto b = book_at(0);
    b.own_counts(false);
    put(b, 0, 0, "wrong");
    put(b, 1, 0, "right");
    BOOST_TEST((b.standing(0) == item_standing::disputed));
    BOOST_TEST(b.resolved(0) == nullptr);
    put(b, 2, 0, "right");
    BOOST_TEST((b.standing(0) == item_standing::defended));
    BOOST_TEST((b.resolved(0)->said.result == result_of("right")));
    b.check();
    // As soon as there is nobody to tell, its own word is all that there is.
    b.own_counts(true);
    BOOST_TEST((b.resolved(0)->said.result == result_of("wrong")));
    b.check();
    // A sum is computed here, by whomever the lanes were.
    const auto merge = small_shape().merge_item();
    b.own_counts(false);
    put(b, 0, merge, "right");
    put(b, 1, merge, "wrong");
    put(b, 2, merge, "wrong");
    BOOST_TEST((b.resolved(merge)->said.result == result_of("right")));
}

BOOST_AUTO_TEST_CASE(a_closed_round_is_measured_by_its_entry) {
    auto b = book_at(0);
    put(b, 1, 0, "wrong");
    put(b, 2, 0, "wrong");
    put(b, 1, 1, "right");
    put(b, 1, 2, "wrong");
    b.close(right_results());
    BOOST_TEST((b.standing(0) == item_standing::refuted));
    BOOST_TEST((b.standing(1) == item_standing::single));
    BOOST_TEST((b.standing(2) == item_standing::disputed));
    BOOST_TEST((b.standing(3) == item_standing::unclaimed));
    BOOST_TEST(!b.settled());
    put(b, 0, 2, "right");
    BOOST_TEST((b.standing(2) == item_standing::defended));
    b.check();
}

BOOST_AUTO_TEST_CASE(giving_up_settles_and_a_late_check_still_counts) {
    auto b = book_at(0);
    for (std::uint32_t item = 0; item < 6; ++item) put(b, 0, item, "right");
    put(b, 1, 3, "right");
    b.close(right_results());
    BOOST_TEST(!b.settled());
    const auto lanes = b.mark_unchecked();
    BOOST_TEST(lanes == (std::vector<std::uint32_t>{0, 1, 2}), boost::test_tools::per_element());
    BOOST_TEST(b.settled());
    BOOST_TEST(b.lanes_matched() == 1u);
    put(b, 1, 0, "right");
    BOOST_TEST((b.standing(0) == item_standing::matched));
    b.check();
}

BOOST_AUTO_TEST_CASE(claims_an_item_are_bounded_but_own_ones_always_fit) {
    auto b = book_at(200);
    for (std::uint8_t i = 0; i < claims_per_item_max; ++i) {
        BOOST_TEST((put(b, i, 0, "right") == added::fresh));
    }
    BOOST_TEST((put(b, 100, 0, "right") == added::full));
    BOOST_TEST((put(b, 200, 0, "right") == added::fresh));
    b.check();
}

BOOST_AUTO_TEST_CASE(full_items_are_alike_whoever_claimed_them_first) {
    auto a = book_at(200), b = book_at(201);
    for (std::uint8_t i = 0; i < claims_per_item_max; ++i) {
        BOOST_TEST(a.has_room(0, node(i)));
        put(a, i, 0, "right");
        if (i > 0) put(b, i, 0, "right");
    }
    BOOST_TEST(a.fold() != b.fold());
    BOOST_TEST((a.tags(7, 0) != b.tags(7, 0)));
    put(b, 100, 0, "right");
    put(b, 201, 0, "right");
    BOOST_TEST(a.fold() == b.fold());
    BOOST_TEST(a.tags(7, 0) == b.tags(7, 0), boost::test_tools::per_element());
    BOOST_TEST(!a.has_room(0, node(100)));
    BOOST_TEST(a.has_room(0, node(200)));
    put(a, 3, 1, "right");
    BOOST_TEST(a.fold() != b.fold());
    a.check();
    b.check();
}

BOOST_AUTO_TEST_CASE(the_closing_round_has_no_lanes) {
    round_book b(small_shape(), 6, base::sha256("state"), node(0));
    BOOST_TEST(b.unclaimed() == (std::set<std::uint32_t>{4, 5}), boost::test_tools::per_element());
    BOOST_TEST(b.lanes_matched() == 0u);
}

BOOST_AUTO_TEST_CASE(tags_tell_apart_what_differs_and_nothing_else) {
    auto a = book_at(0);
    auto b = book_at(1);
    put(a, 2, 0, "right");
    put(b, 2, 0, "right");
    put(a, 2, 1, "right");
    put(b, 3, 2, "right");
    std::set<std::size_t> seen;
    for (std::uint64_t nonce = 0; nonce < 50; ++nonce) {
        const auto ta = a.tags(nonce, 0);
        const auto tb = b.tags(nonce, 0);
        BOOST_REQUIRE(ta.size() == 6u);
        for (std::size_t i = 0; i < 6; ++i) {
            if (ta[i] != tb[i]) seen.insert(i);
        }
    }
    BOOST_TEST(seen == (std::set<std::size_t>{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(a.tags(1, 4).size() == 2u);
}

BOOST_AUTO_TEST_CASE(the_order_of_arrival_leaves_no_trace) {
    BOOST_TEST(rc::check("any order gives the same book", [] {
        struct told {
            std::uint8_t node;
            std::uint32_t item;
            bool right;
        };
        // One claim a node and item: a node that says two things is kept by what arrives first.
        std::vector<told> all;
        for (std::uint8_t i = 0; i < 4; ++i) {
            for (std::uint32_t item = 0; item < 4; ++item) {
                if (*rc::gen::arbitrary<bool>())
                    all.push_back({i, item, *rc::gen::arbitrary<bool>()});
            }
        }
        auto shuffled = all;
        for (std::size_t i = shuffled.size(); i > 1; --i) {
            std::swap(shuffled[i - 1], shuffled[*rc::gen::inRange<std::size_t>(0, i)]);
        }
        const bool close_first = *rc::gen::arbitrary<bool>();
        const auto fill = [](const std::vector<told>& claims, bool first) {
            auto b = book_at(0);
            if (first) b.close(right_results());
            for (const auto& t : claims) put(b, t.node, t.item, t.right ? "right" : "wrong");
            if (!first) b.close(right_results());
            b.check();
            return b;
        };
        const auto a = fill(all, false);
        const auto b = fill(shuffled, close_first);
        RC_ASSERT(a.fold() == b.fold());
        RC_ASSERT(a.undecided() == b.undecided());
        RC_ASSERT(a.unclaimed() == b.unclaimed());
        for (std::uint32_t item = 0; item < 4; ++item) {
            RC_ASSERT(a.standing(item) == b.standing(item));
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
