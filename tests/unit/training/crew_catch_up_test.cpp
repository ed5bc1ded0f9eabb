#include "tests/unit/training/crew_fixture.hpp"
#include "training/crew/catch_up.hpp"

namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

std::string text_of(const chronicle_entry& e) {
    return chronicle_entry_text(e);
}

base::blob_ref ref_of(const chronicle_entry& e) {
    return base::blob_ref_of(base::as_bytes(text_of(e)));
}

bool arrives(catch_up& c, const chronicle_entry& e) {
    return c.arrived(ref_of(e), base::as_bytes(text_of(e))).has_value();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_catch_up)

BOOST_AUTO_TEST_CASE(grows_by_entries_that_join_up_to_the_closing_one) {
    catch_up c(small_shape());
    BOOST_TEST(!c.state().has_value());
    BOOST_TEST(c.set_initial(state_digest(0)));
    for (std::uint64_t round = 0; round <= 6; ++round) {
        BOOST_TEST(!c.complete());
        BOOST_TEST(!c.fits(entry_of(round + 1)).has_value());
        const auto [text, ref] = c.append(entry_of(round));
        BOOST_TEST((ref == ref_of(entry_of(round))));
        BOOST_TEST((c.entry_ref(round) == ref));
        c.check();
    }
    BOOST_TEST(c.complete());
    BOOST_TEST((c.state_at(3) == state_digest(3)));
    BOOST_TEST((*c.state() == state_digest(6)));
    BOOST_TEST(!c.set_initial(state_digest(1)));
}

BOOST_AUTO_TEST_CASE(a_candidate_waits_for_its_text_and_its_turn) {
    catch_up c(small_shape());
    c.set_initial(state_digest(0));
    c.offer(1, ref_of(entry_of(1)), node(1));
    c.offer(0, ref_of(entry_of(0)), node(1));
    BOOST_TEST(c.expecting());
    BOOST_TEST((c.next() == nullptr));
    BOOST_TEST(arrives(c, entry_of(1)));
    BOOST_TEST((c.next() == nullptr));
    BOOST_TEST(arrives(c, entry_of(0)));
    BOOST_REQUIRE((c.next() != nullptr));
    BOOST_TEST((*c.next()->entry == entry_of(0)));
    c.append(entry_of(0));
    BOOST_TEST((*c.next()->entry == entry_of(1)));
}

BOOST_AUTO_TEST_CASE(texts_that_lie_about_themselves_are_refused_for_good) {
    catch_up c(small_shape());
    c.set_initial(state_digest(0));
    const auto ref = ref_of(entry_of(0));
    c.offer(0, ref, node(1));
    const auto other = text_of(entry_of(0, "other"));
    BOOST_TEST(!c.arrived(ref, base::as_bytes(other)).has_value());
    BOOST_TEST(!c.expecting());
    c.offer(0, ref, node(1));
    BOOST_TEST(!c.expecting());

    auto few = entry_of(0);
    few.contributions.pop_back();
    c.offer(0, ref_of(few), node(1));
    BOOST_TEST(!arrives(c, few));
    auto unvalidated = entry_of(0);
    unvalidated.validation_loss.reset();
    c.offer(0, ref_of(unvalidated), node(1));
    BOOST_TEST(!arrives(c, unvalidated));
    auto short_mean = entry_of(0);
    short_mean.mean.size -= 1;
    c.offer(0, ref_of(short_mean), node(1));
    BOOST_TEST(!arrives(c, short_mean));
    BOOST_TEST((c.next() == nullptr));
    c.check();
}

BOOST_AUTO_TEST_CASE(who_offers_another_chain_is_named) {
    catch_up c(small_shape());
    c.set_initial(base::sha256("another start"));
    c.offer(0, ref_of(entry_of(0)), node(4));
    BOOST_TEST(c.reject_misfits().empty());
    BOOST_TEST(arrives(c, entry_of(0)));
    const auto who = c.reject_misfits();
    BOOST_TEST((who == std::set<base::node_id>{node(4)}));
    BOOST_TEST(!c.expecting());
}

BOOST_AUTO_TEST_CASE(candidates_are_bounded_by_number_and_by_distance) {
    job_shape shape = small_shape();
    shape.rounds = 100;
    catch_up c(shape);
    c.set_initial(state_digest(0));
    for (std::uint8_t i = 0; i < 20; ++i) {
        c.offer(0, {base::sha256(std::to_string(i)), 100}, node(i));
    }
    c.offer(99, {base::sha256("far"), 100}, node(1));
    c.check();
    // The far one is not kept, so asking goes on from where nothing is known.
    BOOST_TEST((c.missing_from(100) == std::optional<std::uint64_t>(1)));
    BOOST_TEST(!c.missing_from(1).has_value());
}

BOOST_AUTO_TEST_CASE(texts_and_means_are_asked_of_those_who_have_them) {
    const crew_timings timings;
    roster members(node(0), 64, timings);
    status s;
    s.chronicle = 1;
    members.heard(base::time_point{}, node(1), s);
    s.chronicle = 0;
    members.heard(base::time_point{}, node(2), s);
    catch_up c(small_shape());
    c.set_initial(state_digest(0));
    c.offer(0, ref_of(entry_of(0)), node(9));  // not a member: cannot be asked
    blob_desk desk(timings);
    std::vector<crew_effect> out;
    c.step(base::time_point{}, members, desk, false, false, out);
    BOOST_REQUIRE(out.size() == 1u);
    const auto ask = std::get<fetch_blob>(out[0]);
    BOOST_TEST((ask.ref == ref_of(entry_of(0))));
    BOOST_TEST(ask.deliver);
    BOOST_TEST((ask.holders == std::vector<base::node_id>{node(1)}));
    desk.arrived(ask.ref);
    BOOST_TEST(arrives(c, entry_of(0)));
    out.clear();
    c.step(base::time_point{}, members, desk, false, false, out);
    BOOST_REQUIRE(out.size() == 1u);
    BOOST_TEST((std::get<fetch_blob>(out[0]).ref == entry_of(0).mean));
    BOOST_TEST(!std::get<fetch_blob>(out[0]).deliver);
}

BOOST_AUTO_TEST_CASE(a_way_to_a_state_is_a_chain_without_a_gap) {
    catch_up c(small_shape());
    c.set_initial(state_digest(0));
    c.append(entry_of(0));
    const auto offer = [&](const chronicle_entry& e, std::uint8_t from) {
        c.offer(e.round.value, ref_of(e), node(from));
        return arrives(c, e);
    };
    BOOST_TEST(c.way_to(4, {}).empty());
    BOOST_TEST(offer(entry_of(1), 1));
    BOOST_TEST(offer(entry_of(3), 1));
    BOOST_TEST(c.way_to(4, {}).size() == 1u);
    // Two say what the second round was: who is preferred is heard.
    BOOST_TEST(offer(entry_of(2, "forged"), 2));
    BOOST_TEST(offer(entry_of(2), 1));
    const auto named = [&](std::uint8_t by) { return c.way_to(4, {node(by)}); };
    BOOST_TEST(named(1).size() == 3u);
    BOOST_TEST((*named(1)[1]->entry == entry_of(2)));
    BOOST_TEST((*named(2)[1]->entry == entry_of(2, "forged")));
    BOOST_TEST((c.history(4, named(1)) != c.history(4, named(2))));
    const auto ahead = c.history(4, named(1));
    for (std::uint64_t round = 1; round < 4; ++round) c.append(entry_of(round));
    BOOST_TEST((c.history(4) == ahead));
    BOOST_TEST((c.history(3) != ahead));
    c.check();
}

BOOST_AUTO_TEST_CASE(on_the_way_to_a_state_no_means_are_fetched_before_it) {
    crew_timings timings;
    blob_desk desk(timings);
    roster members(node(0), 8, timings);
    members.up({}, node(1));
    status said;
    said.chronicle = 5;
    members.heard({}, node(1), said);
    catch_up c(small_shape());
    c.set_initial(state_digest(0));
    c.reach(3);
    for (std::uint64_t round = 0; round < 5; ++round) {
        c.offer(round, ref_of(entry_of(round)), node(1));
        BOOST_TEST(arrives(c, entry_of(round)));
    }
    std::vector<crew_effect> out;
    c.step({}, members, desk, false, false, out);
    BOOST_TEST(out.size() == 2u);
    for (std::uint64_t round = 0; round < 5; ++round) {
        BOOST_TEST(desk.asked(entry_of(round).mean) == (round >= 3));
    }
    c.reach(0);
    c.step({}, members, desk, false, false, out);
    BOOST_TEST(desk.asked(entry_of(0).mean));
    c.check();
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
