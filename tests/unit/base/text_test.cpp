#include "base/text.hpp"

#include <boost/test/unit_test.hpp>
#include <limits>

using namespace tequio::base;
using std::chrono::nanoseconds;

BOOST_AUTO_TEST_SUITE(texts)

BOOST_AUTO_TEST_CASE(whole_numbers_have_one_form) {
    BOOST_TEST(*parse_u64("0") == 0u);
    BOOST_TEST(*parse_u64("18446744073709551615") == std::numeric_limits<std::uint64_t>::max());
    for (const auto* bad : {"", "00", "01", "+1", "-1", " 1", "1 ", "1.0", "1e3", "0x1",
                            "18446744073709551616", "99999999999999999999"}) {
        BOOST_TEST(!parse_u64(bad).has_value(), bad);
    }
    BOOST_TEST(*parse_i64("-40") == -40);
    BOOST_TEST(*parse_i64("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
    BOOST_TEST(*parse_i64("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
    for (const auto* bad :
         {"", "-", "-0", "--1", "+1", "-01", "9223372036854775808", "-9223372036854775809"}) {
        BOOST_TEST(!parse_i64(bad).has_value(), bad);
    }
}

BOOST_AUTO_TEST_CASE(reals_are_finite_and_shortest_reads_back) {
    BOOST_TEST(*parse_real("4e-4") == 0.0004);
    BOOST_TEST(*parse_real("-0.5") == -0.5);
    for (const auto* bad : {"", "inf", "nan", "-inf", "1e400", "1.0x", " 1", "+1", "0x1p3"}) {
        BOOST_TEST(!parse_real(bad).has_value(), bad);
    }
    for (const double v : {0.1, 1.0 / 3, 4e-4, 1e300, 5e-324, -0.0, 1234567.0}) {
        BOOST_TEST(*parse_real(shortest(v)) == v);
        BOOST_TEST(*parse_real(shortest_real(v)) == v);
        BOOST_TEST(!parse_i64(shortest_real(v)));
    }
}

BOOST_AUTO_TEST_CASE(split_keeps_empty_parts) {
    BOOST_TEST(split("a,,b", ',') == (std::vector<std::string_view>{"a", "", "b"}),
               boost::test_tools::per_element());
    BOOST_TEST(split("", ',').size() == 1);
    BOOST_TEST(split(",", ',').size() == 2);
}

BOOST_AUTO_TEST_CASE(sizes_rates_and_durations_have_the_documented_units) {
    BOOST_TEST(*parse_size("2GiB") == std::uint64_t{1} << 31);
    BOOST_TEST(*parse_size("1.5KiB") == 1536u);
    BOOST_TEST(*parse_size("17B") == 17u);
    BOOST_TEST(*parse_size("17") == 17u);
    BOOST_TEST(*parse_rate("8Mbit/s") == 8000000u);
    BOOST_TEST(*parse_rate("64kbit/s") == 64000u);
    BOOST_TEST((*parse_duration("90s") == nanoseconds(90000000000)));
    BOOST_TEST((*parse_duration("7d") == nanoseconds(604800000000000)));
    BOOST_TEST((*parse_duration("250ms") == nanoseconds(250000000)));
    for (const auto* bad :
         {"", "GiB", "2GB", "2 GiB", "-1KiB", "1e3KiB", "99999999999TiB", ".", "1.2.3KiB"}) {
        BOOST_TEST(!parse_size(bad).has_value(), bad);
    }
    for (const auto* bad : {"", "90", "90S", "1y", "-1s", "999999999999d"}) {
        BOOST_TEST(!parse_duration(bad).has_value(), bad);
    }
    BOOST_TEST(!parse_rate("8MB/s").has_value());
    BOOST_TEST(parse_size("2GB").error().message() ==
               "found \"2GB\", allowed: a size like 512MiB or 2GiB");
}

BOOST_AUTO_TEST_CASE(utf8_sequences_are_measured_and_judged) {
    BOOST_TEST(utf8_length("") == 0);
    BOOST_TEST(utf8_length("a\xff") == 1);
    BOOST_TEST(utf8_length("\xc2\x80") == 2);
    BOOST_TEST(utf8_length("\xe0\xa0\x80") == 3);
    BOOST_TEST(utf8_length("\xf4\x8f\xbf\xbf") == 4);
    for (const auto* bad : {"\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xe5\xad", "\xed\xa0\x80",
                            "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
        BOOST_TEST(utf8_length(bad) == 0, bad);
    }
}

BOOST_AUTO_TEST_CASE(people_read_short_sizes_and_durations) {
    BOOST_TEST(human_size(17) == "17 B");
    BOOST_TEST(human_size(1536) == "1.5 KiB");
    BOOST_TEST(human_size(std::uint64_t{3} << 40) == "3.0 TiB");
    BOOST_TEST(human_duration(std::chrono::seconds(4)) == "4 s");
    BOOST_TEST(human_duration(std::chrono::seconds(200)) == "3 min 20 s");
    BOOST_TEST(human_duration(std::chrono::minutes(62)) == "1 h 02 min");
}

BOOST_AUTO_TEST_SUITE_END()
