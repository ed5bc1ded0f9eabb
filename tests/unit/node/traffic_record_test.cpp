#include "node/core/traffic_record.hpp"

#include <boost/test/unit_test.hpp>

namespace tequio::node {
namespace {

base::unix_time at(std::string_view text) {
    return *base::from_rfc3339(text);
}

BOOST_AUTO_TEST_SUITE(traffic_record_suite)

BOOST_AUTO_TEST_CASE(months_are_counted_apart_and_come_back) {
    traffic_record r;
    std::map<std::string, std::string> disk;
    const auto add = [&](traffic_sum more, std::string_view when) {
        for (const auto& [key, text] : r.add(more, at(when))) {
            if (text) {
                disk[key] = *text;
            } else {
                BOOST_TEST(disk.erase(key) == 1u);
            }
        }
    };
    add({3, 4}, "2026-11-01T00:00:00Z");
    add({10, 20}, "2026-11-30T23:59:59Z");
    add({1, 0}, "2026-12-01T00:00:00Z");
    BOOST_TEST(r.month(at("2026-11-15T12:00:00Z")).sent == 13u);
    BOOST_TEST(r.month(at("2026-11-15T12:00:00Z")).received == 24u);
    BOOST_TEST(r.month(at("2026-12-15T12:00:00Z")).all() == 1u);
    BOOST_TEST(r.month(at("2027-01-15T12:00:00Z")).all() == 0u);
    for (int year = 2027; year < 2030; ++year) {
        for (const auto* month : {"-03", "-06", "-07", "-09", "-12"}) {
            add({1, 1}, std::to_string(year) + month + "-05T00:00:00Z");
        }
    }
    BOOST_TEST(disk.size() == traffic_record::months_max);
    BOOST_TEST(!disk.contains("2026-11"));
    traffic_record again;
    for (const auto& [key, text] : disk) BOOST_TEST(again.restore(key, text).has_value());
    BOOST_TEST(again.month(at("2029-12-31T00:00:00Z")).all() == 2u);
    // Back from years ahead: this month stays.
    add({7, 7}, "2026-11-20T00:00:00Z");
    BOOST_TEST(r.month(at("2026-11-20T00:00:00Z")).all() == 14u);
    BOOST_TEST(disk.size() == traffic_record::months_max);
}

BOOST_AUTO_TEST_CASE(a_month_ends_where_the_next_begins) {
    for (const auto& [now, next] :
         std::map<std::string, std::string>{{"2026-11-30T23:59:59Z", "2026-12-01T00:00:00Z"},
                                            {"2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
                                            {"2028-02-29T10:00:00Z", "2028-03-01T00:00:00Z"},
                                            {"2026-01-31T10:00:00Z", "2026-02-01T00:00:00Z"}}) {
        BOOST_TEST(base::to_rfc3339(traffic_record::next_month(at(now))) == next);
    }
}

BOOST_AUTO_TEST_CASE(what_is_malformed_is_refused_and_changes_nothing) {
    for (const auto& [key, text] :
         std::vector<std::pair<std::string, std::string>>{{"", "1 2"},
                                                          {"2026-13", "1 2"},
                                                          {"2026-1", "1 2"},
                                                          {"2026-11-01", "1 2"},
                                                          {"2026-11", ""},
                                                          {"2026-11", "1"},
                                                          {"2026-11", "1 2 3"},
                                                          {"2026-11", "-1 2"},
                                                          {"2026-11", "1 99999999999999999999"}}) {
        traffic_record r;
        BOOST_TEST(!r.restore(key, text).has_value(), key << ": " << text);
        BOOST_TEST(r.month(at("2026-11-01T00:00:00Z")).all() == 0u);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
