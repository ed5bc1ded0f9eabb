#include "training/crew/lottery.hpp"

#include <cmath>

#include "tests/unit/training/crew_fixture.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {
namespace {

constexpr std::uint32_t lanes = 2000;

job_shape wide_shape() {
    return small_shape(lanes);
}

lottery lottery_of(std::uint8_t i, double share = 0.05) {
    return lottery(wide_shape(), node(i), share, result_of("root " + std::to_string(i)));
}

/// Round 2, closed, each lane computed by one of `workers` nodes.
round_book closed_book(std::uint8_t self, std::uint8_t workers) {
    round_book b(wide_shape(), 2, base::sha256("state"), node(self));
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        auto c = claim_by(static_cast<std::uint8_t>(lane % workers), {2, lane},
                          "lane " + std::to_string(lane));
        c.commitment = result_of("commitment " + std::to_string(lane));
        b.add({c, {}});
    }
    std::vector<base::digest> results;
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        results.push_back(result_of("lane " + std::to_string(lane)));
    }
    results.resize(wide_shape().items());
    b.close(std::move(results));
    return b;
}

std::set<std::uint32_t> drawn_by(const lottery& l, std::uint8_t i) {
    std::set<std::uint32_t> out;
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        if (l.drawers(2, lane).contains(node(i))) out.insert(lane);
    }
    return out;
}

/// Three members that have heard one another's commitments while round 2 was to come, then its
/// secrets.
std::vector<lottery> three_members(double share, const round_book& book) {
    std::vector<lottery> out;
    for (std::uint8_t i = 0; i < 3; ++i) out.push_back(lottery_of(i, share));
    for (const std::uint64_t closed : {2, 3}) {
        for (std::uint8_t to = 0; to < 3; ++to) {
            for (std::uint8_t by = 0; by < 3; ++by) {
                if (to == by) continue;
                const auto said = out[by].tickets(1, closed, 4);
                BOOST_TEST(out[to].admissible(node(by), said).has_value());
                out[to].heard(node(by), said, closed, 4);
            }
        }
    }
    for (auto& l : out) {
        for (int calls = 0; !l.drawn_up(2); ++calls) {
            BOOST_REQUIRE(calls < 10);
            l.step(book);
        }
        l.check();
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_lottery)

BOOST_AUTO_TEST_CASE(members_share_out_what_is_asked_and_all_know_afterwards_who_drew_what) {
    for (const double share : {0.05, 0.3}) {
        const auto book = closed_book(0, 3);
        const auto members = three_members(share, book);
        std::set<std::uint32_t> all;
        for (std::uint8_t i = 0; i < 3; ++i) {
            const auto own = drawn_by(members[i], i);
            BOOST_TEST(!own.empty());
            for (const auto& other : members) BOOST_TEST((drawn_by(other, i) == own));
            for (const auto lane : own) BOOST_TEST(lane % 3 != i, "its own lane " << lane);
            all.insert(own.begin(), own.end());
        }
        // Five standard deviations of a binomial distribution.
        const double expected = share * lanes;
        const double tolerance = 5 * std::sqrt(expected * (1 - share));
        BOOST_TEST(std::abs(static_cast<double>(all.size()) - expected) < tolerance,
                   all.size() << " of " << lanes << " drawn, " << expected << " asked");
    }
}

BOOST_AUTO_TEST_CASE(another_commitment_of_the_worker_is_another_draw) {
    auto l = lottery_of(0, 0.5);
    const auto book = closed_book(0, 2);
    l.step(book);
    auto other = lottery_of(0, 0.5);
    round_book changed(wide_shape(), 2, base::sha256("state"), node(0));
    std::vector<base::digest> results(wide_shape().items());
    for (std::uint32_t lane = 0; lane < lanes; ++lane) {
        auto said = book.claims(lane).front().said;
        said.commitment.bytes[0] ^= 1;
        results[lane] = said.result;
        changed.add({said, {}});
    }
    changed.close(std::move(results));
    other.step(changed);
    BOOST_TEST((drawn_by(l, 0) != drawn_by(other, 0)));
}

BOOST_AUTO_TEST_CASE(a_secret_counts_only_when_it_was_committed_to_in_time) {
    const auto book = closed_book(0, 3);
    auto own = lottery_of(0, 0.5);
    const auto other = lottery_of(1, 0.5);
    // Heard of for the first time when round 2 had begun, or had closed.
    own.heard(node(1), other.tickets(2, 2, 2), 3, 5);
    own.heard(node(1), other.tickets(2, 3, 2), 3, 5);
    BOOST_TEST(!own.owes(2, node(1)));
    own.step(book);
    BOOST_TEST(drawn_by(own, 1).empty());
    BOOST_TEST(!drawn_by(own, 0).empty());

    auto in_time = lottery_of(0, 0.5);
    in_time.heard(node(1), other.tickets(2, 2, 2), 2, 5);
    BOOST_TEST(in_time.owes(2, node(1)));
    in_time.heard(node(1), other.tickets(2, 3, 2), 3, 5);
    BOOST_TEST(!in_time.owes(2, node(1)));
    in_time.step(book);
    BOOST_TEST(!drawn_by(in_time, 1).empty());
    // Far ahead is not kept.
    in_time.heard(node(1), other.tickets(5, 2, 5), 2, 4);
    BOOST_TEST(!in_time.owes(5, node(1)));
}

BOOST_AUTO_TEST_CASE(another_secret_or_commitment_than_before_is_refused) {
    auto own = lottery_of(0);
    const auto other = lottery_of(1);
    own.heard(node(1), other.tickets(2, 2, 4), 2, 5);
    auto shown = other.tickets(2, 3, 4);
    BOOST_TEST(own.admissible(node(1), shown).has_value());
    shown[0].value.bytes[5] ^= 1;
    const auto verdict = own.admissible(node(1), shown);
    BOOST_REQUIRE(!verdict.has_value());
    BOOST_TEST(verdict.error().is(errc::bad_message));
    BOOST_TEST(verdict.error().message().find("round 2") != std::string::npos);
    auto again = other.tickets(2, 2, 4);
    again[1].value.bytes[5] ^= 1;
    BOOST_TEST(!own.admissible(node(1), again).has_value());
    // Another node may well say that.
    BOOST_TEST(own.admissible(node(2), again).has_value());
}

BOOST_AUTO_TEST_CASE(a_secret_shown_gives_no_other_away) {
    const auto l = lottery_of(0);
    const auto shown = l.tickets(0, 3, 5);
    BOOST_REQUIRE(shown.size() == 6u);
    for (std::size_t i = 0; i < shown.size(); ++i) {
        BOOST_TEST(shown[i].shown == (i < 3));
        for (std::size_t j = 0; j < shown.size(); ++j) {
            if (i != j) BOOST_TEST((base::sha256(shown[i].value.view()) != shown[j].value));
        }
    }
    // What is committed to is what is shown later.
    const auto later = l.tickets(0, 6, 5);
    BOOST_TEST((base::sha256(later[4].value.view()) == shown[4].value));
}

BOOST_AUTO_TEST_CASE(when_every_lane_is_asked_for_nothing_is_drawn) {
    auto l = lottery_of(0, 1);
    BOOST_TEST(l.takes_all());
    BOOST_TEST(l.tickets(0, 1, 5).empty());
    l.step(closed_book(0, 2));
    BOOST_TEST(l.drawn_up(2));
    BOOST_TEST(drawn_by(l, 0).empty());
}

BOOST_AUTO_TEST_CASE(bounds_of_draws) {
    BOOST_TEST(draw_bound(0, 3) == 0u);
    BOOST_TEST(draw_bound(1, 1) == UINT64_MAX);
    BOOST_TEST(draw_bound(1, 63) == UINT64_MAX);
    const auto of = [](double share, std::size_t among) {
        return std::ldexp(static_cast<double>(draw_bound(share, among)), -64);
    };
    BOOST_TEST(of(0.05, 1) == 0.05, boost::test_tools::tolerance(1e-9));
    for (const std::size_t among : {2, 7, 63}) {
        const double missed = std::pow(1 - of(0.05, among), static_cast<double>(among));
        BOOST_TEST(1 - missed == 0.05, boost::test_tools::tolerance(1e-9));
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(crew_standing)

BOOST_AUTO_TEST_CASE(a_node_is_a_newcomer_until_enough_of_its_results_were_matched) {
    standing_book s;
    for (std::uint64_t round = 0; round < newcomer_lanes / 2; ++round) {
        BOOST_TEST(s.newcomer(node(1)));
        auto b = book_at(0);
        for (std::uint32_t lane = 0; lane < 4; ++lane) {
            b.add(signed_claim(claim_by(1, {2, lane}, "right")));
            if (lane < 2) b.add(signed_claim(claim_by(2, {2, lane}, "right")));
            // A result that nobody looked at says nothing.
            if (lane >= 2) b.add(signed_claim(claim_by(3, {2, lane}, "wrong")));
        }
        b.close(right_results());
        s.count(b, 4);
    }
    BOOST_TEST(!s.newcomer(node(1)));
    BOOST_TEST(!s.newcomer(node(2)));
    BOOST_TEST(s.newcomer(node(3)));
    BOOST_TEST(s.newcomer(node(4)));
}

BOOST_AUTO_TEST_CASE(a_node_that_was_contradicted_begins_again) {
    standing_book s;
    s.believe(node(1));
    s.believe(node(2));
    BOOST_TEST(!s.newcomer(node(1)));
    auto b = book_at(0);
    b.add(signed_claim(claim_by(1, {2, 0}, "wrong")));
    b.add(signed_claim(claim_by(2, {2, 0}, "right")));
    b.add(signed_claim(claim_by(3, {2, 0}, "right")));
    b.close(right_results());
    const auto news = s.count(b, 4);
    BOOST_TEST(s.newcomer(node(1)));
    BOOST_TEST(!s.newcomer(node(2)));
    // Two others' word: no reason to shut it out.
    BOOST_TEST(!s.excluded(node(1)));
    BOOST_REQUIRE(news.size() == 1u);
    BOOST_TEST((news[0].node == node(1) && news[0].contradicted && !news[0].refuted));
}

BOOST_AUTO_TEST_CASE(who_is_known_from_other_jobs_is_no_newcomer_and_who_was_refuted_stays_one) {
    standing_book s;
    s.know({{node(1), newcomer_lanes, false},
            {node(2), newcomer_lanes - 1, false},
            {node(3), 1'000'000, true}});
    BOOST_TEST(!s.newcomer(node(1)));
    BOOST_TEST(s.newcomer(node(2)));
    BOOST_TEST(s.newcomer(node(3)));
    BOOST_TEST(!s.excluded(node(3)));
    auto b = book_at(1);
    for (std::uint8_t i = 1; i <= 3; ++i) b.add(signed_claim(claim_by(i, {2, 0}, "right")));
    b.close(right_results());
    for (std::uint64_t round = 0; round < newcomer_lanes; ++round) s.count(b, 4);
    BOOST_TEST(!s.newcomer(node(1)));
    BOOST_TEST(!s.newcomer(node(2)));
    BOOST_TEST(s.newcomer(node(3)));
    // What is kept of this job begins where the others had come to.
    standing_book again;
    BOOST_TEST(again.decode(s.encode()).has_value());
    BOOST_TEST(!again.newcomer(node(1)));
    BOOST_TEST(!again.newcomer(node(2)));
}

BOOST_AUTO_TEST_CASE(who_was_found_wrong_by_own_computing_is_excluded_for_good) {
    standing_book s;
    s.know({{node(2), newcomer_lanes, false}, {node(3), newcomer_lanes, false}});
    auto b = book_at(1);
    for (std::uint8_t i = 1; i <= 3; ++i) {
        b.add(signed_claim(claim_by(i, {2, 0}, i == 2 ? "wrong" : "right")));
    }
    b.add(signed_claim(claim_by(2, {2, 1}, "right")));
    b.add(signed_claim(claim_by(3, {2, 1}, "right")));
    b.close(right_results());
    const auto news = s.count(b, 4);
    BOOST_REQUIRE(news.size() == 2u);
    BOOST_TEST((news[0].node == node(2)));
    BOOST_TEST((news[0].refuted && news[0].contradicted));
    BOOST_TEST((news[1].node == node(3)));
    BOOST_TEST((!news[1].refuted && !news[1].contradicted));
    BOOST_TEST(news[1].matched == 1u);
    BOOST_TEST(s.excluded(node(2)));
    BOOST_TEST(!s.excluded(node(3)));
    BOOST_TEST(!s.newcomer(node(3)));
    // Not even the word of all others brings it back, nor a restart.
    s.believe(node(2));
    BOOST_TEST(s.newcomer(node(2)));
    standing_book again;
    BOOST_TEST(again.decode(s.encode()).has_value());
    BOOST_TEST(again.excluded(node(2)));
    BOOST_TEST(again.newcomer(node(2)));
    BOOST_TEST(!again.excluded(node(3)));
}

BOOST_AUTO_TEST_CASE(standing_survives_a_restart_and_damage_is_refused) {
    standing_book s;
    s.believe(node(1));
    s.believe(node(7));
    standing_book again;
    BOOST_TEST(again.decode(s.encode()).has_value());
    BOOST_TEST(!again.newcomer(node(1)));
    BOOST_TEST(!again.newcomer(node(7)));
    BOOST_TEST(again.newcomer(node(2)));
    auto bytes = s.encode();
    bytes.pop_back();
    BOOST_TEST(!again.decode(bytes).has_value());
    BOOST_TEST(again.newcomer(node(1)));
    BOOST_TEST(!again.decode(base::byte_vector(33 * 5000)).has_value());
    // Made-up nodes do not make it grow beyond what can be read again.
    for (std::uint32_t i = 0; i < 5000; ++i) {
        s.believe(base::node_id{base::sha256("node " + std::to_string(i)).bytes});
    }
    BOOST_TEST(again.decode(s.encode()).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
