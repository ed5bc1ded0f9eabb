#include "node/governor/agent_report.hpp"

#include <boost/test/unit_test.hpp>

#include "node/core/errc.hpp"

using namespace tequio;
using node::agent_report;
using std::chrono::milliseconds;

namespace {

/// The sentence with which a text is refused.
std::string refusal(std::string_view text) {
    const auto read = node::parse_agent_report(text);
    BOOST_REQUIRE_MESSAGE(!read, "taken: " << text);
    BOOST_TEST(read.error().is(node::errc::bad_request));
    return read.error().message();
}

bool has(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(agent_report_text_form)

BOOST_AUTO_TEST_CASE(is_the_text_of_the_contract) {
    const agent_report report{"x11", milliseconds(1234), false, std::nullopt};
    BOOST_TEST(node::agent_report_text(report) ==
               R"({"source":"x11","idle_ms":1234,"locked":false,"full_screen":null})");
}

BOOST_AUTO_TEST_CASE(reads_back_what_it_wrote) {
    for (const auto* source : {"wayland", "gnome", "x11"}) {
        for (const auto idle : {milliseconds(0), milliseconds(1), node::agent_idle_max}) {
            for (const bool locked : {false, true}) {
                for (const auto full :
                     {std::optional<bool>(), std::optional(false), std::optional(true)}) {
                    const agent_report report{source, idle, locked, full};
                    const auto text = node::agent_report_text(report);
                    BOOST_TEST(text.size() <= 100U);
                    const auto read = node::parse_agent_report(text);
                    BOOST_REQUIRE_MESSAGE(read, read.error().message());
                    BOOST_TEST((*read == report));
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(brings_impossible_idleness_into_range) {
    BOOST_TEST(
        has(node::agent_report_text({"gnome", milliseconds(-5), true, true}), "\"idle_ms\":0,"));
    const auto text = node::agent_report_text({"gnome", milliseconds::max(), true, true});
    BOOST_TEST((node::parse_agent_report(text)->idle == node::agent_idle_max));
}

BOOST_AUTO_TEST_CASE(takes_keys_in_any_order_and_with_space) {
    const auto read = node::parse_agent_report(
        " { \"full_screen\" : true, \"locked\" : true, \"idle_ms\" : 7, \"source\" : \"wayland\" "
        "}");
    BOOST_REQUIRE_MESSAGE(read, read.error().message());
    BOOST_TEST((*read == agent_report{"wayland", milliseconds(7), true, true}));
}

BOOST_AUTO_TEST_CASE(refuses_naming_key_found_and_allowed) {
    const auto with = [](const std::string& source, const std::string& idle,
                         const std::string& locked, const std::string& full) {
        return "{\"source\":" + source + ",\"idle_ms\":" + idle + ",\"locked\":" + locked +
               ",\"full_screen\":" + full + "}";
    };
    const std::string ok = "\"x11\"";
    BOOST_TEST(refusal(with("\"tty\"", "1", "true", "null")) ==
               "agent report: source: found \"tty\", allowed: \"wayland\", \"gnome\" or \"x11\"");
    BOOST_TEST(has(refusal(with("7", "1", "true", "null")), "source: found 7"));
    for (const auto* idle : {"-1", "1.5", "1e3", "\"1\"", "null", "31622400001",
                             "18446744073709551615", "99999999999999999999999"}) {
        const auto sentence = refusal(with(ok, idle, "true", "null"));
        BOOST_TEST(has(sentence, "idle_ms: found "), sentence);
        BOOST_TEST(has(sentence, "allowed: a whole number from 0 to 31622400000"), sentence);
    }
    BOOST_TEST(has(refusal(with(ok, "1", "0", "null")), "locked: found 0, allowed: true or false"));
    BOOST_TEST(has(refusal(with(ok, "1", "null", "null")), "locked: found null"));
    BOOST_TEST(has(refusal(with(ok, "1", "true", "\"yes\"")), "full_screen: found \"yes\""));
    BOOST_TEST(has(refusal(R"({"source":"x11","idle_ms":1,"locked":true})"),
                   "full_screen: found nothing"));
    BOOST_TEST(has(refusal("{}"), "source: found nothing"));
}

BOOST_AUTO_TEST_CASE(refuses_anything_beyond_the_four_keys) {
    const auto sentence = refusal(
        R"({"source":"x11","idle_ms":1,"locked":true,"full_screen":null,"title":"letter"})");
    BOOST_TEST(has(sentence, "found the key \"title\""), sentence);
}

BOOST_AUTO_TEST_CASE(refuses_what_is_no_object_or_too_long) {
    BOOST_TEST(has(refusal(""), "not JSON"));
    BOOST_TEST(has(refusal("{"), "not JSON"));
    BOOST_TEST(has(refusal("[1]"), "allowed: a JSON object"));
    BOOST_TEST(has(refusal(std::string(300, '[')), "not JSON"));
    const std::string padded = node::agent_report_text({"x11", milliseconds(1), true, true}) +
                               std::string(node::agent_report_max_bytes, ' ');
    BOOST_TEST(has(refusal(padded), "allowed: at most 512"));
    std::string umlauts;
    for (int i = 0; i < 100; ++i) umlauts += "\xc3\xa4";
    for (const auto* shift : {"", "x"}) {
        const auto sentence = refusal("{\"source\":\"" + (shift + umlauts) + "\"}");
        BOOST_TEST(has(sentence, "\xc3\xa4..."), sentence);
    }
    // A long wrong value is not repeated at length.
    BOOST_TEST(refusal("{\"source\":\"" + std::string(400, 'x') + "\"}").size() < 150U);
}

BOOST_AUTO_TEST_SUITE_END()
