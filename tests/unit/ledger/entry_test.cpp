#include "ledger/entry.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {}  // namespace

BOOST_AUTO_TEST_SUITE(entries)

BOOST_AUTO_TEST_CASE(bytes_are_the_documented_text) {
    const entry e{{5}, base::sha256("before"), "a note\n"};
    BOOST_TEST(e.bytes() ==
               "tequio/entry/v1\nindex 5\nprev " + base::sha256("before").hex() + "\n\na note\n");
    const auto back = parse_entry(e.bytes());
    BOOST_REQUIRE(back);
    BOOST_TEST((*back == e));
    BOOST_TEST(!parse_entry("tequio/entry/v1\nindex 05\nprev " + e.prev.hex() + "\n\nx"));
    BOOST_TEST(!parse_entry("tequio/entry/v1\nindex 5\nprev " + e.prev.hex() + "\nx"));
}

BOOST_AUTO_TEST_CASE(growing_tree_has_the_root_of_rfc_6962_at_every_size) {
    growing_tree tree;
    std::vector<base::digest> leaves;
    BOOST_TEST((tree.root() == base::merkle_root(leaves)));
    for (int i = 0; i < 70; ++i) {
        leaves.push_back(base::merkle_leaf(base::as_bytes("leaf " + std::to_string(i))));
        tree.add(leaves.back());
        BOOST_TEST((tree.root() == base::merkle_root(leaves)), "size " << leaves.size());
    }
}

BOOST_AUTO_TEST_CASE(opening_is_signed_by_a_certified_log_key) {
    const opening_note o{alice.node, alice.certificate, noon};
    base::signed_note note;
    note.text = opening_text(o);
    note.sign(log_name, *alice.log);
    const auto content = verify_entry_note(note.encode());
    BOOST_REQUIRE(content);
    BOOST_TEST((std::get<opening_note>(*content) == o));

    base::signed_note forged;
    forged.text = opening_text({alice.node, bob.certificate, noon});
    forged.sign(log_name, *bob.log);
    BOOST_TEST(!verify_entry_note(forged.encode()));
}

BOOST_AUTO_TEST_CASE(checkpoint_is_the_three_lines_of_c2sp) {
    const checkpoint c{checkpoint_origin(alice.node), 20, base::sha256("root")};
    const auto text = checkpoint_text(c);
    BOOST_TEST(text ==
               "tequio/log/" + alice.node.hex() + "\n20\n" + base::to_base64(c.root.view()) + "\n");
    const auto back = parse_checkpoint(text);
    BOOST_REQUIRE(back);
    BOOST_TEST((*back == c));
    BOOST_TEST(!parse_checkpoint(text + "extension\n"));
    BOOST_TEST(!parse_checkpoint("origin\n020\n" + base::to_base64(c.root.view()) + "\n"));
    BOOST_TEST(!parse_checkpoint("origin\n20\nAAAA\n"));
}

BOOST_AUTO_TEST_CASE(an_entry_holds_receipts_unanswered_notes_and_openings_only) {
    const auto f = lane_facts(alice, bob);
    BOOST_TEST(verify_entry_note(signed_receipt(f, alice, bob).encode()).has_value());
    BOOST_TEST(verify_entry_note(signed_unanswered(f, alice, bob).encode()).has_value());
    base::signed_note other;
    other.text = "tequio/task/v1\n";
    other.sign(log_name, *alice.log);
    BOOST_TEST(!verify_entry_note(other.encode()));
    BOOST_TEST(!verify_entry_note(std::string(entry_note_max_bytes + 1, 'a')));
    BOOST_TEST(!verify_entry_note(""));
}

BOOST_AUTO_TEST_SUITE_END()
