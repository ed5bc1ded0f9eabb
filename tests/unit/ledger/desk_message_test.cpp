#include "ledger/wire/desk_message.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/ledger/fixture.hpp"

using namespace tequio;
using namespace tequio::ledger;
using namespace tequio::ledger::testing;

namespace {

std::vector<message> samples() {
    return {introduction{alice.certificate, true}, introduction{alice.certificate, false},
            offer{signed_receipt(lane_facts(alice, bob), alice, bob).encode()}, answer{"x"},
            refusal{base::sha256("t"), refusal_code::conflict, "because"}};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(desk_messages)

BOOST_AUTO_TEST_CASE(come_back_as_they_were) {
    for (const auto& m : samples()) {
        const auto back = decode_message(encode_message(m));
        BOOST_REQUIRE(back);
        BOOST_TEST((*back == m));
    }
}

BOOST_AUTO_TEST_CASE(are_refused_when_cut_short_or_followed_by_bytes) {
    for (const auto& m : samples()) {
        const auto bytes = encode_message(m);
        for (std::size_t n = 0; n < bytes.size(); ++n) {
            BOOST_TEST(!decode_message(base::byte_view(bytes).first(n)));
        }
        auto longer = bytes;
        longer.push_back(0);
        BOOST_TEST(!decode_message(longer));
    }
}

BOOST_AUTO_TEST_CASE(are_refused_with_unknown_version_kind_flag_or_code) {
    auto bytes = encode_message(introduction{alice.certificate, true});
    bytes[0] = 2;
    BOOST_TEST(!decode_message(bytes));
    bytes[0] = 1, bytes[1] = 5;
    BOOST_TEST(!decode_message(bytes));
    bytes[1] = 1, bytes[2] = 2;
    BOOST_TEST(!decode_message(bytes));
    auto no = encode_message(refusal{base::sha256("t"), refusal_code::disagree, ""});
    no[34] = 3;
    BOOST_TEST(!decode_message(no));
    BOOST_TEST(!decode_message(base::byte_vector(message_size_max_bytes + 1, 1)));
}

BOOST_AUTO_TEST_CASE(a_reason_cannot_carry_terminal_escapes) {
    auto bytes = encode_message(refusal{base::sha256("t"), refusal_code::disagree, "abc"});
    bytes.back() = 0x1b;
    BOOST_TEST(!decode_message(bytes));
}

BOOST_AUTO_TEST_SUITE_END()
