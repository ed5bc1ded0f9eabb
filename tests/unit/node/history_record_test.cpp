#include "node/governor/history_record.hpp"

#include <boost/test/unit_test.hpp>

namespace tequio::node {
namespace {

governor_change change(std::int64_t at, std::string reason = "idle; 4 of 4 threads") {
    return {base::unix_time{at}, reason_code::idle, 4, std::move(reason)};
}

BOOST_AUTO_TEST_SUITE(history_record_suite)

BOOST_AUTO_TEST_CASE(what_was_kept_comes_back_in_order_and_bounded) {
    std::map<std::string, std::string> disk;
    history_record record;
    for (int i = 0; i < 1000; ++i) {
        auto [key, text] = record.add(change(i));
        disk[key] = text;
        // As after a kill at any moment.
        if (i % 97 != 0) continue;
        history_record next;
        for (const auto& [k, t] : disk) BOOST_TEST(next.restore(k, t).has_value());
        const auto before = record.changes(), after = next.changes();
        BOOST_REQUIRE(before.size() == after.size());
        for (std::size_t at = 0; at < before.size(); ++at) {
            BOOST_TEST(before[at].at.seconds == after[at].at.seconds);
        }
        record = next;
    }
    BOOST_TEST(disk.size() == governor_history_max);
    BOOST_TEST(record.changes().size() == governor_history_max);
    BOOST_TEST(record.changes().front().at.seconds == 744);
    BOOST_TEST(record.changes().back().at.seconds == 999);
}

BOOST_AUTO_TEST_CASE(every_code_and_any_reason_come_back) {
    for (int i = 0; i <= static_cast<int>(reason_code::idle); ++i) {
        for (const auto* reason : {"", " ", "two  spaces; and\nlines", "\xff\x01"}) {
            const governor_change given{base::unix_time{-5}, static_cast<reason_code>(i), 65536,
                                        reason};
            history_record first, second;
            const auto [key, text] = first.add(given);
            BOOST_REQUIRE(second.restore(key, text).has_value());
            const auto back = second.changes().at(0);
            BOOST_TEST((back.code == given.code && back.at == given.at));
            BOOST_TEST(back.threads == given.threads);
            BOOST_TEST(back.reason == given.reason);
        }
    }
    history_record record, restored;
    const auto [key, text] = record.add(change(1, std::string(5000, 'x')));
    BOOST_TEST(restored.restore(key, text).has_value());
    BOOST_TEST(restored.changes().at(0).reason.size() == history_record::reason_bytes_max);
}

BOOST_AUTO_TEST_CASE(what_is_malformed_changes_nothing) {
    history_record record;
    const std::string long_reason(history_record::reason_bytes_max + 1, 'x');
    const std::pair<std::string, std::string> bad[] = {
        {"000", ""},
        {"000", "1"},
        {"000", "1 0 0 0"},
        {"000", "2 0 0 0 idle x"},
        {"000", "1 -1 0 0 idle x"},
        {"000", "1 0 x 0 idle x"},
        {"000", "1 0 0 -1 idle x"},
        {"000", "1 0 0 70000 idle x"},
        {"000", "1 0 0 0 busy x"},
        {"000", "1 0 0 0 idle " + long_reason},
        {"001", "1 0 0 0 idle x"},
        {"0", "1 0 0 0 idle x"},
        {"000", "1 18446744073709551360 0 0 idle x"},
        {"", "1 0 0 0 idle x"},
    };
    for (const auto& [key, text] : bad) {
        BOOST_TEST(!record.restore(key, text).has_value(), key << " " << text);
    }
    BOOST_TEST(record.changes().empty());
    BOOST_TEST(record.restore("000", "1 256 0 0 idle x").has_value());
    BOOST_TEST(record.add(change(7)).first == "001");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
