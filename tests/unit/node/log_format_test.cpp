#include "node/io/log_format.hpp"

#include <boost/json.hpp>
#include <boost/test/unit_test.hpp>

namespace tequio::node {
namespace {

std::string message_of(std::string_view message) {
    const auto line = json_log_line(1'795'994'556'007, "info", message);
    BOOST_TEST(line.find('\n') == std::string::npos);
    const auto value = boost::json::parse(line).as_object();
    BOOST_TEST(value.size() == 3u);
    return std::string(value.at("message").as_string());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(log_format_suite)

BOOST_AUTO_TEST_CASE(a_line_is_one_object_of_time_level_and_message) {
    BOOST_TEST(json_log_line(1'795'994'556'007, "warning", "a \"word\"") ==
               R"({"time":"2026-11-29T23:22:36.007Z","level":"warning","message":"a \"word\""})");
}

BOOST_AUTO_TEST_CASE(newlines_and_control_characters_stay_inside) {
    BOOST_TEST(message_of("one\ntwo\x01\t\\") == "one\ntwo\x01\t\\");
}

BOOST_AUTO_TEST_CASE(what_is_no_utf8_becomes_a_replacement_character) {
    const std::string bad = "\xef\xbf\xbd";
    BOOST_TEST(message_of("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80") ==
               "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80");
    BOOST_TEST(message_of("a\xff") == "a" + bad);
    BOOST_TEST(message_of("\xc3") == bad);
    BOOST_TEST(message_of("\xc0\x80") == bad + bad);            // overlong
    BOOST_TEST(message_of("\xed\xa0\x80") == bad + bad + bad);  // a surrogate
    BOOST_TEST(message_of("\xe2\x82(") == bad + bad + "(");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
