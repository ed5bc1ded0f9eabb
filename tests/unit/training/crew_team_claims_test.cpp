#include "tests/unit/training/crew_driver.hpp"
#include "training/crew/checks.hpp"

// A lane that a team computed: who is named with it, by whose word, and who learns of its check.
namespace tequio::training::crew_protocol {
namespace {

using namespace std::chrono_literals;

constexpr item_key lane_1{0, 1};

job_shape divided_shape() {
    auto shape = small_shape();
    shape.slices = 4;
    return shape;
}

team_call call_of(const std::vector<std::uint8_t>& team, std::uint64_t attempt = 9) {
    team_call call;
    call.item = lane_1;
    call.attempt = attempt;
    call.state = base::sha256("state");
    for (const auto i : team) call.nodes.push_back(node(i));
    return call;
}

/// What member number `slice` signs when it heeds that call.
base::signature part_of(const team_call& call, std::uint32_t slice) {
    const model_slice which{slice, static_cast<std::uint32_t>(call.nodes.size())};
    const auto task = small_shape().task;
    const auto body = slice_body(task, call.item, which, session_of(task, call));
    return key_of(call.nodes[slice]).sign(signed_bytes(fact_kind::slice, body));
}

/// By the first of `team`, the others having signed.
claim team_claim(const std::vector<std::uint8_t>& team, std::string_view what = "right",
                 item_key key = lane_1) {
    auto call = call_of(team);
    call.item = key;
    auto c = claim_by(team[0], key, what);
    c.team.attempt = call.attempt;
    for (std::uint32_t i = 1; i < team.size(); ++i) {
        c.team.members.push_back({call.nodes[i], part_of(call, i)});
    }
    return c;
}

crew_config divided_config(std::uint8_t i) {
    auto c = config_of(i);
    c.slices.max = 4;
    c.slices.memory_bytes = 1;
    c.slices.need_bytes = [](model_slice) { return 1; };
    c.slices.compose = [](const auto&) {
        return base::result<base::digest>(base::sha256("state"));
    };
    return c;
}

/// A message with the claim and the keys of everybody in it.
facts with_keys(const claim& c) {
    facts m;
    for (const auto& id : team_of(c)) {
        const auto key = key_of(id).public_part();
        m.certificates.emplace_back(id, base::byte_vector{key.bytes.begin(), key.bytes.end()});
    }
    m.claims.push_back(signed_claim(c).fact);
    return m;
}

std::uint64_t lanes_of(const driven& d, std::uint8_t i) {
    for (const auto& m : d.core.view().members) {
        if (m.node == node(i)) return m.lanes_done;
    }
    return 0;
}

/// Member `i` takes work.
bool helps(const driven& d, std::uint8_t i) {
    for (const auto& m : d.core.view().members) {
        if (m.node == node(i)) return m.available;
    }
    return false;
}

/// Node 0, which holds all of a model that can be divided, with members 1, 2 and 3 about.
struct listener : driven {
    listener() : driven(divided_config(0)) {
        for (std::uint8_t i = 1; i < 4; ++i) {
            (void)feed(member_up{node(i), certificate_of(i)});
            (void)feed(crew_protocol::from(i, status{}));
        }
        for (int i = 0; i < 40 && !work(); ++i) beat();
        prepare();
        BOOST_TEST((core.view().state_digest == base::sha256("state")));
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_team_claims)

BOOST_AUTO_TEST_CASE(claims_of_teams_survive_and_those_of_one_node_are_what_they_were) {
    const auto shape = divided_shape();
    const auto good = team_claim({1, 2, 3});
    const auto back = parse_claim(shape, claim_body(shape.task, good));
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((*back == good));
    BOOST_TEST((team_of(*back) == std::vector{node(1), node(2), node(3)}));
    const auto alone = claim_by(1, lane_1, "right");
    BOOST_TEST((team_of(alone) == std::vector{node(1)}));
    BOOST_TEST(slice_facts(shape.task, alone).empty());
    // As it was before teams were named.
    BOOST_TEST(base::sha256(claim_body(shape.task, alone)).hex() ==
               "1ab7c0603c8c27c5b19eb925faa5aa8ee569e4a340c53ede73f6558f6b8d7fd1");

    std::vector<std::uint8_t> all(crew_slices_max);
    for (std::uint8_t i = 0; i < all.size(); ++i) all[i] = i;
    auto largest = divided_shape();
    largest.slices = crew_slices_max;
    const auto body = claim_body(shape.task, team_claim(all));
    BOOST_TEST(body.size() <= team_claim_max_bytes);
    BOOST_TEST(parse_claim(largest, body).has_value());
    const facts m = with_keys(team_claim(all));
    BOOST_TEST(decode(largest, encode(largest.task, m)).has_value());
}

BOOST_AUTO_TEST_CASE(teams_out_of_bounds_are_refused) {
    const auto refused = [](auto&& change, std::uint32_t slices = 4) {
        auto shape = divided_shape();
        shape.slices = slices;
        auto c = team_claim({1, 2, 3});
        change(c);
        BOOST_TEST(!parse_claim(shape, claim_body(shape.task, c)).has_value());
    };
    refused([](claim&) {}, 1);  // a job that is never divided
    refused([](claim&) {}, 2);
    refused([](claim& c) { c.team.members[1].node = c.team.members[0].node; });
    refused([](claim& c) { c.team.members[1].node = c.node; });
    refused([](claim& c) { c.team.members.clear(); });  // an attempt of nobody
    refused([](claim& c) {
        c.key.item = divided_shape().validation_item();
        c.blob_size = 0;
        c.result = validation_result(c.loss);
    });
    auto call = call_of({1, 2});
    call.part = part_of(call, 1);
    const auto shape = divided_shape();
    BOOST_TEST((std::get<team_call>(*decode(shape, encode(shape.task, call))) == call));
    call.ended = true;  // nobody takes part in what is over
    BOOST_TEST(!decode(shape, encode(shape.task, call)).has_value());
    call.ended = false;
    call.item.item = shape.validation_item();
    BOOST_TEST(!decode(shape, encode(shape.task, call)).has_value());
}

BOOST_AUTO_TEST_CASE(nobody_is_named_who_did_not_sign_for_that_slice_of_that_attempt) {
    listener d;
    const auto refused = [&](auto&& change) {
        auto c = team_claim({1, 2, 3});
        change(c);
        const auto verdict = d.feed(from(1, with_keys(c)));
        BOOST_REQUIRE(!verdict.has_value());
        BOOST_TEST(verdict.error().is(errc::bad_message));
    };
    refused([](claim& c) { c.team.members[0].signature[3] ^= 1; });
    refused([](claim& c) { c.team.attempt ^= 1; });                           // another session
    refused([](claim& c) { c.team.members.pop_back(); });                     // one is left out
    refused([](claim& c) { c.team.members.erase(c.team.members.begin()); });  // another one
    refused([](claim& c) { std::swap(c.team.members[0], c.team.members[1]); });
    refused([](claim& c) { c.team.members[1].node = node(5); });                 // a stranger
    refused([](claim& c) { c.team = team_claim({1, 2, 3}, "", {0, 2}).team; });  // another lane
    refused([](claim& c) { c.node = node(0), c.commitment = {}; });
    for (std::uint8_t i = 1; i < 4; ++i) BOOST_TEST(lanes_of(d, i) == 0u);
    auto unkeyed = with_keys(team_claim({1, 2, 6}));
    unkeyed.certificates.pop_back();
    BOOST_TEST(!d.feed(from(1, unkeyed)).has_value());
    BOOST_TEST(d.feed(from(2, with_keys(team_claim({1, 2, 3})))).has_value());
    for (std::uint8_t i = 1; i < 4; ++i) BOOST_TEST(lanes_of(d, i) == 1u);
}

BOOST_AUTO_TEST_CASE(whoever_led_a_team_is_not_believed_to_have_been_alone) {
    listener d;
    status s;
    s.able = s.available = true;
    s.doing = doing_kind::item;
    s.item = {0, small_shape().validation_item()};  // which nobody is named with
    s.slices.emplace();
    s.slices->fits = {0, 3};
    s.slices->seat = model_slice{0, 2};
    BOOST_TEST(d.feed(from(1, s)).has_value());
    auto validation = claim_by(1, s.item, "");
    validation.blob_size = 0;
    validation.result = validation_result(validation.loss);
    BOOST_TEST(d.feed(from(1, with_keys(validation))).has_value());
    s.item = lane_1;
    BOOST_TEST(d.feed(from(1, s)).has_value());
    BOOST_TEST(helps(d, 1));
    const auto alone = claim_by(1, lane_1, "right");
    BOOST_TEST(d.feed(from(1, with_keys(alone))).has_value());
    BOOST_TEST(d.feed(from(2, with_keys(alone))).has_value());
    BOOST_TEST(lanes_of(d, 1) == 0u);
    BOOST_TEST(d.feed(from(1, s)).has_value());
    BOOST_TEST(!helps(d, 1));
    BOOST_TEST(d.feed(from(1, with_keys(team_claim({1, 2})))).has_value());
    BOOST_TEST(lanes_of(d, 1) == 1u);
    // Of another lane nobody has seen anything like that.
    BOOST_TEST(d.feed(from(1, with_keys(claim_by(1, {0, 2}, "right")))).has_value());
    BOOST_TEST(lanes_of(d, 1) == 2u);
}

BOOST_AUTO_TEST_CASE(members_learn_of_their_lanes_checks_from_the_claims) {
    crew_timings timings;
    const auto records_at = [&](std::uint8_t i, const std::vector<claim>& claims) {
        round_book book(small_shape(), 0, base::sha256("state"), node(i));
        check_desk desk(small_shape(), node(i), timings);
        std::vector<crew_effect> out;
        for (const auto& c : claims) {
            book.add(signed_claim(c));
            desk.pair_up({}, book, lane_1.item, out);
            desk.pair_up({}, book, lane_1.item, out);
        }
        desk.check();
        std::vector<check_recorded> found;
        for (const auto& e : out) found.push_back(std::get<check_recorded>(e));
        return found;
    };
    const auto check_by = [](const std::vector<std::uint8_t>& team, std::string_view what) {
        auto c = team_claim(team, what);
        c.of = node(1);
        return c;
    };
    for (const auto i : std::vector<std::uint8_t>{2, 3, 5}) {
        const auto matched = records_at(i, {check_by({4, 5}, "right"), team_claim({1, 2, 3})});
        BOOST_REQUIRE(matched.size() == 1u);
        const auto& r = matched[0];
        BOOST_TEST((r.verdict == check_verdict::matched));
        BOOST_TEST((r.worker == node(1) && r.checker == node(4)));
        BOOST_TEST((r.workers == std::vector{node(1), node(2), node(3)}));
        BOOST_TEST((r.checkers == std::vector{node(4), node(5)}));
        BOOST_TEST((r.result == result_of("right") && r.commitment != r.checker_commitment));
        const auto refuted = records_at(i, {team_claim({1, 2, 3}), check_by({4, 5}, "wrong")});
        BOOST_REQUIRE(refuted.size() == 1u);
        BOOST_TEST((refuted[0].verdict == check_verdict::refuted));
        BOOST_TEST((refuted[0].checker_result == result_of("wrong")));
    }
    // Whoever has no part in either learns nothing, and the first members go by traces.
    for (const auto i : std::vector<std::uint8_t>{1, 4, 6}) {
        BOOST_TEST(records_at(i, {team_claim({1, 2, 3}), check_by({4, 5}, "right")}).empty());
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
