#include "training/crew_links.hpp"

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <set>

#include "base/sha256.hpp"
#include "training/crew/groups.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

const base::task_id a_task{base::sha256("a task").bytes};

std::vector<base::node_id> many_nodes(std::size_t count) {
    std::vector<base::node_id> out;
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(base::node_id{base::sha256("node " + std::to_string(i)).bytes});
    }
    return out;
}

std::vector<base::node_id> without(const std::vector<base::node_id>& all, std::size_t self) {
    auto out = all;
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(self));
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(crew_links_test)

BOOST_AUTO_TEST_CASE(where_few_are_known_all_are_linked) {
    const auto all = many_nodes(crew_links_within + 1);
    BOOST_TEST((crew_links_of(a_task, all[0], 0, without(all, 0)) == without(all, 0)));
    BOOST_TEST((crew_links_of(a_task, all[0], 1, without(many_nodes(33), 0)) ==
                without(many_nodes(33), 0)));
    BOOST_TEST(crew_links_of(a_task, all[0], 0, {}).empty());
    BOOST_TEST(crew_links_of(a_task, all[0], 0, {all[0]}).empty());
}

/// A thousand nodes: however the crew is divided, a node has a bounded number of links.
BOOST_AUTO_TEST_CASE(of_many_a_bounded_number_is_drawn_and_alike_at_both_ends) {
    const auto all = many_nodes(1024);
    for (const std::uint32_t depth : {0u, 1u, 4u, 5u}) {
        std::vector<std::set<base::node_id>> links;
        std::size_t most = 0, sum = 0, odd = 0;
        for (std::size_t i = 0; i < all.size(); ++i) {
            const auto kept = crew_links_of(a_task, all[i], depth, without(all, i));
            links.emplace_back(kept.begin(), kept.end());
            most = std::max(most, kept.size());
            sum += kept.size();
            crew_protocol::group_map groups(a_task, all[i]);
            groups.set_depth(depth);
            // Its own group whole, once that is as small as groups get.
            for (const auto& node : without(all, i)) {
                const bool own = depth >= 4 && !groups.foreign(node);
                if (own) BOOST_TEST(links.back().contains(node));
            }
        }
        for (std::size_t i = 0; i < all.size(); ++i) {
            for (std::size_t k = 0; k < i; ++k) {
                odd += links[i].contains(all[k]) != links[k].contains(all[i]);
            }
        }
        BOOST_TEST_MESSAGE("depth " << depth << ": " << sum / all.size() << " links in the mean, "
                                    << most << " at most");
        BOOST_TEST(most <= 180U);  // 128 in the mean
        BOOST_TEST(sum / all.size() >= crew_links_abroad);
        // Groups of unlike sizes count the others differently, by a few in a thousand.
        BOOST_TEST(odd <= sum / 100);
    }
}

/// News of one group reaches each other one over some link, and a node with links to nobody would
/// be cut off.
BOOST_AUTO_TEST_CASE(every_two_groups_are_linked) {
    const auto all = many_nodes(1024);
    for (const std::uint32_t depth : {1u, 5u}) {
        crew_protocol::group_map groups(a_task, all[0]);
        groups.set_depth(depth);
        std::set<std::pair<std::uint32_t, std::uint32_t>> joined;
        for (std::size_t i = 0; i < all.size(); ++i) {
            for (const auto& node : crew_links_of(a_task, all[i], depth, without(all, i))) {
                joined.emplace(groups.of(all[i]), groups.of(node));
            }
        }
        BOOST_TEST(joined.size() == std::size_t{groups.count()} * groups.count());
    }
}

BOOST_AUTO_TEST_CASE(another_task_draws_other_links) {
    const auto all = many_nodes(1024);
    const base::task_id other{base::sha256("another").bytes};
    BOOST_TEST((crew_links_of(a_task, all[0], 0, without(all, 0)) !=
                crew_links_of(other, all[0], 0, without(all, 0))));
}

BOOST_AUTO_TEST_SUITE_END()
