#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/checks.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

constexpr item_key key{2, 1};

/// One side of a check: its book, its desk, and what came of it.
struct side {
    explicit side(std::uint8_t i)
        : id(node(i)), book(book_at(i)), desk(small_shape(), node(i), timings) {}

    void learns(const claim& c) {
        book.add(signed_claim(c));
        desk.pair_up(now, book, key.item, out);
    }
    void claims(const claim& c, const base::digest& trace) {
        desk.own_trace(key, trace);
        learns(c);
    }
    std::vector<check_recorded> records() const {
        std::vector<check_recorded> found;
        for (const auto& effect : out) {
            if (const auto* r = std::get_if<check_recorded>(&effect)) found.push_back(*r);
        }
        return found;
    }
    std::vector<check_desk::saying> beat(base::duration when) {
        now = base::time_point(when);
        return desk.beat(now, out);
    }

    crew_timings timings;
    base::time_point now{};
    base::node_id id;
    round_book book;
    check_desk desk;
    std::vector<crew_effect> out;
};

claim check_of(std::uint8_t i, std::uint8_t worker, std::string_view what) {
    auto c = claim_by(i, key, what);
    c.of = node(worker);
    return c;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_checks)

BOOST_AUTO_TEST_CASE(both_sides_record_one_match) {
    side worker(1), checker(2);
    const auto work = claim_by(1, key, "right");
    const auto check = check_of(2, 1, "right");
    worker.claims(work, trace_of("right"));
    checker.learns(work);
    checker.claims(check, trace_of("right"));
    worker.learns(check);

    const auto said = worker.beat(0s);
    BOOST_REQUIRE(said.size() == 1u);
    BOOST_TEST(said[0].show);
    BOOST_TEST((said[0].to == checker.id));
    BOOST_TEST(checker.beat(0s).empty());  // the worker speaks first
    BOOST_TEST(checker.desk.heard(&checker.book, {worker.id, key, trace_of("right")}, checker.out));
    BOOST_TEST(!worker.desk.heard(&worker.book, {checker.id, key, trace_of("right")}, worker.out));

    BOOST_REQUIRE(worker.records().size() == 1u);
    BOOST_REQUIRE(checker.records().size() == 1u);
    for (const auto& r : {worker.records()[0], checker.records()[0]}) {
        BOOST_TEST((r.verdict == check_verdict::matched));
        BOOST_TEST((r.worker == worker.id));
        BOOST_TEST((r.checker == checker.id));
        BOOST_TEST((r.result == work.result));
        BOOST_TEST((r.trace == trace_of("right")));
        BOOST_TEST((r.commitment == work.commitment));
        BOOST_TEST((r.checker_commitment == check.commitment));
    }
    BOOST_TEST(worker.beat(60s).empty());
    BOOST_TEST(worker.records().size() == 1u);
    worker.desk.check();
}

BOOST_AUTO_TEST_CASE(of_two_workers_the_smaller_id_is_the_worker) {
    side a(1), b(2);
    a.claims(claim_by(1, key, "right"), trace_of("right"));
    b.claims(claim_by(2, key, "right"), trace_of("right"));
    a.learns(claim_by(2, key, "right"));
    b.learns(claim_by(1, key, "right"));
    a.desk.heard(&a.book, {b.id, key, trace_of("right")}, a.out);
    b.desk.heard(&b.book, {a.id, key, trace_of("right")}, b.out);
    BOOST_TEST((a.records().at(0).worker == a.id));
    BOOST_TEST((b.records().at(0).worker == a.id));
}

BOOST_AUTO_TEST_CASE(a_copier_cannot_open_the_right_trace) {
    side worker(1);
    worker.claims(claim_by(1, key, "right"), trace_of("right"));
    auto copied = check_of(2, 1, "right");
    copied.commitment = commitment_of(copied.result, trace_of("guess"), node(2));
    worker.learns(copied);
    // Showing another trace than it committed to is not heard at all,
    worker.desk.heard(&worker.book, {node(2), key, trace_of("right")}, worker.out);
    BOOST_TEST(worker.records().empty());
    // and the committed one refutes it.
    worker.desk.heard(&worker.book, {node(2), key, trace_of("guess")}, worker.out);
    BOOST_TEST((worker.records().at(0).verdict == check_verdict::refuted));
}

BOOST_AUTO_TEST_CASE(results_that_differ_are_refuted_without_opening) {
    side checker(2);
    checker.learns(claim_by(1, key, "wrong"));
    checker.claims(check_of(2, 1, "right"), trace_of("right"));
    const auto r = checker.records().at(0);
    BOOST_TEST((r.verdict == check_verdict::refuted));
    BOOST_TEST((r.result == result_of("wrong")));
    BOOST_TEST((r.checker_result == result_of("right")));
    BOOST_TEST(!checker.desk.may_show(checker.book, key, node(1)));
}

BOOST_AUTO_TEST_CASE(traces_are_shown_to_claimants_of_the_same_result_only) {
    side worker(1);
    worker.claims(claim_by(1, key, "right"), trace_of("right"));
    BOOST_TEST(!worker.desk.may_show(worker.book, key, node(2)));
    worker.learns(check_of(2, 1, "right"));
    BOOST_TEST(worker.desk.may_show(worker.book, key, node(2)));
}

BOOST_AUTO_TEST_CASE(a_side_that_is_silent_ends_as_unanswered) {
    side checker(2);
    checker.learns(claim_by(1, key, "right"));
    checker.claims(check_of(2, 1, "right"), trace_of("right"));
    std::size_t asked = 0;
    for (base::duration t = 500ms; t <= 11s; t += 500ms) asked += checker.beat(t).size();
    BOOST_TEST(asked >= 8u);
    BOOST_TEST(asked <= 11u);
    const auto r = checker.records().at(0);
    BOOST_TEST((r.verdict == check_verdict::unanswered));
    BOOST_TEST(r.trace.is_zero());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
