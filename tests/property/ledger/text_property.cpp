// Decoders: what they accept is exactly what the encoder writes, and nothing makes them fall over.

#include "base/rng.hpp"
#include "ledger/entry.hpp"
#include "ledger/wire/desk_message.hpp"
#include "tests/property/ledger/seed.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

std::string spoiled(std::string text, base::rng& random) {
    for (auto n = random.below(3); n < 3; ++n) {
        if (text.empty()) break;
        const auto at = random.below(text.size());
        switch (random.below(5)) {
            case 0:
                text[at] = static_cast<char>(random.below(256));
                break;
            case 1:
                text.erase(at, 1 + random.below(8));
                break;
            case 2:
                text.insert(at, 1, "\n 0-a"[random.below(5)]);
                break;
            case 3:
                text.insert(at, text.substr(random.below(text.size()), random.below(100)));
                break;
            default:
                text.resize(at);
        }
    }
    return text;
}

receipt random_receipt(base::rng& random) {
    auto f = lane_facts(alice, bob, random.next() >> random.below(64),
                        random.next() >> random.below(64));
    f.verdict = static_cast<receipt_verdict>(1 + random.below(5));
    f.kind = static_cast<receipt_kind>(1 + random.below(4));
    if (f.kind == receipt_kind::validation || f.kind == receipt_kind::merge) f.lane.reset();
    if (f.lane && random.below(2)) f.slice = random.next();
    if (random.below(2)) f.swarm = {base::sha256("swarm").bytes};
    if (f.verdict == receipt_verdict::unchecked) f.checker.reset();
    f.tokens = random.next();
    f.flops = random.next();
    auto r = receipt_of(f, alice, bob);
    r.time = {static_cast<std::int64_t>(random.below(253402300800))};
    return r;
}

}  // namespace

BOOST_AUTO_TEST_CASE(receipts_come_back_and_only_canonical_texts_are_accepted) {
    base::rng random(run_seed() + 2);
    for (int i = 0; i < 3000; ++i) {
        const auto r = random_receipt(random);
        const auto text = receipt_text(r);
        BOOST_REQUIRE((*parse_receipt(text) == r));
        const auto other = spoiled(text, random);
        if (const auto parsed = parse_receipt(other)) {
            BOOST_REQUIRE_EQUAL(receipt_text(*parsed), other);
        }
    }
}

BOOST_AUTO_TEST_CASE(unanswered_notes_openings_checkpoints_and_entries_likewise) {
    base::rng random(run_seed() + 3);
    const auto unanswered = signed_unanswered(lane_facts(alice, bob), alice, bob).text;
    const auto opening = opening_text({alice.node, alice.certificate, noon});
    const auto head = checkpoint_text({"tequio/log/x", 17, base::sha256("root")});
    const auto bytes = entry{{5}, base::sha256("before"), unanswered}.bytes();
    for (int i = 0; i < 3000; ++i) {
        if (const auto p = parse_unanswered(spoiled(unanswered, random))) {
            BOOST_REQUIRE(parse_unanswered(unanswered_text(*p)).has_value());
        }
        const auto o = spoiled(opening, random);
        if (const auto p = parse_opening(o)) BOOST_REQUIRE_EQUAL(opening_text(*p), o);
        const auto h = spoiled(head, random);
        if (const auto p = parse_checkpoint(h)) BOOST_REQUIRE_EQUAL(checkpoint_text(*p), h);
        const auto e = spoiled(bytes, random);
        if (const auto p = parse_entry(e)) BOOST_REQUIRE_EQUAL(p->bytes(), e);
        (void)verify_entry_note(spoiled(unanswered, random));
    }
}

BOOST_AUTO_TEST_CASE(desk_messages_have_one_encoding) {
    base::rng random(run_seed() + 4);
    const auto note = signed_receipt(lane_facts(alice, bob), alice, bob).encode();
    const std::vector<message> samples{
        introduction{alice.certificate, true}, offer{note}, answer{note},
        refusal{base::sha256("t"), refusal_code::conflict, "because"}};
    for (int i = 0; i < 5000; ++i) {
        const auto bytes = encode_message(samples[random.below(samples.size())]);
        const auto other = spoiled(std::string(base::as_text(bytes)), random);
        if (const auto m = decode_message(base::as_bytes(other))) {
            BOOST_REQUIRE(encode_message(*m) == base::byte_vector(other.begin(), other.end()));
        }
    }
}
