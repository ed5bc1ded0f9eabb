/// Addresses as people and peers write them.

#include "p2p/address.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio;

namespace {

p2p::address parsed(std::string_view text) {
    const auto a = p2p::parse_address(text);
    BOOST_REQUIRE_MESSAGE(a.has_value(), text);
    return *a;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(address)

BOOST_AUTO_TEST_CASE(reads_and_writes_the_usual_forms) {
    for (const auto* text : {"127.0.0.1:47100", "[::1]:1", "example.org:65535", "node-1:0",
                             "[2001:db8::7]:47100", "0.0.0.0:0", "my_host:5"}) {
        BOOST_TEST(parsed(text).text() == text);
    }
}

BOOST_AUTO_TEST_CASE(brings_equal_addresses_to_one_form) {
    BOOST_TEST(parsed("[::FFFF:10.0.0.1]:5").text() == "10.0.0.1:5");
    BOOST_TEST(parsed("[2001:DB8:0:0::7]:5").text() == "[2001:db8::7]:5");
    BOOST_TEST(parsed("Example.ORG:5").text() == "example.org:5");
}

BOOST_AUTO_TEST_CASE(refuses_what_is_not_host_and_port) {
    for (const auto* text :
         {"",        ":",      "host",    "host:",         ":5",      "host:65536",  "host:-1",
          "host: 5", "::1:5",  "[::1]",   "[10.0.0.1]:5",  "1.2.3:5", "1.2.3.4.5:5", "300.1.1.1:5",
          "a..b:5",  "-a.b:5", "ho st:5", "h\xc3\xb6st:5", "a/b:5",   "host:05"}) {
        const auto a = p2p::parse_address(text);
        BOOST_TEST(!a.has_value(), "accepted: " << text);
        if (!a) BOOST_TEST(a.error().is(p2p::errc::bad_address));
    }
    BOOST_TEST(!p2p::parse_address(std::string(300, 'a') + ":5").has_value());
    BOOST_TEST(!p2p::parse_address(std::string_view("a\0b:5", 5)).has_value());
}

BOOST_AUTO_TEST_CASE(knows_loopback_and_local_networks) {
    BOOST_TEST(parsed("127.9.9.9:1").is_loopback());
    BOOST_TEST(parsed("[::1]:1").is_loopback());
    BOOST_TEST(parsed("[::ffff:127.0.0.1]:1").is_loopback());
    BOOST_TEST(parsed("localhost:1").is_loopback());
    BOOST_TEST(!parsed("128.0.0.1:1").is_loopback());
    BOOST_TEST(!parsed("localhost.example.org:1").is_loopback());
    for (const auto* text : {"10.1.2.3:1", "172.16.0.1:1", "172.31.255.1:1", "192.168.1.1:1",
                             "169.254.1.1:1", "[fd00::1]:1", "[fe80::1]:1", "127.0.0.1:1"}) {
        BOOST_TEST(parsed(text).is_local(), text);
    }
    for (const auto* text : {"172.32.0.1:1", "11.0.0.1:1", "192.169.0.1:1", "[2001:db8::1]:1"}) {
        BOOST_TEST(!parsed(text).is_local(), text);
    }
}

BOOST_AUTO_TEST_CASE(groups_addresses_that_one_party_can_own) {
    BOOST_TEST(parsed("8.8.1.1:1").netgroup() == parsed("8.8.200.3:9").netgroup());
    BOOST_TEST(parsed("8.8.1.1:1").netgroup() != parsed("8.9.1.1:1").netgroup());
    BOOST_TEST(parsed("[2001:db8:1::1]:1").netgroup() == parsed("[2001:db8:ffff::2]:1").netgroup());
    BOOST_TEST(parsed("a.example.org:1").netgroup() == parsed("b.example.org:1").netgroup());
}

BOOST_AUTO_TEST_SUITE_END()
