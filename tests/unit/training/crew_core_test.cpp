#include "tests/unit/training/crew_driver.hpp"

// One core among scripted neighbours: what it refuses, and what it never says.
namespace tequio::training::crew_protocol {

using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(crew_core)

BOOST_AUTO_TEST_CASE(a_fact_is_stored_before_it_is_sent) {
    driven d(0);
    (void)d.feed(member_up{node(1), certificate_of(1)});
    (void)d.feed(from(1, status{}));
    d.prepare();
    d.beat(10);
    BOOST_REQUIRE(d.work().has_value());
    BOOST_TEST((d.work()->kind == work_kind::lane));
    d.lane_done("right");
    std::optional<std::size_t> stored, sent;
    for (std::size_t i = 0; i < d.out.size(); ++i) {
        if (const auto* s = std::get_if<store_fact>(&d.out[i]); s && s->key == "claim/0/0")
            stored = i;
        if (const auto* s = std::get_if<send_crew>(&d.out[i]); s && !sent) {
            const auto m = decode(small_shape(), s->bytes);
            if (std::holds_alternative<facts>(*m)) sent = i;
        }
    }
    BOOST_REQUIRE(stored.has_value());
    BOOST_REQUIRE(sent.has_value());
    BOOST_TEST(*stored < *sent);
}

BOOST_AUTO_TEST_CASE(forged_and_foreign_facts_are_refused_whole) {
    driven d(0);
    (void)d.feed(member_up{node(1), certificate_of(1)});
    d.prepare();
    auto forged = claims_message(1, lane_claim(1, 0, "right"));
    forged.claims.push_back(signed_claim(lane_claim(1, 1, "right")).fact);
    forged.claims[1].signature[5] ^= 1;
    const auto verdict = d.feed(from(1, forged));
    BOOST_REQUIRE(!verdict.has_value());
    BOOST_TEST(verdict.error().is(errc::bad_message));
    for (const auto& m : d.core.view().members) BOOST_TEST(m.lanes_done == 0u);

    auto uncertified = claims_message(1, lane_claim(2, 0, "right"));
    BOOST_TEST(!d.feed(from(1, uncertified)).has_value());
    uncertified.certificates = {{node(2), certificate_of(3)}};
    BOOST_TEST(!d.feed(from(1, uncertified)).has_value());
    // Relayed with the right certificate it counts, whoever sent it.
    BOOST_TEST(d.feed(from(1, claims_message(2, lane_claim(2, 0, "right")))).has_value());
    BOOST_TEST(!d.feed(crew_message{node(1), {1, 2, 3}}).has_value());
    BOOST_TEST(!d.feed(from(0, status{})).has_value());
}

BOOST_AUTO_TEST_CASE(a_check_that_differs_is_computed_twice_before_it_is_said) {
    driven d(0);
    (void)d.feed(member_up{node(1), certificate_of(1)});
    d.prepare();
    (void)d.feed(from(1, claims_message(1, lane_claim(1, 0, "wrong"))));
    // Alone so far, it works on lanes that nobody has; then it checks lane 0.
    for (int i = 0; i < 12 && !(d.work() && d.work()->kind == work_kind::check); ++i) {
        d.lane_done("lane " + std::to_string(i));
        if (d.work() && d.work()->kind == work_kind::validation) {
            work_outcome outcome;
            outcome.loss = 2;
            (void)d.feed(work_done{*d.work(), outcome});
        }
        d.beat();
    }
    BOOST_REQUIRE(d.work().has_value());
    BOOST_REQUIRE((d.work()->kind == work_kind::check));
    BOOST_TEST(d.work()->lane.value == 0u);
    const auto said = [&] {
        const auto facts_stored = d.effects<store_fact>();
        return std::ranges::any_of(facts_stored,
                                   [](const auto& f) { return f.key == "claim/0/0"; });
    };
    d.lane_done("right");
    BOOST_TEST(!said());
    BOOST_REQUIRE(d.work().has_value());
    d.lane_done("right");
    BOOST_TEST(said());
    const auto records = d.effects<check_recorded>();
    BOOST_REQUIRE(records.size() == 1u);
    BOOST_TEST((records[0].verdict == check_verdict::refuted));
}

BOOST_AUTO_TEST_CASE(a_machine_that_contradicts_itself_stops_and_says_so) {
    driven d(0);
    d.prepare();
    (void)d.feed(from(1, claims_message(1, lane_claim(1, 0, "wrong"))));
    for (int i = 0; i < 12 && !(d.work() && d.work()->kind == work_kind::check); ++i) {
        if (d.work() && d.work()->kind == work_kind::validation) {
            work_outcome outcome;
            outcome.loss = 2;
            (void)d.feed(work_done{*d.work(), outcome});
        } else {
            d.lane_done("lane " + std::to_string(i));
        }
        d.beat();
    }
    d.lane_done("this");
    d.lane_done("that");
    BOOST_TEST(d.core.view().reason_code == "inexact");
    BOOST_TEST(d.core.view().reason.find("doctor") != std::string::npos);
    d.all.clear();
    d.beat(20);
    BOOST_TEST(!d.work().has_value());
}

BOOST_AUTO_TEST_CASE(its_speed_is_known_again_after_a_restart) {
    auto config = config_of(0);
    config.slices.max = 2;
    config.slices.memory_bytes = 2;
    config.slices.need_bytes = [](model_slice s) { return std::uint64_t{2} / s.count; };
    config.slices.lane.work = [](model_slice s) { return std::uint64_t{3000} / s.count; };
    config.slices.compose = [](const auto&) { return base::sha256("state"); };
    base::byte_vector settled;
    base::byte_writer w(settled);
    for (int i = 0; i < 4; ++i) w.u64(0);
    w.u8(0);
    w.u64(1500);
    crew_memory memory;
    memory.facts = {{"settled", settled}};
    driven second(config, memory);
    (void)second.feed(member_up{node(1), certificate_of(1)});
    std::uint64_t told = 0;
    for (const auto& s : second.effects<send_crew>()) {
        const auto m = decode(small_shape(), s.bytes);
        BOOST_REQUIRE(m.has_value());
        if (const auto* said = std::get_if<status>(&*m)) told = said->slices.value().speed;
    }
    BOOST_TEST(told == 1500u);
}

BOOST_AUTO_TEST_CASE(after_a_restart_it_says_what_it_said_before) {
    driven first(0);
    first.prepare();
    first.beat(2);
    first.lane_done("right");
    crew_memory memory;
    memory.facts = first.effects<store_fact>();
    driven second(0, memory);
    (void)second.feed(member_up{node(1), certificate_of(1)});
    (void)second.feed(from(1, status{}));
    second.prepare();
    // Lane 0 is not computed again.
    BOOST_REQUIRE(second.work().has_value());
    BOOST_TEST(second.work()->lane.value == 1u);
    // The other asks for what it lacks: the stored claim comes back byte for byte.
    book_tags empty{0, 7, 0, base::byte_vector(6, 0), false};
    second.all.clear();
    (void)second.feed(from(1, empty));
    bool found = false;
    for (const auto& s : second.effects<send_crew>()) {
        const auto m = decode(small_shape(), s.bytes);
        if (const auto* f = std::get_if<facts>(&*m)) {
            for (const auto& fact : f->claims) {
                const auto stored = decode_stored_claim(memory.facts.front().bytes);
                found = found || fact == stored->first;
            }
        }
    }
    BOOST_TEST(found);
}

BOOST_AUTO_TEST_CASE(a_damaged_fact_is_left_out_and_named) {
    crew_memory memory;
    auto k = signed_claim(lane_claim(0, 0, "right"));
    k.fact.signature[3] ^= 1;
    memory.facts.push_back({"claim/0/0", encode_stored_claim(k.fact, trace_of("right"))});
    memory.facts.push_back({"settled", {1, 2, 3}});
    memory.facts.push_back({"final", {'x'}});
    driven d(0, memory);
    d.prepare();
    d.beat(2);
    BOOST_TEST(d.core.view().reason.find("claim/0/0") != std::string::npos);
    BOOST_TEST((d.core.view().state == job_state::running));
}

BOOST_AUTO_TEST_CASE(failing_work_is_retried_after_rising_pauses) {
    driven d(0);
    d.prepare();
    d.beat(2);
    std::vector<base::duration> begun;
    for (int i = 0; i < 200 && begun.size() < 5; ++i) {
        if (d.work()) {
            begun.push_back(d.now.time_since_epoch());
            const auto item = *d.work();
            d.all.clear();
            (void)d.feed(work_failed{item, "no memory"});
            BOOST_TEST(d.core.view().reason_code == "work_failed");
            BOOST_TEST(d.core.view().reason.find("no memory") != std::string::npos);
        }
        d.beat();
    }
    BOOST_REQUIRE(begun.size() >= 3u);
    for (std::size_t i = 2; i < begun.size(); ++i) {
        BOOST_TEST((begun[i] - begun[i - 1] > begun[i - 1] - begun[i - 2]));
    }
}

BOOST_AUTO_TEST_CASE(a_stopped_item_that_reports_late_does_no_harm) {
    driven d(0);
    d.prepare();
    d.beat(2);
    const auto item = *d.work();
    (void)d.feed(crew_command::pause);
    BOOST_TEST(!d.work().has_value());
    work_outcome outcome;
    outcome.blob = {result_of("right"), small_shape().contribution_bytes};
    (void)d.feed(work_done{item, outcome});
    BOOST_TEST(d.core.view().members.front().lanes_done == 0u);
    BOOST_TEST(d.core.view().reason_code == "paused");
}

/// The status that `d` sent last.
status last_status(const driven& d) {
    status found;
    for (const auto& sent : d.effects<send_crew>()) {
        const auto m = decode(small_shape(), sent.bytes);
        if (m && std::holds_alternative<status>(*m)) found = std::get<status>(*m);
    }
    return found;
}

BOOST_AUTO_TEST_CASE(a_suspended_node_keeps_its_lane_and_says_that_it_takes_none) {
    driven d(0);
    (void)d.feed(member_up{node(1), certificate_of(1)});
    (void)d.feed(from(1, status{}));
    d.prepare();
    d.beat(10);
    const auto item = d.work();
    BOOST_REQUIRE(item.has_value());
    BOOST_TEST(last_status(d).available);
    (void)d.feed(crew_command::suspend);
    BOOST_TEST((d.work() == item));
    BOOST_TEST(!last_status(d).available);
    BOOST_TEST(!last_status(d).able);
    BOOST_TEST(d.core.view().reason_code == "suspended");
    d.beat(100);
    BOOST_TEST((d.work() == item));
    // It goes on where it stood: nothing is begun anew.
    const auto begun = d.effects<begin_work>().size();
    (void)d.feed(crew_command::resume);
    BOOST_TEST(d.effects<begin_work>().size() == begun);
    BOOST_TEST(last_status(d).available);
    d.lane_done("right");
    BOOST_TEST(d.core.view().members.front().lanes_done == 1u);
}

BOOST_AUTO_TEST_CASE(a_lane_that_ends_while_suspended_counts_and_no_other_begins) {
    driven d(0);
    d.prepare();
    d.beat(2);
    (void)d.feed(crew_command::suspend);
    const auto begun = d.effects<begin_work>().size();
    d.lane_done("right");
    d.beat(20);
    BOOST_TEST(d.core.view().members.front().lanes_done == 1u);
    BOOST_TEST(d.effects<begin_work>().size() == begun);
    (void)d.feed(crew_command::resume);
    d.beat(2);  // alone, it takes the lead again at the next beat
    BOOST_TEST(d.effects<begin_work>().size() == begun + 1);
}

BOOST_AUTO_TEST_CASE(a_suspended_lane_that_others_have_settled_is_stopped) {
    driven d(0);
    for (const std::uint8_t other : {std::uint8_t{1}, std::uint8_t{2}}) {
        (void)d.feed(member_up{node(other), certificate_of(other)});
        (void)d.feed(from(other, status{}));
    }
    d.prepare();
    d.beat(10);
    const auto item = d.work();
    BOOST_REQUIRE(item.has_value());
    BOOST_REQUIRE((item->kind == work_kind::lane));
    (void)d.feed(crew_command::suspend);
    const auto lane = static_cast<std::uint32_t>(item->lane.value);
    (void)d.feed(from(1, claims_message(1, lane_claim(1, lane, "right"))));
    BOOST_TEST((d.work() == item));
    (void)d.feed(from(2, claims_message(2, lane_claim(2, lane, "right"))));
    BOOST_TEST(!d.work().has_value());
}

BOOST_AUTO_TEST_CASE(a_draining_node_finishes_what_suspend_kept_and_takes_no_more) {
    driven d(0);
    d.prepare();
    d.beat(2);
    const auto item = d.work();
    BOOST_REQUIRE(item.has_value());
    (void)d.feed(crew_command::drain);
    (void)d.feed(crew_command::suspend);
    (void)d.feed(crew_command::go_on);
    BOOST_TEST((d.work() == item));
    const auto begun = d.effects<begin_work>().size();
    d.lane_done("right");
    d.beat(20);
    BOOST_TEST(d.core.view().members.front().lanes_done == 1u);
    BOOST_TEST(d.effects<begin_work>().size() == begun);
}

BOOST_AUTO_TEST_CASE(alone_and_suspended_its_beats_are_rare) {
    driven d(0);
    const auto next = [&] { return d.core.next_deadline() - d.now; };
    d.prepare();
    d.beat(2);
    BOOST_TEST((next() <= 500ms));
    (void)d.feed(crew_command::suspend);
    d.now = d.core.next_deadline();
    (void)d.feed(crew_tick{});
    BOOST_TEST((next() == 5s));
    // Somebody comes, or the machine comes back: hints go out as ever.
    (void)d.feed(member_up{node(1), certificate_of(1)}, 1s);
    BOOST_TEST((next() == 500ms));
    (void)d.feed(member_down{node(1)});
    d.beat(700);  // it is forgotten
    BOOST_TEST((next() > 500ms));
    (void)d.feed(crew_command::resume);
    BOOST_TEST((next() <= 500ms));
}

BOOST_AUTO_TEST_CASE(pause_ends_what_suspend_kept) {
    driven d(0);
    d.prepare();
    d.beat(2);
    (void)d.feed(crew_command::suspend);
    BOOST_TEST(d.work().has_value());
    (void)d.feed(crew_command::pause);
    BOOST_TEST(!d.work().has_value());
    (void)d.feed(crew_command::resume);
    BOOST_TEST(d.work().has_value());
}

BOOST_AUTO_TEST_CASE(lost_states_are_made_again_from_the_first_one_and_claims_stand) {
    driven d(0);
    d.prepare();
    d.beat(2);
    d.lane_done("right");
    const auto in_hand = d.work();
    BOOST_REQUIRE(in_hand.has_value());
    BOOST_TEST((in_hand->kind != work_kind::prepare));
    (void)d.feed(crew_command::pause);
    (void)d.feed(states_lost{});
    d.beat(20);
    BOOST_TEST(!d.work().has_value());
    (void)d.feed(crew_command::resume);
    BOOST_REQUIRE(d.work().has_value());
    BOOST_TEST((d.work()->kind == work_kind::prepare));
    d.prepare();
    d.beat(2);  // alone, it takes the lead again at the next beat
    BOOST_TEST((d.work() == in_hand));
    BOOST_TEST(d.core.view().members.front().lanes_done == 1u);
    // In the middle of an item, and told by nobody else.
    (void)d.feed(states_lost{});
    BOOST_REQUIRE(d.work().has_value());
    BOOST_TEST((d.work()->kind == work_kind::prepare));
}

/// An entry for round 0 of which this node knows nothing but what it says.
chronicle_entry entry_zero() {
    chronicle_entry entry;
    entry.state_before = base::sha256("state");
    for (std::uint32_t lane = 0; lane < small_shape().lanes; ++lane) {
        entry.contributions.push_back(result_of("right"));
    }
    entry.sum = result_of("sum");
    entry.mean = {result_of("mean"), small_shape().mean_bytes};
    entry.loss = 2.5;
    entry.validation_loss = 2;
    entry.state_after = base::sha256("state 1");
    return entry;
}

BOOST_AUTO_TEST_CASE(a_dispute_whose_state_is_gone_is_given_up_and_named) {
    crew_memory memory;
    memory.entries.push_back(entry_zero());
    driven d(0, memory);
    (void)d.feed(member_up{node(1), certificate_of(1)});
    (void)d.feed(from(1, status{}));
    d.prepare();
    // Round 0 is applied from its stored mean, then two nodes turn out to disagree about lane 0.
    const auto entry = entry_zero();
    (void)d.feed(blob_ready{entry.mean, {}});
    BOOST_REQUIRE(d.work().has_value());
    BOOST_REQUIRE((d.work()->kind == work_kind::apply));
    work_outcome applied;
    applied.state_after = entry.state_after;
    (void)d.feed(work_done{*d.work(), applied});
    for (const std::uint8_t other : {std::uint8_t{1}, std::uint8_t{2}}) {
        auto wrong = claims_message(1, lane_claim(other, 0, other == 1 ? "right" : "wrong"));
        if (other == 2) wrong.certificates = {{node(2), certificate_of(2)}};
        BOOST_TEST(d.feed(from(1, wrong)).has_value());
    }
    d.lane_done("of round 1");  // which it had begun
    int tries = 0;
    for (int beat = 0; beat < 200; ++beat) {
        const auto item = d.work();
        if (item && item->round.value == 0 && item->kind == work_kind::check) {
            ++tries;
            d.all.clear();
            (void)d.feed(work_failed{*item, "the state of round 0 is not here"});
        }
        d.beat();
    }
    BOOST_TEST(tries == 3);
    BOOST_TEST(d.core.view().reason.find("round 0 lane 0 is disputed") != std::string::npos,
               d.core.view().reason);
}

BOOST_AUTO_TEST_CASE(a_false_lottery_ticket_is_refused_and_nothing_of_its_message_kept) {
    driven d(0);
    (void)d.feed(member_up{node(1), certificate_of(1)});
    d.prepare();
    status s;
    s.tickets = {{0, base::sha256(base::sha256("secret").view()), false}};
    BOOST_TEST(d.feed(from(1, s)).has_value());
    s.tickets = {{0, base::sha256("secret"), true}};
    BOOST_TEST(d.feed(from(1, s)).has_value());
    s.able = true;
    s.chronicle = 1;
    s.tickets = {{0, base::sha256("another"), true}};
    const auto verdict = d.feed(from(1, s));
    BOOST_REQUIRE(!verdict.has_value());
    BOOST_TEST(verdict.error().is(errc::bad_message));
    for (const auto& m : d.core.view().members) BOOST_TEST(m.rounds == 0u);
}

BOOST_AUTO_TEST_CASE(a_node_that_found_no_seat_does_not_lead) {
    for (const std::uint64_t crew_max : {2, 3}) {
        auto config = config_of(0);
        config.crew_max = crew_max;
        driven d(std::move(config));
        for (const std::uint8_t i : std::initializer_list<std::uint8_t>{1, 2}) {
            (void)d.feed(member_up{node(i), certificate_of(i)});
            (void)d.feed(from(i, status{}));
        }
        d.prepare();
        round_open order;
        order.term = 7;
        order.state = base::sha256("state");
        (void)d.feed(from(1, order));
        BOOST_TEST((d.core.view().steward == node(1)));
        order.term = 8;
        (void)d.feed(from(2, order));
        const std::uint8_t leads = crew_max == 2 ? 1 : 2;
        BOOST_TEST((d.core.view().steward == node(leads)));
    }
}

namespace {

/// A core that hears from nodes 1.., `full` of which say that they have no seat for it.
struct stranger : driven {
    static constexpr std::uint8_t others = 3;
    explicit stranger(std::uint8_t full, std::uint64_t crew_max = others + 1)
        : driven([&] {
              auto config = config_of(0);
              config.crew_max = crew_max;
              return config;
          }()) {
        for (std::uint8_t i = 1; i <= others; ++i) {
            (void)feed(member_up{node(i), certificate_of(i)});
        }
        hear(full);
        prepare();
    }
    void hear(std::uint8_t full, const std::optional<steward_name>& steward = {}) {
        for (std::uint8_t i = 1; i <= others; ++i) {
            status said;
            said.steward = steward;
            said.full = i <= full;
            (void)feed(from(i, said));
        }
    }
    /// The others go on saying so, while it would have taken the lead.
    void wait(std::uint8_t full, const std::optional<steward_name>& steward = {}) {
        for (int i = 0; i < 8; ++i) {
            hear(full, steward);
            beat();
        }
    }
    bool leads() const { return core.view().steward == node(0); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_node_that_hears_that_the_crew_is_full_stands_by_until_a_seat_is_free) {
    stranger d(2);  // one member may see it otherwise
    d.wait(2);
    BOOST_TEST(d.core.view().reason_code == "crew_full");
    BOOST_TEST(d.core.view().reason.find("all of its 4 seats are taken") != std::string::npos);
    BOOST_TEST((d.core.view().state == job_state::waiting));
    BOOST_TEST(!d.leads());
    BOOST_TEST(d.effects<begin_work>().size() == 1u);  // S(0)
    d.wait(0);
    BOOST_TEST(d.core.view().reason_code != "crew_full");
    BOOST_TEST(d.leads());
}

BOOST_AUTO_TEST_CASE(a_word_that_is_not_renewed_bars_nobody) {
    stranger d(3);
    d.wait(3);
    BOOST_TEST(!d.leads());
    d.beat(16);
    BOOST_TEST(d.leads());
}

BOOST_AUTO_TEST_CASE(
    whoever_holds_less_than_most_seats_bars_nobody_by_saying_that_the_crew_is_full) {
    stranger one(1);
    one.wait(1);
    BOOST_TEST(one.leads());
    // Everybody who is there, but far fewer than there are seats.
    stranger few(3, 7);
    few.wait(3);
    BOOST_TEST(few.leads());
    stranger most(3, 6);
    most.wait(3);
    BOOST_TEST(!most.leads());
}

BOOST_AUTO_TEST_CASE(a_steward_without_a_seat_for_a_node_keeps_it_from_leading_and_deposes_none) {
    stranger d(3);
    const steward_name first{0, 1, node(1)};
    d.wait(1, first);
    BOOST_TEST(!d.leads());
    BOOST_TEST(d.core.view().reason_code == "crew_full");
    d.wait(1);
    BOOST_TEST(d.leads());
    d.wait(1, first);
    BOOST_TEST(d.leads());
    d.wait(2);
    BOOST_TEST(!d.leads());
}

BOOST_AUTO_TEST_CASE(who_is_given_work_has_a_seat_and_without_one_begins_nothing_by_place) {
    stranger d(0);
    round_open order;
    order.term = 7;
    order.state = base::sha256("state");
    order.places = 4;
    order.place = 3;
    order.assignments = {{node(0), {0, 0}}};
    (void)d.feed(from(1, order));
    BOOST_TEST((d.core.view().steward == node(1)));
    BOOST_TEST(d.work().has_value());
    // The members' opinions differ; the steward's, who gives it work, is what counts.
    d.hear(3, steward_name{0, 7, node(1)});
    BOOST_TEST(d.core.view().reason_code == "training");
    d.lane_done("right");
    // It lost sight of them, and another has its seat when it is back.
    for (std::uint8_t i = 1; i <= d.others; ++i) (void)d.feed(member_down{node(i)});
    for (std::uint8_t i = 1; i <= d.others; ++i) {
        (void)d.feed(member_up{node(i), certificate_of(i)});
    }
    d.hear(3);
    d.lane_done("in hand before");
    const auto begun = d.effects<begin_work>().size();
    d.wait(3);
    BOOST_TEST(d.core.view().reason_code == "crew_full");
    BOOST_TEST(d.effects<begin_work>().size() == begun);
    // With a seat it would have gone on by its place, or led.
    d.wait(0);
    BOOST_TEST(d.effects<begin_work>().size() > begun);
}

BOOST_AUTO_TEST_CASE(only_the_strangers_of_a_full_crew_hear_that_it_is) {
    auto config = config_of(0);
    config.crew_max = 2;
    driven d(std::move(config));
    /// What node `i` is told when it can be reached.
    const auto told_full = [&](std::uint8_t i) {
        (void)d.feed(member_up{node(i), certificate_of(i)});
        std::optional<bool> full;
        for (const auto& e : d.out) {
            const auto* sent = std::get_if<send_crew>(&e);
            if (sent == nullptr || sent->to != node(i)) continue;
            const auto m = decode(small_shape(), sent->bytes);
            if (const auto* s = std::get_if<status>(&*m)) full = s->full;
        }
        return full;
    };
    BOOST_TEST((told_full(1) == false));
    (void)d.feed(from(1, status{}));
    BOOST_TEST((told_full(2) == true));
    BOOST_TEST((told_full(1) == false));
    // Who leaves gives up its seat, though it is still there, and does not get it back.
    status leaves;
    leaves.leaving = true;
    (void)d.feed(from(1, leaves));
    BOOST_TEST((told_full(2) == false));
    (void)d.feed(from(2, status{}));
    (void)d.feed(from(1, status{}));
    BOOST_TEST((told_full(1) == true));
    BOOST_TEST((told_full(2) == false));
}

BOOST_AUTO_TEST_CASE(only_what_may_be_kept_is_verified) {
    auto config = config_of(100);
    std::uint64_t verified = 0;
    config.keys.verify = [&](const base::public_key& key, base::byte_view bytes,
                             const base::signature& signature) {
        ++verified;
        return base::signature_verifies(key, bytes, signature);
    };
    driven d(std::move(config));
    d.prepare();
    for (std::uint8_t i = 0; i < claims_per_item_max + 2; ++i) {
        const auto claim = from(i, claims_message(i, lane_claim(i, 0, "right")));
        for (int times = 0; times < 3; ++times) BOOST_TEST(d.feed(claim).has_value());
    }
    BOOST_TEST(verified == claims_per_item_max);
}

BOOST_AUTO_TEST_CASE(numbers_of_a_task_beyond_the_caps_are_lowered) {
    auto config = config_of(0);
    config.settle = 1000;
    config.crew_max = 100000;
    config.crew_min = 500;
    crew c(std::move(config), {}, base::rng(1));
    std::vector<crew_effect> out;
    BOOST_TEST(c.handle({}, crew_tick{}, out).has_value());
    c.check();
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
