#include "training/chronicle.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>

#include "base/merkle.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

chronicle_entry example_entry(std::uint64_t round = 0, std::size_t lanes = 3) {
    chronicle_entry e;
    e.round = {round};
    e.state_before = base::sha256("state " + std::to_string(round));
    for (std::size_t l = 0; l < lanes; ++l) {
        e.contributions.push_back(base::sha256("lane " + std::to_string(l)));
    }
    e.sum = base::sha256("sum");
    e.mean = {base::sha256("mean"), 12345};
    e.state_after = base::sha256("state " + std::to_string(round + 1));
    e.loss = 5.545177444479562;
    e.validation_loss = 5.25;
    return e;
}

chronicle_entry closing_entry(std::uint64_t round) {
    chronicle_entry e;
    e.round = {round};
    e.state_before = e.state_after = base::sha256("state " + std::to_string(round));
    e.validation_loss = 1.5;
    return e;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(chronicle_test)

BOOST_AUTO_TEST_CASE(entries_read_back) {
    auto without = example_entry(1);
    without.validation_loss.reset();
    for (const auto& e : {example_entry(), without, closing_entry(7), example_entry(2, 1)}) {
        const auto back = parse_chronicle_entry(chronicle_entry_text(e));
        BOOST_REQUIRE_MESSAGE(back, back.error().message());
        BOOST_TEST((*back == e));
    }
}

BOOST_AUTO_TEST_CASE(text_is_as_it_always_was) {
    auto e = example_entry(4, 1);
    e.state_before = e.state_after = e.sum = e.mean.root = e.contributions[0] = {};
    const std::string zeros(64, '0');
    BOOST_TEST(chronicle_entry_text(e) ==
               "tequio/chronicle/v1\nround 4\nstate_before " + zeros + "\nlanes 1\ncontribution " +
                   zeros + "\nsum " + zeros + "\nmean " + zeros +
                   ":12345\nloss 5.545177444479562\nvalidation_loss 5.25\nstate_after " + zeros +
                   "\n");
}

BOOST_AUTO_TEST_CASE(other_forms_are_refused) {
    const auto text = chronicle_entry_text(example_entry());
    const std::vector<std::pair<const char*, const char*>> edits{
        {"chronicle/v1", "chronicle/v2"},
        {"round 0", "round 00"},
        {"round 0", "round -1"},
        {"lanes 3", "lanes 2"},
        {"lanes 3", "lanes 4"},
        {"lanes 3", "lanes 0"},
        {"lanes 3", "lanes 18446744073709551615"},
        {"lanes 3", "lanes 65537"},
        {"mean ", "mean x"},
        {":12345", ":012345"},
        {":12345", ":99999999999999999"},
        {"\nloss 5.545177444479562", "\nloss nan"},
        {"\nloss 5.545177444479562", "\nloss 5.5451774444795620"},
        {"validation_loss 5.25", "validation_loss inf"},
        {"validation_loss 5.25", "validation_loss 5.250"},
        {"validation_loss 5.25", "validation_loss None"},
        {"validation_loss 5.25\n", ""},
        {"state_after ", "state_after  "},
    };
    for (const auto& [from, to] : edits) {
        const auto edited = replaced(text, from, to);
        BOOST_REQUIRE(edited != text);
        const auto parsed = parse_chronicle_entry(edited);
        BOOST_REQUIRE_MESSAGE(!parsed, from << " -> " << to);
        BOOST_TEST(parsed.error().is(errc::bad_chronicle));
    }
    for (std::size_t n = 0; n < text.size(); ++n) {
        BOOST_TEST(!parse_chronicle_entry(text.substr(0, n)));
    }
    BOOST_TEST(!parse_chronicle_entry(text + "x"));
}

BOOST_AUTO_TEST_CASE(closing_entry_changes_nothing) {
    const auto text = chronicle_entry_text(closing_entry(7));
    const std::string zeros(64, '0');
    BOOST_TEST(!parse_chronicle_entry(replaced(text, "loss 0", "loss 1")));
    BOOST_TEST(!parse_chronicle_entry(replaced(text, "loss 0", "loss -0")));
    BOOST_TEST(!parse_chronicle_entry(replaced(text, "mean " + zeros, "mean 1" + zeros.substr(1))));
    BOOST_TEST(!parse_chronicle_entry(replaced(text, "sum " + zeros, "sum 1" + zeros.substr(1))));
    auto moved = closing_entry(7);
    moved.state_after = base::sha256("elsewhere");
    BOOST_TEST(!parse_chronicle_entry(chronicle_entry_text(moved)));
}

BOOST_AUTO_TEST_CASE(entries_join_up) {
    const auto zero = example_entry(0);
    const auto one = example_entry(1);
    const auto end = closing_entry(2);
    BOOST_TEST(chronicle_entry_follows(nullptr, zero).has_value());
    BOOST_TEST(chronicle_entry_follows(&zero, one).has_value());
    BOOST_TEST(chronicle_entry_follows(&one, end).has_value());
    BOOST_TEST(!chronicle_entry_follows(nullptr, one));
    BOOST_TEST(!chronicle_entry_follows(&zero, zero));
    BOOST_TEST(!chronicle_entry_follows(&zero, example_entry(2)));
    BOOST_TEST(!chronicle_entry_follows(&end, example_entry(3)));
    auto other = one;
    other.state_before = base::sha256("elsewhere");
    BOOST_TEST(!chronicle_entry_follows(&zero, other));
}

BOOST_AUTO_TEST_CASE(digest_is_the_tree_of_the_texts) {
    const std::vector<chronicle_entry> entries{example_entry(0), example_entry(1),
                                               closing_entry(2)};
    std::vector<base::digest> leaves;
    for (const auto& e : entries) {
        leaves.push_back(base::merkle_leaf(base::as_bytes(chronicle_entry_text(e))));
    }
    BOOST_TEST(chronicle_digest(entries).hex() == base::merkle_root(leaves).hex());
    BOOST_TEST(chronicle_digest({entries.data(), 2}).hex() != chronicle_digest(entries).hex());
}

BOOST_AUTO_TEST_SUITE_END()
