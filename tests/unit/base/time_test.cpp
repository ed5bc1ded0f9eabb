#include "base/time.hpp"

#include <boost/test/unit_test.hpp>

using namespace tequio::base;

BOOST_AUTO_TEST_SUITE(times)

BOOST_AUTO_TEST_CASE(rfc_3339_has_one_form) {
    BOOST_TEST(to_rfc3339({0}) == "1970-01-01T00:00:00Z");
    BOOST_TEST(to_rfc3339({1795435200}) == "2026-11-23T12:00:00Z");
    BOOST_TEST(from_rfc3339("2026-11-23T12:00:00Z")->seconds == 1795435200);
    BOOST_TEST(from_rfc3339("2024-02-29T23:59:59Z").has_value());
    for (const auto* bad :
         {"", "2026-11-23", "2026-11-23T12:00:00", "2026-11-23t12:00:00Z", "2026-11-23T12:00:00z",
          "2026-11-23 12:00:00Z", "2026-11-23T12:00:00+00:00", "2026-11-23T24:00:00Z",
          "2026-11-23T12:60:00Z", "2026-11-23T12:00:60Z", "2026-13-23T12:00:00Z",
          "2026-00-23T12:00:00Z", "2026-02-29T12:00:00Z", "2026-11-00T12:00:00Z",
          "2026-11-23T12:00:0 Z", "+026-11-23T12:00:00Z", "2026-11-23T12:00:00.0Z"}) {
        BOOST_TEST(!from_rfc3339(bad).has_value(), bad);
    }
}

BOOST_AUTO_TEST_SUITE_END()
