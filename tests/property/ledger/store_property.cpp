// The store on disk answers as its naive twin in memory does, also when it is closed and opened
// again in between.

#include "base/rng.hpp"
#include "ledger/verify.hpp"
#include "tests/property/ledger/seed.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

/// One of few statements, so that the same work is written again and again.
store_write random_write(base::rng& random) {
    auto facts = lane_facts(bob, alice, 0, random.below(6));
    if (random.below(3) == 0) facts.verdict = receipt_verdict::refuted;
    switch (random.below(4)) {
        case 0:
            return keep_offer{receipt_text(receipt_of(facts, bob, alice)),
                              base::byte_vector(random.below(4), 7)};
        case 1:
            return append_note{signed_unanswered(facts, bob, alice).encode()};
        case 2:
            return append_note{
                signed_receipt(unchecked_facts(alice, 1, random.below(6)), alice, bob).encode()};
        default:
            return append_note{signed_receipt(facts, bob, alice).encode()};
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(store_answers_as_its_naive_twin) {
    base::rng random(run_seed() + 1);
    for (int ledger = 0; ledger < 6; ++ledger) {
        const scratch_folder folder;
        const auto path = folder.file("ledger.db");
        memory_store twin;
        auto s = store::open(path, alice.owner(), noon);
        BOOST_REQUIRE(s);
        for (int step = 0; step < 15; ++step) {
            std::vector<store_write> writes(1 + random.below(5));
            for (auto& w : writes) w = random_write(random);
            const auto out = (*s)->commit(writes);
            BOOST_REQUIRE(out);
            for (std::size_t i = 0; i < writes.size(); ++i) {
                const auto expected = twin.carry_out(writes[i]);
                BOOST_REQUIRE(((*out)[i].what == expected.what));
                BOOST_REQUIRE(((*out)[i].index == expected.index));
                BOOST_REQUIRE_EQUAL((*out)[i].standing, expected.standing);
            }
            BOOST_REQUIRE_EQUAL((*s)->size(), twin.notes.size());
            if (random.below(4) == 0) {
                s->reset();
                s = store::open(path, alice.owner(), noon);
                BOOST_REQUIRE_MESSAGE(s, s.error().message());
            }
        }
        const auto offers = (*s)->open_offers();
        BOOST_REQUIRE_EQUAL(offers->size(), twin.offers.size());
        for (const auto& o : *offers) {
            const auto key = statement_key(statement::receipt, parse_receipt(o.text)->facts);
            BOOST_TEST(twin.offers.at(key).text == o.text);
            BOOST_TEST((twin.offers.at(key).record == o.record));
        }
        auto reader = store_reader::open(path);
        const auto entries = *(*reader)->entries({});
        for (std::size_t i = 1; i < entries.size(); ++i) {
            BOOST_TEST(entries[i].note == twin.notes[i]);
        }
        BOOST_TEST(verify_store(path)->ok());
    }
}
