#include "ledger/verify.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>

#include "ledger/show.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

/// A ledger in memory, chained by the writer's own code, that a test can spoil.
struct chain {
    std::vector<entry> entries;
    growing_tree tree;

    chain() {
        base::signed_note note;
        note.text = opening_text({alice.node, alice.certificate, noon});
        note.sign(log_name, *alice.log);
        add(note.encode());
    }
    void add(const std::string& note) {
        base::digest prev;
        if (!entries.empty()) prev = base::sha256(entries.back().bytes());
        entries.push_back({{entries.size()}, prev, note});
        tree.add(base::merkle_leaf(base::as_bytes(entries.back().bytes())));
    }
    std::string head(const identity& who = alice) const {
        base::signed_note note;
        const auto origin = checkpoint_origin(alice.node);
        note.text = checkpoint_text({origin, tree.size(), tree.root()});
        note.sign(origin, *who.log);
        return note.encode();
    }
    std::string text() const {
        std::string out;
        for (const auto& e : entries) out += export_line(e);
        return out + export_head_line(head());
    }
};

std::string receipt_note(std::uint64_t lane, receipt_verdict verdict = receipt_verdict::matched) {
    auto f = lane_facts(alice, bob, 0, lane);
    f.verdict = verdict;
    return signed_receipt(f, alice, bob).encode();
}

audit_report audit(const std::string& text) {
    const auto report = verify_export(text);
    BOOST_REQUIRE_MESSAGE(report, report.error().message());
    return *report;
}

/// The only fault: "3: reason", or "head: reason".
std::string fault_of(const audit_report& report) {
    BOOST_REQUIRE_EQUAL(report.faults.size(), 1);
    const auto& f = report.faults[0];
    return (f.entry ? std::to_string(f.entry->value) : "head") + ": " + f.reason;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(ledger_verify)

BOOST_AUTO_TEST_CASE(accepts_every_kind_of_entry) {
    chain c;
    c.add(receipt_note(0));
    c.add(receipt_note(1, receipt_verdict::refuted));
    c.add(signed_receipt(unchecked_facts(alice, 0, 2), alice, bob).encode());
    auto f = lane_facts(bob, alice, 0, 3);
    c.add(signed_unanswered(f, bob, alice).encode());
    c.add(signed_receipt(f, bob, alice).encode());  // the late answer
    f.verdict = receipt_verdict::unanswered;
    f.lane = base::lane_index{4};
    c.add(signed_receipt(f, bob, alice).encode());
    const auto report = audit(c.text());
    BOOST_TEST(report.ok());
    BOOST_TEST(report.entries == 7);
    BOOST_TEST(report.receipts == 5);
    BOOST_TEST(report.unanswered == 1);
    BOOST_TEST((report.head == c.tree.root()));
    BOOST_TEST(report_text(report).starts_with("ok: 7 entries (5 receipts, 1 unanswered), head " +
                                               c.tree.root().hex()));
}

BOOST_AUTO_TEST_CASE(names_the_entry_whose_signature_does_not_verify) {
    chain c;
    for (std::uint64_t i = 0; i < 4; ++i) c.add(receipt_note(i));
    auto& note = c.entries[2].note;
    note.replace(note.find("tokens 8192"), 11, "tokens 9192");
    BOOST_TEST(fault_of(audit(c.text())) ==
               "2: has a signature of tequio/worker that does not verify");
}

BOOST_AUTO_TEST_CASE(names_a_dropped_entry) {
    chain c;
    for (std::uint64_t i = 0; i < 4; ++i) c.add(receipt_note(i));
    c.entries.erase(c.entries.begin() + 2);
    BOOST_TEST(fault_of(audit(c.text())) == "2: is missing: the next row is entry 3");
}

BOOST_AUTO_TEST_CASE(names_an_entry_dropped_with_later_ones_renumbered) {
    chain c;
    for (std::uint64_t i = 0; i < 4; ++i) c.add(receipt_note(i));
    c.entries.erase(c.entries.begin() + 2);
    for (std::uint64_t i = 2; i < c.entries.size(); ++i) c.entries[i].index = {i};
    const auto report = audit(c.text());
    BOOST_REQUIRE(!report.ok());
    BOOST_TEST(report.faults[0].entry->value == 2);
}

BOOST_AUTO_TEST_CASE(sees_an_end_that_was_cut_off) {
    chain c;
    for (std::uint64_t i = 0; i < 4; ++i) c.add(receipt_note(i));
    const auto head = c.head();
    auditor a;
    for (std::uint64_t i = 0; i < 3; ++i) {
        const auto& e = c.entries[i];
        a.add({i, {e.prev.bytes.begin(), e.prev.bytes.end()}, {}, e.note, {}});
    }
    BOOST_TEST(fault_of(a.finish(head, "")) ==
               "3: is missing: a head over 5 entries was signed (the end was cut off)");
}

BOOST_AUTO_TEST_CASE(sees_by_the_second_head_that_entries_and_head_were_both_put_back) {
    chain longer, shorter;
    for (std::uint64_t i = 0; i < 4; ++i) longer.add(receipt_note(i));
    shorter.add(receipt_note(0));
    const auto finish = [&](const std::string& second) {
        auditor a;
        for (const auto& e : shorter.entries) {
            a.add({e.index.value, {e.prev.bytes.begin(), e.prev.bytes.end()}, {}, e.note, {}});
        }
        return a.finish(shorter.head(), second);
    };
    BOOST_TEST(finish(shorter.head()).ok());
    BOOST_TEST(fault_of(finish(longer.head())) ==
               "2: is missing: a head over 5 entries was signed (the end was cut off)");
    chain other;
    other.add(receipt_note(9));
    BOOST_TEST(fault_of(finish(other.head())) ==
               "head: two signed heads of this ledger contradict");
}

BOOST_AUTO_TEST_CASE(finds_work_receipted_twice) {
    chain c;
    c.add(receipt_note(0));
    c.add(receipt_note(1));
    c.add(receipt_note(0, receipt_verdict::refuted));
    BOOST_TEST(fault_of(audit(c.text())) ==
               "3: says again what entry 1 said: one piece of work is receipted once");
}

BOOST_AUTO_TEST_CASE(finds_receipts_that_are_not_this_nodes) {
    chain c;
    c.add(signed_receipt(lane_facts(bob, carol), bob, carol).encode());
    BOOST_TEST(fault_of(audit(c.text())) ==
               "1: is not about this ledger's node, or under another log key");
}

BOOST_AUTO_TEST_CASE(finds_silence_claimed_after_an_answer) {
    chain c;
    const auto f = lane_facts(bob, alice, 0, 3);
    c.add(signed_receipt(f, bob, alice).encode());
    c.add(signed_unanswered(f, bob, alice).encode());
    BOOST_TEST(fault_of(audit(c.text())) ==
               "2: says that a receipt was not answered which stands before it");
}

BOOST_AUTO_TEST_CASE(wants_a_head_signed_by_this_ledgers_key) {
    chain c;
    c.add(receipt_note(0));
    std::string entries;
    for (const auto& e : c.entries) entries += export_line(e);
    BOOST_TEST(fault_of(audit(entries)) == "head: the signed head is missing");
    BOOST_TEST(fault_of(audit(entries + export_head_line(c.head(bob)))) ==
               "head: the signed head has a signature of tequio/log/" + alice.node.hex() +
                   " by an unknown key");
}

BOOST_AUTO_TEST_CASE(an_empty_export_is_not_a_ledger) {
    BOOST_TEST(!audit("").ok());
    BOOST_TEST(!verify_export("{}\n").has_value());
    BOOST_TEST(!verify_export("[1]\n").has_value());
    BOOST_TEST(!verify_export("{\"index\":0,\"prev\":\"\",\"note\":1}\n").has_value());
    BOOST_TEST(!verify_export("{\"index\":-1,\"prev\":\"\",\"note\":\"\"}\n").has_value());
}

BOOST_AUTO_TEST_CASE(reads_files_of_both_forms) {
    const scratch_folder folder;
    chain c;
    c.add(receipt_note(0));
    std::ofstream(folder.file("export.jsonl"), std::ios::binary) << c.text();
    BOOST_TEST(verify_file(folder.file("export.jsonl"))->ok());
    BOOST_REQUIRE(store::open(folder.file("ledger.db"), alice.owner(), noon));
    BOOST_TEST(verify_file(folder.file("ledger.db"))->ok());
    BOOST_TEST(verify_file(folder.file("nowhere")).error().is(errc::not_found));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(ledger_show)

BOOST_AUTO_TEST_CASE(text_has_a_line_an_entry) {
    chain c;
    c.add(receipt_note(7));
    c.add(signed_unanswered(lane_facts(bob, alice, 0, 3), bob, alice).encode());
    const auto text = show_text(c.entries);
    BOOST_TEST(text.find("1        2026-11-23T12:00:00Z  lane        " +
                         lane_facts(alice, bob).task.brief() + "  0      7      -      " +
                         alice.node.brief() + "  " + bob.node.brief() + "  matched\n") !=
               std::string::npos);
    BOOST_TEST(text.find("matched (unanswered)\n") != std::string::npos);
    BOOST_TEST(text.find("opening") != std::string::npos);
    BOOST_TEST(show_text({}) == "no entries\n");
}

BOOST_AUTO_TEST_CASE(json_has_a_schema_and_the_note_verbatim) {
    chain c;
    c.add(receipt_note(7));
    const auto text = show_json(c.entries);
    BOOST_TEST(text.starts_with("{\"schema\":\"tequio/ledger-show/1\",\"entries\":[{\"index\":0,"));
    BOOST_TEST(text.find("\"verdict\":\"matched\",\"answered\":true") != std::string::npos);
    BOOST_TEST(text.find("\"lane\":7,\"slice\":null,") != std::string::npos);
    const auto report = report_json(audit(c.text()));
    BOOST_TEST(report.find("\"entries\":2,\"head\":\"" + c.tree.root().hex() + "\",\"ok\":true") !=
               std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
