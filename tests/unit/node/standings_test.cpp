#include "node/core/standings.hpp"

#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"

namespace tequio::node {
namespace {

constexpr base::unix_time first_day{1'800'000'000};

base::node_id node(int i) {
    return {base::sha256("node " + std::to_string(i)).bytes};
}
base::unix_time day_after(std::int64_t days) {
    return {first_day.seconds + days * base::day_seconds};
}
training::standing_changed matched(int i, std::uint64_t count) {
    return {node(i), count, false, false};
}
training::standing_changed refuted(int i) {
    return {node(i), 3, true, true};
}
/// What is known of a node; nothing when it counts for nothing.
std::optional<training::crew_standing> of(const standings& s, int i, base::unix_time now) {
    for (const auto& k : s.known(now)) {
        if (k.node == node(i)) return k;
    }
    return std::nullopt;
}

BOOST_AUTO_TEST_SUITE(standings_suite)

BOOST_AUTO_TEST_CASE(matches_add_up_over_jobs_and_lapse_after_thirty_days) {
    standings s;
    s.add(matched(1, 12), first_day);
    s.add(matched(1, 9), day_after(29));
    BOOST_TEST(of(s, 1, day_after(29))->matched == 21u);
    BOOST_TEST(!of(s, 1, day_after(29))->refuted);
    BOOST_TEST(of(s, 1, day_after(58)).has_value());
    BOOST_TEST(!of(s, 1, day_after(59)).has_value());
    s.add(matched(1, 2), day_after(60));
    BOOST_TEST(of(s, 1, day_after(60))->matched == 2u);
    BOOST_TEST(!of(s, 2, day_after(60)).has_value());
}

BOOST_AUTO_TEST_CASE(a_contradiction_begins_again_and_a_refutation_counts_for_thirty_days) {
    standings s;
    s.add(matched(1, 50), first_day);
    s.add({node(1), 4, true, false}, first_day);
    BOOST_TEST(of(s, 1, first_day)->matched == 0u);
    BOOST_TEST(!of(s, 1, first_day)->refuted);
    s.add(matched(1, 50), first_day);
    s.add(refuted(1), day_after(1));
    s.add(matched(1, 50), day_after(2));
    BOOST_TEST(of(s, 1, day_after(30))->refuted);
    BOOST_TEST(of(s, 1, day_after(30))->matched == 0u);
    // Then it is as if never met, and what it matched meanwhile is gone.
    BOOST_TEST(!of(s, 1, day_after(31)).has_value());
    s.add(matched(1, 5), day_after(31));
    BOOST_TEST(of(s, 1, day_after(31))->matched == 5u);
    BOOST_TEST(!of(s, 1, day_after(31))->refuted);
}

BOOST_AUTO_TEST_CASE(what_was_kept_comes_back_and_is_bounded) {
    std::map<std::string, std::string> disk;
    const auto keep = [&](const std::vector<standings::change>& changes) {
        for (const auto& [key, text] : changes) {
            if (text) {
                disk[key] = *text;
            } else {
                BOOST_TEST(disk.erase(key) == 1u);
            }
        }
    };
    standings s;
    keep(s.add(refuted(0), day_after(1)));
    for (int i = 1; i < 1500; ++i) keep(s.add(matched(i, 1 + i % 30), {first_day.seconds + i}));
    BOOST_TEST(disk.size() == standings::nodes_max);
    standings again;
    for (const auto& [key, text] : disk) BOOST_TEST(again.restore(key, text).has_value());
    const auto before = s.known(day_after(1)), back = again.known(day_after(1));
    BOOST_REQUIRE(before.size() == standings::nodes_max);
    BOOST_REQUIRE(before.size() == back.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
        BOOST_TEST((before[i].node == back[i].node));
        BOOST_TEST(before[i].matched == back[i].matched);
        BOOST_TEST(before[i].refuted == back[i].refuted);
    }
    // Whoever was heard of longest ago went first.
    BOOST_TEST(!of(again, 1, day_after(1)).has_value());
    BOOST_TEST(of(again, 1499, day_after(1)).has_value());
    BOOST_TEST(of(again, 0, day_after(1))->refuted);
}

BOOST_AUTO_TEST_CASE(what_is_malformed_is_refused_and_changes_nothing) {
    standings s;
    const auto good = s.add(matched(1, 3), first_day).front();
    const std::string key = good.first, text = *good.second;
    for (const auto& [k, t] :
         std::vector<std::pair<std::string, std::string>>{{"", text},
                                                          {key.substr(1), text},
                                                          {key, ""},
                                                          {key, "2 3 1800000000 -"},
                                                          {key, "1 -3 1800000000 -"},
                                                          {key, "1 1000001 1800000000 -"},
                                                          {key, "1 3 x -"},
                                                          {key, "1 3 1800000000"},
                                                          {key, "1 3 1800000000 x"},
                                                          {key, "1 3 1800000000 - "}}) {
        standings other;
        BOOST_TEST(!other.restore(k, t).has_value(), k << " " << t);
        BOOST_TEST(other.known(first_day).empty());
    }
    BOOST_TEST(s.restore(key, text).has_value());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace tequio::node
