#include <rapidcheck.h>

#include "tests/unit/training/crew_fixture.hpp"
#include "training/errc.hpp"

namespace tequio::training::crew_protocol {
namespace {

status some_status() {
    status s;
    s.chronicle = 4;
    s.applied = 3;
    s.state = result_of("state");
    s.settled = 2;
    s.lanes_checked = 7;
    s.doing = doing_kind::item;
    s.item = {3, 2};
    s.available = true;
    s.able = true;
    s.job = job_state::running;
    s.steward = steward_name{4, 9, node(2)};
    s.books = {{2, 77}, {3, 0}, {4, ~std::uint64_t{0}}};
    s.activity = 1234;
    s.tickets = {{2, result_of("secret"), true}, {3, result_of("hash"), false}};
    s.missing = {0, 3};
    s.full = true;
    return s;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_messages)

BOOST_AUTO_TEST_CASE(statuses_survive_the_wire) {
    BOOST_TEST((through_the_wire(some_status()) == some_status()));
    BOOST_TEST((through_the_wire(status{}) == status{}));
}

BOOST_AUTO_TEST_CASE(facts_survive_the_wire_byte_for_byte) {
    facts m;
    m.certificates.emplace_back(node(1), base::byte_vector{1, 2, 3});
    m.claims.push_back(signed_claim(claim_by(1, {2, 3}, "right")).fact);
    m.openings.push_back(
        {opening_body(small_shape().task, {node(1), {2, 3}, trace_of("right")}), {}});
    m.openings_wanted.push_back({2, 1});
    const auto back = through_the_wire(m);
    BOOST_TEST((back.certificates == m.certificates));
    BOOST_TEST((back.claims == m.claims));
    BOOST_TEST((back.openings == m.openings));
    BOOST_TEST((back.openings_wanted == m.openings_wanted));
}

BOOST_AUTO_TEST_CASE(the_other_messages_survive_the_wire) {
    round_open open{3, 8, result_of("state"), {{node(1), {3, 0}}, {node(2), {2, 5}}}, {}, 1, 2};
    open.next = {{node(2), {3, 1}}};
    const auto open_back = through_the_wire(open);
    BOOST_TEST(open_back.term == 8u);
    BOOST_TEST((open_back.assignments == open.assignments));
    BOOST_TEST((open_back.next == open.next));
    BOOST_TEST(open_back.place == 1u);
    BOOST_TEST(open_back.places == 2u);
    book_tags tags{2, 99, 1, {1, 0, 255}, true};
    const auto tags_back = through_the_wire(tags);
    BOOST_TEST((tags_back.tags == tags.tags));
    BOOST_TEST(tags_back.nonce == 99u);
    BOOST_TEST(tags_back.want_back);
    BOOST_TEST(through_the_wire(chronicle_request{5}).from == 5u);
    chronicle_reply reply{1, {{result_of("entry"), 400}}};
    BOOST_TEST((through_the_wire(reply).entries == reply.entries));
}

BOOST_AUTO_TEST_CASE(what_is_out_of_bounds_is_refused) {
    auto s = some_status();
    s.chronicle = 8;  // six rounds and the closing entry are seven
    refused(s);
    s = some_status();
    s.settled = 5;
    refused(s);
    s = some_status();
    s.item = {6, 0};  // the closing round has no lanes
    refused(s);
    s = some_status();
    s.books.assign(books_max + 1, {1, 1});
    refused(s);
    s = some_status();
    s.tickets.push_back({6, result_of("no lanes"), false});
    refused(s);
    s = some_status();
    s.tickets.push_back(s.tickets.back());  // twice for one round
    refused(s);
    s = some_status();
    s.missing = {4};  // four lanes
    refused(s);
    s.missing = {2, 1};
    refused(s);
    s.missing = {1, 1};
    refused(s);
    const auto kept = [](std::uint64_t round, std::uint64_t size) {
        auto out = some_status();
        out.chronicle = 6;
        out.kept = named_state{round, {result_of("state"), size}, result_of("history")};
        return out;
    };
    BOOST_TEST((through_the_wire(kept(5, 900)) == kept(5, 900)));
    refused(kept(0, 900));
    refused(kept(6, 900));  // the last is the model
    refused(kept(5, 0));
    refused(kept(5, base::blob_size_max_bytes + 1));
    s = kept(5, 900);
    s.chronicle = s.settled = 4;
    refused(s);
    s = some_status();
    s.means_from = s.chronicle + 1;
    refused(s);
    refused(book_tags{2, 1, 3, base::byte_vector(4), false});  // six items
    refused(book_tags{7, 1, 0, {}, false});
    refused(chronicle_request{7});
    refused(chronicle_reply{6, {{result_of("a"), 1}, {result_of("b"), 1}}});
    refused(chronicle_reply{0, {{result_of("a"), crew_entry_max_bytes + 1}}});
    refused(round_open{2, counter_max + 1, {}, {}, {}, 0, 0});
    refused(round_open{2, 1, {}, {}, {}, 3, 3});
    refused(round_open{2, 1, {}, {}, {}, 1, 0});
    refused(round_open{2, 1, {}, {}, {}, 0, crew_members_max + 1});
}

BOOST_AUTO_TEST_CASE(messages_of_another_job_are_refused) {
    const auto bytes = encode(base::task_id{base::sha256("another").bytes}, some_status());
    BOOST_TEST(!decode(small_shape(), bytes).has_value());
}

BOOST_AUTO_TEST_CASE(the_largest_messages_stay_below_the_cap) {
    job_shape shape = small_shape(65536);
    book_tags tags{2, 1, 0, base::byte_vector(tags_max, 7), true};
    BOOST_TEST(encode(shape.task, tags).size() <= crew_message_max_bytes);
    chronicle_reply reply;
    reply.entries.assign(entries_max, {result_of("a"), crew_entry_max_bytes});
    BOOST_TEST(encode(shape.task, reply).size() <= crew_message_max_bytes);
    round_open open{shape.rounds, counter_max, result_of("state"), {}, {}, 63, 64};
    for (std::uint8_t i = 0; i < 64; ++i)
        open.assignments.emplace_back(node(i), item_key{5, 65535});
    BOOST_TEST(encode(shape.task, open).size() <= crew_message_max_bytes);
    auto s = some_status();
    s.books.assign(books_max, {6, ~std::uint64_t{0}});
    BOOST_TEST(encode(shape.task, s).size() <= crew_message_max_bytes);
}

BOOST_AUTO_TEST_CASE(claims_survive_and_their_parts_must_fit) {
    const auto shape = small_shape();
    const auto good = claim_by(1, {2, 3}, "right");
    const auto back = parse_claim(shape, claim_body(shape.task, good));
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((*back == good));

    const auto wrong = [&](auto&& change) {
        auto c = good;
        change(c);
        BOOST_TEST(!parse_claim(shape, claim_body(shape.task, c)).has_value());
    };
    wrong([](claim& c) { c.key = {6, 0}; });
    wrong([](claim& c) { c.key.item = 6; });
    wrong([](claim& c) { c.blob_size = 699; });
    wrong([](claim& c) { c.blob_size = 0; });
    wrong([](claim& c) { c.of = c.node; });
    wrong([](claim& c) { c.loss = std::numeric_limits<double>::infinity(); });
    wrong([](claim& c) { c.key.item = 4; });  // a validation has no blob
    wrong([](claim& c) { c.divergence = diverged{1, "tensor"}; });

    auto diverges = good;
    diverges.divergence = diverged{3, "transformer.wte.weight"};
    diverges.result = diverges.divergence->digest();
    diverges.blob_size = 0;
    diverges.loss = 0;
    const auto diverged_back = parse_claim(shape, claim_body(shape.task, diverges));
    BOOST_REQUIRE(diverged_back.has_value());
    BOOST_TEST((*diverged_back == diverges));
    diverges.divergence->tensor = "a\nline";
    diverges.result = diverges.divergence->digest();
    BOOST_TEST(!parse_claim(shape, claim_body(shape.task, diverges)).has_value());

    auto validation = good;
    validation.key.item = shape.validation_item();
    validation.blob_size = 0;
    validation.result = validation_result(validation.loss);
    BOOST_TEST(parse_claim(shape, claim_body(shape.task, validation)).has_value());
    validation.loss = 2.25;
    BOOST_TEST(!parse_claim(shape, claim_body(shape.task, validation)).has_value());
}

BOOST_AUTO_TEST_CASE(stored_claims_survive_the_disk) {
    const auto k = signed_claim(claim_by(1, {2, 3}, "right"));
    const auto bytes = encode_stored_claim(k.fact, trace_of("right"));
    const auto back = decode_stored_claim(bytes);
    BOOST_REQUIRE(back.has_value());
    BOOST_TEST((back->first == k.fact));
    BOOST_TEST((back->second == trace_of("right")));
    BOOST_TEST(!decode_stored_claim(base::byte_view(bytes).first(100)).has_value());
    BOOST_TEST(!decode_stored_claim({}).has_value());
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_message_are_refused_or_read_never_worse) {
    const auto shape = small_shape();
    const auto good = encode(shape.task, some_status());
    BOOST_TEST(rc::check("any bytes", [&] {
        const auto bytes =
            *rc::gen::container<base::byte_vector>(rc::gen::arbitrary<std::uint8_t>());
        (void)decode(shape, bytes);
        (void)parse_claim(shape, bytes);
        (void)parse_opening(shape, bytes);
        (void)decode_stored_claim(bytes);
    }));
    BOOST_TEST(rc::check("a message with a byte changed", [&] {
        auto bytes = good;
        const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
        bytes[at] = *rc::gen::arbitrary<std::uint8_t>();
        const auto decoded = decode(shape, bytes);
        if (!decoded) RC_ASSERT(decoded.error().is(errc::bad_message));
    }));
}

BOOST_AUTO_TEST_CASE(stewards_are_ordered_by_round_term_and_id) {
    const steward_name a{3, 1, node(5)};
    BOOST_TEST((steward_name{4, 0, node(6)}.leads(a)));
    BOOST_TEST((steward_name{3, 2, node(6)}.leads(a)));
    BOOST_TEST((steward_name{3, 1, node(4)}.leads(a)));
    BOOST_TEST(!a.leads(a));
    BOOST_TEST(!(steward_name{2, 9, node(0)}.leads(a)));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training::crew_protocol
