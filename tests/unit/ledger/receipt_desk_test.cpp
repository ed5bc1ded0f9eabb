#include "ledger/receipt_desk.hpp"

#include <boost/test/unit_test.hpp>

#include "ledger/wire/desk_message.hpp"
#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;
using std::chrono::seconds;

namespace {

/// One desk with a store in memory. Effects are carried out when the test says so.
struct side {
    explicit side(const identity& who, desk_config c = {}) : self(who), config(c) { restart(); }

    desk_time time() const {
        return {base::time_point(now), {noon.seconds + now.count() / 1000000000}};
    }
    void restart() {
        desk.emplace(config, self.node, self.log, self.certificate, disk.open_offers(), time());
        effects.clear();
    }
    base::result<void> tell(const desk_event& e) {
        auto done = desk->handle(time(), e, effects);
        desk->check();
        return done;
    }
    /// Takes the effects of one kind out of the list.
    template <class Effect>
    std::vector<Effect> take() {
        std::vector<Effect> out;
        desk_effects rest;
        for (auto& e : effects) {
            if (auto* wanted = std::get_if<Effect>(&e)) {
                out.push_back(*wanted);
            } else {
                rest.push_back(e);
            }
        }
        effects = std::move(rest);
        return out;
    }
    void write_all() {
        for (const auto& w : take<write_wanted>()) {
            BOOST_REQUIRE(tell(written{w.request, disk.carry_out(w.what)}));
        }
    }
    void confirm_all(confirm::answer verdict = confirm::answer::agree) {
        for (const auto& c : take<confirm_wanted>()) {
            BOOST_REQUIRE(tell(confirm{c.request, verdict, "I computed otherwise"}));
        }
    }
    std::vector<message> messages() {
        std::vector<message> out;
        for (const auto& s : take<send_desk_message>()) out.push_back(*decode_message(s.bytes));
        return out;
    }

    const identity& self;
    desk_config config;
    memory_store disk;
    std::optional<receipt_desk> desk;
    desk_effects effects;
    base::duration now{0};
};

/// Moves every message from one side to the other, until neither says anything more.
void talk(side& a, side& b) {
    for (int i = 0; i < 20; ++i) {
        for (auto* from : {&a, &b}) {
            auto* to = from == &a ? &b : &a;
            from->write_all();
            for (const auto& s : from->take<send_desk_message>()) {
                if (s.to != to->self.node) continue;
                BOOST_REQUIRE(to->tell(desk_message{from->self.node, s.bytes}));
            }
            to->confirm_all();
            to->write_all();
        }
    }
}

void wait(side& s, base::duration d) {
    s.now += d;
    BOOST_REQUIRE(s.tell(desk_tick{}));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(desk)

BOOST_AUTO_TEST_CASE(both_sides_end_with_the_same_note) {
    side worker(alice), checker(bob);
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    talk(worker, checker);
    BOOST_REQUIRE_EQUAL(worker.disk.notes.size(), 2);
    BOOST_REQUIRE_EQUAL(checker.disk.notes.size(), 2);
    BOOST_TEST(worker.disk.notes[1] == checker.disk.notes[1]);
    BOOST_TEST(verify_entry_note(worker.disk.notes[1]).has_value());
    BOOST_TEST(checker.desk->waiting() == 0);
    BOOST_TEST(checker.take<receipt_recorded>().size() == 1);
    BOOST_TEST(worker.take<receipt_recorded>().size() == 1);
}

BOOST_AUTO_TEST_CASE(nothing_is_sent_before_the_text_is_stored) {
    side checker(bob);
    BOOST_REQUIRE(checker.tell(
        desk_message{alice.node, encode_message(introduction{alice.certificate, false})}));
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    BOOST_TEST(checker.messages().empty());
    const auto writes = checker.take<write_wanted>();
    BOOST_REQUIRE_EQUAL(writes.size(), 1);
    // The claim carries no signature: nothing was signed yet.
    BOOST_TEST(std::get<keep_offer>(writes[0].what).text.ends_with("=\n"));
    BOOST_TEST(std::get<keep_offer>(writes[0].what).text.find("\xE2\x80\x94") == std::string::npos);
    BOOST_REQUIRE(checker.tell(written{writes[0].request, checker.disk.carry_out(writes[0].what)}));
    const auto sent = checker.messages();
    BOOST_REQUIRE_EQUAL(sent.size(), 1);
    BOOST_TEST(std::holds_alternative<offer>(sent[0]));
}

BOOST_AUTO_TEST_CASE(worker_answers_only_after_its_entry_is_stored) {
    side worker(alice), checker(bob);
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    auto half = signed_receipt(lane_facts(alice, bob), alice, bob);
    half.signatures.erase(half.signatures.begin());
    BOOST_REQUIRE(worker.tell(desk_message{bob.node, encode_message(offer{half.encode()})}));
    BOOST_TEST(worker.take<write_wanted>().empty());
    worker.confirm_all();
    BOOST_TEST(worker.messages().empty());
    worker.write_all();
    const auto sent = worker.messages();
    BOOST_REQUIRE_EQUAL(sent.size(), 1);
    BOOST_TEST(std::holds_alternative<answer>(sent[0]));
}

BOOST_AUTO_TEST_CASE(offer_is_sent_again_with_growing_pauses_until_the_time_out) {
    side worker(alice), checker(bob);
    BOOST_REQUIRE(checker.tell(
        desk_message{alice.node, encode_message(introduction{alice.certificate, false})}));
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {7, 8, 9}}));
    checker.write_all();
    std::vector<long> sent_at;
    while (checker.desk->next_deadline() != base::time_point::max()) {
        if (!checker.messages().empty()) sent_at.push_back(checker.now / seconds(1));
        checker.now = checker.desk->next_deadline().time_since_epoch();
        BOOST_REQUIRE(checker.tell(desk_tick{}));
    }
    BOOST_TEST(sent_at == (std::vector<long>{0, 2, 6, 14, 30, 60, 90}),
               boost::test_tools::per_element());
    checker.write_all();
    BOOST_REQUIRE_EQUAL(checker.disk.notes.size(), 2);
    const auto content = verify_entry_note(checker.disk.notes[1]);
    BOOST_REQUIRE(content);
    const auto& n = std::get<unanswered_note>(*content);
    BOOST_TEST((n.reason == unanswered_note::reason_code::silent));
    BOOST_TEST((n.record == base::byte_vector{7, 8, 9}));
    BOOST_TEST((n.offered.facts == lane_facts(alice, bob)));
    BOOST_TEST(checker.disk.offers.empty());
    BOOST_TEST(checker.desk->waiting() == 0);
}

BOOST_AUTO_TEST_CASE(a_worker_that_was_never_heard_gives_an_unanswered_note_too) {
    side checker(bob);
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    for (const auto& m : checker.messages()) BOOST_TEST(std::get<introduction>(m).asks);
    wait(checker, checker.config.answer_within);
    checker.write_all();
    BOOST_REQUIRE_EQUAL(checker.disk.notes.size(), 2);
    const auto content = verify_entry_note(checker.disk.notes[1]);
    BOOST_REQUIRE(content);
    BOOST_TEST(!std::get<unanswered_note>(*content).offered.worker_key.has_value());
}

BOOST_AUTO_TEST_CASE(late_answer_is_appended_behind_the_unanswered_note) {
    side worker(alice), checker(bob);
    BOOST_REQUIRE(checker.tell(
        desk_message{alice.node, encode_message(introduction{alice.certificate, false})}));
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    checker.write_all();
    const auto offers = checker.take<send_desk_message>();
    BOOST_REQUIRE(!offers.empty());
    wait(checker, checker.config.answer_within);
    checker.write_all();
    BOOST_REQUIRE(worker.tell(desk_message{bob.node, offers[0].bytes}));
    talk(worker, checker);
    BOOST_REQUIRE_EQUAL(checker.disk.notes.size(), 3);
    BOOST_TEST(checker.disk.notes[1].starts_with("tequio/unanswered/v1"));
    BOOST_TEST(checker.disk.notes[2] == worker.disk.notes[1]);
}

BOOST_AUTO_TEST_CASE(repeated_messages_change_nothing) {
    side worker(alice), checker(bob);
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    std::vector<std::pair<bool, base::byte_vector>> seen;  // to the worker?
    for (int i = 0; i < 10; ++i) {
        for (auto* from : {&checker, &worker}) {
            auto* to = from == &checker ? &worker : &checker;
            from->write_all();
            for (const auto& s : from->take<send_desk_message>()) {
                seen.push_back({to == &worker, s.bytes});
                BOOST_REQUIRE(to->tell(desk_message{from->self.node, s.bytes}));
                BOOST_REQUIRE(to->tell(desk_message{from->self.node, s.bytes}));
            }
            to->confirm_all();
            to->write_all();
        }
    }
    for (const auto& [to_worker, bytes] : seen) {
        auto& to = to_worker ? worker : checker;
        BOOST_REQUIRE(to.tell(desk_message{to_worker ? bob.node : alice.node, bytes}));
        to.confirm_all();
        to.write_all();
    }
    BOOST_TEST(worker.disk.notes.size() == 2);
    BOOST_TEST(checker.disk.notes.size() == 2);
}

BOOST_AUTO_TEST_CASE(restarted_worker_gives_the_same_answer_again) {
    side worker(alice);
    auto half = signed_receipt(lane_facts(alice, bob), alice, bob);
    half.signatures.erase(half.signatures.begin());
    const auto bytes = encode_message(offer{half.encode()});
    std::vector<message> answers;
    for (int i = 0; i < 2; ++i) {
        BOOST_REQUIRE(worker.tell(desk_message{bob.node, bytes}));
        worker.confirm_all();
        worker.write_all();
        for (const auto& m : worker.messages()) answers.push_back(m);
        worker.restart();
    }
    BOOST_REQUIRE_EQUAL(answers.size(), 2);
    BOOST_TEST((answers[0] == answers[1]));
    BOOST_TEST(worker.disk.notes.size() == 2);
}

BOOST_AUTO_TEST_CASE(restarted_checker_sends_the_very_same_offer) {
    side checker(bob);
    BOOST_REQUIRE(checker.tell(
        desk_message{alice.node, encode_message(introduction{alice.certificate, false})}));
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    checker.write_all();
    const auto before = checker.messages();
    checker.now += seconds(50);
    checker.restart();
    BOOST_REQUIRE(checker.tell(desk_tick{}));
    // The crew reports the check again after a restart, with another verdict even.
    auto other = lane_facts(alice, bob);
    other.verdict = receipt_verdict::refuted;
    BOOST_REQUIRE(checker.tell(draft{other, {}}));
    checker.write_all();
    const auto after = checker.messages();
    BOOST_REQUIRE_EQUAL(after.size(), 1);
    BOOST_TEST((before.at(0) == after.at(0)));
}

BOOST_AUTO_TEST_CASE(claim_that_stands_in_the_store_wins_over_a_new_draft) {
    side checker(bob);
    auto first = receipt_of(lane_facts(alice, bob), alice, bob);
    checker.disk.carry_out(keep_offer{receipt_text(first), {}});
    // This desk was made before the claim and does not know it.
    BOOST_REQUIRE(checker.tell(
        desk_message{alice.node, encode_message(introduction{alice.certificate, false})}));
    auto facts = lane_facts(alice, bob);
    facts.verdict = receipt_verdict::refuted;
    BOOST_REQUIRE(checker.tell(draft{facts, {}}));
    checker.write_all();
    const auto sent = checker.messages();
    BOOST_REQUIRE_EQUAL(sent.size(), 1);
    const auto note = base::parse_signed_note(std::get<offer>(sent[0]).note);
    BOOST_TEST(note->text == receipt_text(first));
}

BOOST_AUTO_TEST_CASE(disagreement_leaves_a_refused_note_and_no_second_signature) {
    side worker(alice), checker(bob);
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    for (int i = 0; i < 6; ++i) {
        for (auto* from : {&checker, &worker}) {
            auto* to = from == &checker ? &worker : &checker;
            from->write_all();
            for (const auto& s : from->take<send_desk_message>()) {
                BOOST_REQUIRE(to->tell(desk_message{from->self.node, s.bytes}));
            }
            to->confirm_all(confirm::answer::disagree);
        }
    }
    BOOST_TEST(worker.disk.notes.size() == 1);
    BOOST_REQUIRE_EQUAL(checker.disk.notes.size(), 2);
    const auto content = verify_entry_note(checker.disk.notes[1]);
    BOOST_TEST(
        (std::get<unanswered_note>(*content).reason == unanswered_note::reason_code::refused));
    const auto notices = checker.take<desk_notice>();
    BOOST_REQUIRE_EQUAL(notices.size(), 1);
    BOOST_TEST(notices[0].text.find("I computed otherwise") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(worker_never_countersigns_two_texts_for_one_piece_of_work) {
    side worker(alice);
    auto facts = lane_facts(alice, bob);
    for (const auto verdict : {receipt_verdict::matched, receipt_verdict::refuted}) {
        facts.verdict = verdict;
        auto half = signed_receipt(facts, alice, bob);
        half.signatures.erase(half.signatures.begin());
        BOOST_REQUIRE(worker.tell(desk_message{bob.node, encode_message(offer{half.encode()})}));
    }
    worker.confirm_all();  // even a node that agrees to both
    worker.write_all();
    const auto sent = worker.messages();
    BOOST_REQUIRE_EQUAL(sent.size(), 2);
    BOOST_TEST(std::holds_alternative<answer>(sent[0]));
    BOOST_TEST((std::get<refusal>(sent[1]).code == refusal_code::conflict));
    BOOST_TEST(worker.disk.notes.size() == 2);
}

BOOST_AUTO_TEST_CASE(not_yet_leaves_the_offer_to_be_sent_again) {
    side worker(alice);
    auto half = signed_receipt(lane_facts(alice, bob), alice, bob);
    half.signatures.erase(half.signatures.begin());
    const auto bytes = encode_message(offer{half.encode()});
    BOOST_REQUIRE(worker.tell(desk_message{bob.node, bytes}));
    worker.confirm_all(confirm::answer::not_yet);
    BOOST_TEST(worker.effects.empty());
    BOOST_REQUIRE(worker.tell(desk_message{bob.node, bytes}));
    worker.confirm_all();
    worker.write_all();
    BOOST_TEST(worker.disk.notes.size() == 2);
}

BOOST_AUTO_TEST_CASE(work_that_nobody_checked_is_signed_alone_and_once) {
    side worker(alice);
    BOOST_REQUIRE(worker.tell(draft{unchecked_facts(alice), {}}));
    worker.write_all();
    BOOST_REQUIRE(worker.tell(draft{unchecked_facts(alice), {}}));
    worker.write_all();
    BOOST_TEST(worker.disk.notes.size() == 2);
    BOOST_TEST(worker.take<receipt_recorded>().size() == 1);
    BOOST_TEST(worker.desk->waiting() == 0);
    BOOST_TEST(verify_entry_note(worker.disk.notes[1]).has_value());
}

BOOST_AUTO_TEST_CASE(drafts_of_others_work_are_refused) {
    side checker(bob);
    BOOST_TEST(!checker.tell(draft{lane_facts(alice, carol), {}}));
    BOOST_TEST(!checker.tell(draft{unchecked_facts(alice), {}}));
    auto f = lane_facts(bob, bob);
    BOOST_TEST(!checker.tell(draft{f, {}}));
    BOOST_TEST(checker.effects.empty());
}

BOOST_AUTO_TEST_CASE(hostile_messages_are_named_and_change_nothing) {
    side worker(alice);
    auto half = signed_receipt(lane_facts(alice, bob), alice, bob);
    half.signatures.erase(half.signatures.begin());
    const auto refused = [&](const base::node_id& from, const message& m) {
        const auto done = worker.tell(desk_message{from, encode_message(m)});
        return !done && done.error().is(errc::bad_message) && worker.effects.empty();
    };
    BOOST_TEST(refused(carol.node, offer{half.encode()}));  // of another node
    BOOST_TEST(refused(bob.node, offer{"nonsense"}));
    auto forged = half;
    forged.signatures[0].blob[5] ^= 1;
    BOOST_TEST(refused(bob.node, offer{forged.encode()}));
    auto elsewhere = signed_receipt(lane_facts(carol, bob), carol, bob);
    elsewhere.signatures.erase(elsewhere.signatures.begin());
    BOOST_TEST(refused(bob.node, offer{elsewhere.encode()}));
    BOOST_TEST(refused(carol.node, introduction{bob.certificate, false}));
    // A finished receipt between others is no answer to us.
    BOOST_TEST(
        refused(bob.node, answer{signed_receipt(lane_facts(bob, carol), bob, carol).encode()}));
    // An answer with a signature that we never made.
    auto invented = signed_receipt(lane_facts(bob, alice), bob, carol);
    BOOST_TEST(refused(bob.node, answer{invented.encode()}));
}

BOOST_AUTO_TEST_CASE(limits_hold) {
    desk_config small;
    small.drafts_max = 3;
    small.offers_per_peer_max = 2;
    small.keys_max = 2;
    side checker(bob, small);
    for (std::uint64_t lane = 0; lane < 5; ++lane) {
        BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob, 0, lane), {}}));
    }
    // The two oldest were closed to make room.
    checker.write_all();
    BOOST_TEST(checker.disk.notes.size() == 3);
    BOOST_TEST(checker.desk->waiting() == 3);

    side worker(alice, small);
    for (std::uint64_t lane = 0; lane < 5; ++lane) {
        auto half = signed_receipt(lane_facts(alice, bob, 0, lane), alice, bob);
        half.signatures.erase(half.signatures.begin());
        BOOST_REQUIRE(worker.tell(desk_message{bob.node, encode_message(offer{half.encode()})}));
    }
    BOOST_TEST(worker.take<confirm_wanted>().size() == 2);
    for (std::uint64_t n = 10; n < 15; ++n) {
        const identity other(n);
        BOOST_REQUIRE(worker.tell(
            desk_message{other.node, encode_message(introduction{other.certificate, false})}));
    }
}

BOOST_AUTO_TEST_CASE(reachable_peer_gets_what_waits_at_once) {
    side checker(bob);
    BOOST_REQUIRE(checker.tell(
        desk_message{alice.node, encode_message(introduction{alice.certificate, false})}));
    BOOST_REQUIRE(checker.tell(draft{lane_facts(alice, bob), {}}));
    checker.write_all();
    wait(checker, seconds(40));
    checker.messages();
    BOOST_REQUIRE(checker.tell(peer_reachable{alice.node}));
    const auto sent = checker.messages();
    BOOST_REQUIRE_EQUAL(sent.size(), 2);
    BOOST_TEST(!std::get<introduction>(sent[0]).asks);
    BOOST_TEST(std::holds_alternative<offer>(sent[1]));
}

BOOST_AUTO_TEST_SUITE_END()
