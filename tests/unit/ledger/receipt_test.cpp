#include "ledger/receipt.hpp"

#include <boost/test/unit_test.hpp>

#include "base/text.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

/// The text with the line of `name` replaced by `line` (without newline).
std::string with_line(const std::string& text, const std::string& name, const std::string& line) {
    std::string out;
    for (const auto l : base::split(text, '\n')) {
        if (l.empty()) continue;
        out += (l.starts_with(name + " ") ? line : std::string(l)) + "\n";
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(receipt_text_form)

BOOST_AUTO_TEST_CASE(has_the_documented_lines_in_order) {
    const auto text = receipt_text(receipt_of(lane_facts(alice, bob), alice, bob));
    std::string names;
    for (const auto line : base::split(text, '\n')) {
        names += std::string(line.substr(0, line.find(' '))) + ";";
    }
    BOOST_TEST(names ==
               "tequio/receipt/v1;kind;swarm;task;recipe;round;lane;slice;worker;checker;state;"
               "contribution;tokens;flops;verdict;time;worker-key;checker-key;;");
    BOOST_TEST(text.find("\nswarm -\n") != std::string::npos);
    BOOST_TEST(text.find("\ntime 2026-11-23T12:00:00Z\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(reads_back_what_it_wrote_for_every_verdict) {
    for (const auto verdict :
         {receipt_verdict::matched, receipt_verdict::refuted, receipt_verdict::unchecked,
          receipt_verdict::unanswered, receipt_verdict::refused}) {
        auto f =
            verdict == receipt_verdict::unchecked ? unchecked_facts(alice) : lane_facts(alice, bob);
        f.verdict = verdict;
        const auto r = receipt_of(f, alice, bob);
        const auto back = parse_receipt(receipt_text(r));
        BOOST_REQUIRE_MESSAGE(back, back.error().message());
        BOOST_TEST((*back == r));
        BOOST_TEST(
            verify_receipt(signed_receipt(f, alice, bob), signatures_wanted::all).has_value());
        BOOST_TEST(signed_receipt(f, alice, bob).encode().size() <= receipt_size_max_bytes);
    }
}

BOOST_AUTO_TEST_CASE(refuses_every_text_but_the_canonical_one) {
    const auto text = receipt_text(receipt_of(lane_facts(alice, bob), alice, bob));
    const auto refused = [](const std::string& t) { return !parse_receipt(t); };
    BOOST_TEST(refused(with_line(text, "round", "round 03")));
    BOOST_TEST(refused(with_line(text, "round", "round +3")));
    BOOST_TEST(refused(with_line(text, "round", "round  3")));
    BOOST_TEST(refused(with_line(text, "round", "round 18446744073709551616")));
    BOOST_TEST(refused(with_line(text, "swarm", "swarm " + std::string(64, '0'))));
    BOOST_TEST(refused(with_line(text, "task", "task " + std::string(64, 'A'))));
    BOOST_TEST(refused(with_line(text, "task", "task " + std::string(63, 'a'))));
    BOOST_TEST(refused(with_line(text, "kind", "kind lanes")));
    BOOST_TEST(refused(with_line(text, "verdict", "verdict good")));
    BOOST_TEST(refused(with_line(text, "time", "time 2026-11-23T12:00:00+00:00")));
    BOOST_TEST(refused(with_line(text, "time", "time 2026-02-30T12:00:00Z")));
    BOOST_TEST(refused(text + "\n"));
    BOOST_TEST(refused(text + "extra 1\n"));
    BOOST_TEST(refused(text.substr(0, text.size() - 1)));
    BOOST_TEST(refused(""));
    BOOST_TEST(refused(text + std::string(receipt_size_max_bytes, 'x')));
}

BOOST_AUTO_TEST_CASE(names_the_field_that_is_wrong) {
    const auto text = receipt_text(receipt_of(lane_facts(alice, bob), alice, bob));
    const auto r = parse_receipt(with_line(text, "tokens", "tokens many"));
    BOOST_REQUIRE(!r);
    BOOST_TEST(r.error().is(errc::bad_receipt));
    BOOST_TEST(r.error().message() ==
               "tokens: found \"many\", allowed: a decimal number below 2^64");
}

BOOST_AUTO_TEST_CASE(keeps_the_rules_of_kind_and_verdict) {
    const auto in_form = [](receipt_facts f, auto change) {
        auto r = receipt_of(f, alice, bob);
        change(r);
        return check_form(r).has_value();
    };
    const auto matched = lane_facts(alice, bob);
    BOOST_TEST(in_form(matched, [](receipt&) {}));
    BOOST_TEST(!in_form(matched, [](receipt& r) { r.facts.lane.reset(); }));
    BOOST_TEST(!in_form(matched, [](receipt& r) { r.facts.kind = receipt_kind::validation; }));
    BOOST_TEST(!in_form(matched, [](receipt& r) { r.facts.checker = alice.node; }));
    BOOST_TEST(!in_form(matched, [](receipt& r) { r.facts.checker.reset(); }));
    BOOST_TEST(!in_form(matched, [](receipt& r) { r.worker_key.reset(); }));
    BOOST_TEST(!in_form(matched, [](receipt& r) { r.checker_key.reset(); }));
    BOOST_TEST(!in_form(unchecked_facts(alice), [](receipt& r) { r.facts.checker = bob.node; }));
    BOOST_TEST(!in_form(matched, [](receipt& r) {
        r.facts.kind = receipt_kind::merge;
        r.facts.lane.reset();
        r.facts.slice = 0;
    }));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(receipt_signatures)

BOOST_AUTO_TEST_CASE(accepts_exactly_the_signatures_that_the_verdict_asks_for) {
    const auto good = signed_receipt(lane_facts(alice, bob), alice, bob);
    const auto verifies = [](const base::signed_note& n) {
        return verify_receipt(n, signatures_wanted::all).has_value();
    };
    BOOST_TEST(verifies(good));
    auto missing = good;
    missing.signatures.pop_back();
    BOOST_TEST(!verifies(missing));
    auto swapped = good;
    std::swap(swapped.signatures[0], swapped.signatures[1]);
    BOOST_TEST(!verifies(swapped));
    auto extra = good;
    extra.sign("tequio/witness", *carol.log);
    BOOST_TEST(!verifies(extra));
    auto flipped = good;
    flipped.signatures[1].blob[10] ^= 1;
    BOOST_TEST(!verifies(flipped));
}

BOOST_AUTO_TEST_CASE(refuses_a_log_key_that_the_root_did_not_certify) {
    auto r = receipt_of(lane_facts(alice, bob), alice, bob);
    // Carol's certificate is real, but it is not the worker's.
    r.worker_key = carol.certificate;
    base::signed_note note;
    note.text = receipt_text(r);
    note.sign(worker_name, *carol.log);
    note.sign(checker_name, *bob.log);
    const auto verified = verify_receipt(note, signatures_wanted::all);
    BOOST_REQUIRE(!verified);
    BOOST_TEST(verified.error().is(errc::bad_signature));
}

BOOST_AUTO_TEST_CASE(an_offer_bears_the_checkers_signature_alone) {
    auto offer = signed_receipt(lane_facts(alice, bob), alice, bob);
    offer.signatures.erase(offer.signatures.begin());
    BOOST_TEST(verify_receipt(offer, signatures_wanted::drafter).has_value());
    BOOST_TEST(!verify_receipt(offer, signatures_wanted::all).has_value());
    const auto own = signed_receipt(unchecked_facts(alice), alice, bob);
    BOOST_TEST(!verify_receipt(own, signatures_wanted::drafter).has_value());
}

BOOST_AUTO_TEST_CASE(certificate_is_a_note_that_the_root_key_verifies) {
    const auto note = key_certificate_note(alice.node, log_role, alice.certificate);
    const auto back = base::parse_signed_note(note.encode());
    BOOST_REQUIRE(back);
    BOOST_TEST(back->verify({"tequio/root", alice.root.public_part()}).has_value());
    BOOST_TEST(log_key_verifies(alice.node, alice.certificate));
    BOOST_TEST(!log_key_verifies(bob.node, alice.certificate));
    // A key certified for another role does not sign receipts.
    BOOST_TEST(!log_key_verifies(alice.node,
                                 certify_key(alice.root, "message", alice.log->public_part())));
}

BOOST_AUTO_TEST_CASE(statement_key_changes_with_what_was_said_about) {
    const auto f = lane_facts(alice, bob);
    const auto key = statement_key(statement::receipt, f);
    BOOST_TEST((key != statement_key(statement::unanswered, f)));
    const auto differs = [&](auto change) {
        auto g = f;
        change(g);
        return statement_key(statement::receipt, g) != key;
    };
    BOOST_TEST(differs([](receipt_facts& g) { g.round = {4}; }));
    BOOST_TEST(differs([](receipt_facts& g) { g.lane = base::lane_index{6}; }));
    BOOST_TEST(differs([](receipt_facts& g) { g.kind = receipt_kind::check; }));
    BOOST_TEST(differs([](receipt_facts& g) { g.checker = carol.node; }));
    BOOST_TEST(differs([](receipt_facts& g) { g.worker = carol.node; }));
    BOOST_TEST(differs([](receipt_facts& g) { g.slice = 1; }));
    // Two verdicts on the same work are two texts for one key: that is the double signature.
    BOOST_TEST(!differs([](receipt_facts& g) { g.verdict = receipt_verdict::refuted; }));
    BOOST_TEST(!differs([](receipt_facts& g) { g.contribution = {}; }));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(unanswered)

BOOST_AUTO_TEST_CASE(reads_back_with_and_without_record_and_worker_key) {
    for (const bool with_record : {false, true}) {
        for (const bool with_key : {false, true}) {
            unanswered_note n;
            n.time = noon;
            n.offered = receipt_of(lane_facts(alice, bob), alice, bob);
            if (with_record) n.record = {0, 1, 2, 255};
            if (!with_key) n.offered.worker_key.reset();
            base::signed_note note;
            note.text = unanswered_text(n);
            note.sign(checker_name, *bob.log);
            const auto back = verify_unanswered(note);
            BOOST_REQUIRE_MESSAGE(back, back.error().message());
            BOOST_TEST((*back == n));
        }
    }
}

BOOST_AUTO_TEST_CASE(is_signed_by_the_checker_and_nobody_else) {
    auto note = signed_unanswered(lane_facts(alice, bob), alice, bob);
    BOOST_TEST(verify_unanswered(note).has_value());
    note.signatures.clear();
    note.sign(checker_name, *alice.log);
    BOOST_TEST(!verify_unanswered(note).has_value());
}

BOOST_AUTO_TEST_CASE(quotes_only_what_both_sides_would_sign) {
    const auto note = signed_unanswered(lane_facts(alice, bob), alice, bob);
    auto text = with_line(note.text, "> verdict", "> verdict unanswered");
    BOOST_TEST(!parse_unanswered(text).has_value());
    BOOST_TEST(!parse_unanswered(with_line(note.text, "reason", "reason bored")).has_value());
    BOOST_TEST(!parse_unanswered(with_line(note.text, "record", "record AQ=")).has_value());
    BOOST_TEST(!parse_unanswered(note.text + "tail\n").has_value());
}

BOOST_AUTO_TEST_SUITE_END()
