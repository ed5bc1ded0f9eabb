#include "node/core/link_keeper.hpp"

#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"

namespace tequio::node {
namespace {

using namespace std::chrono_literals;

base::node_id node_of(std::size_t i) {
    return base::node_id{base::sha256("node " + std::to_string(i)).bytes};
}
std::vector<base::node_id> nodes(std::size_t first, std::size_t count) {
    std::vector<base::node_id> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(node_of(first + i));
    return out;
}
const base::task_id one{base::sha256("one").bytes}, two{base::sha256("two").bytes};
constexpr base::time_point begins{1h};

}  // namespace

BOOST_AUTO_TEST_SUITE(link_keeper_test)

BOOST_AUTO_TEST_CASE(each_node_is_wanted_once_and_let_go_once) {
    link_keeper links;
    BOOST_TEST(links.idle());
    links.set(one, nodes(0, 3));
    links.set(two, nodes(2, 3));
    BOOST_TEST(links.step(begins).want.size() == 5U);
    BOOST_TEST(links.step(begins).want.empty());
    // What both want stays as long as one does.
    links.set(one, {});
    const auto after = links.step(begins);
    BOOST_TEST(after.want.empty());
    BOOST_TEST(after.unwant.size() == 2U);
    links.set(two, {});
    BOOST_TEST(!links.idle());
    BOOST_TEST(links.step(begins).unwant.size() == 3U);
    BOOST_TEST(links.idle());
}

BOOST_AUTO_TEST_CASE(what_could_not_be_wanted_is_tried_again) {
    link_keeper links;
    links.set(one, nodes(0, 2));
    BOOST_TEST(links.step(begins).want.size() == 2U);
    links.failed(node_of(1));
    const auto again = links.step(begins);
    BOOST_TEST((again.want == nodes(1, 1)));
    BOOST_TEST(again.unwant.empty());
}

BOOST_AUTO_TEST_CASE(whom_a_crew_spoke_to_is_kept_for_a_while) {
    link_keeper links;
    BOOST_TEST(links.spoke(begins, node_of(1)));
    BOOST_TEST((links.step(begins).want == nodes(1, 1)));
    BOOST_TEST(!links.spoke(begins + 50s, node_of(1)));
    BOOST_TEST(links.step(begins + 100s).unwant.empty());
    BOOST_TEST((links.step(begins + 111s).unwant == nodes(1, 1)));
    BOOST_TEST(links.idle());
}

BOOST_AUTO_TEST_CASE(links_are_bounded_whatever_crews_want) {
    link_keeper links;
    links.set(one, nodes(0, 1000));
    links.set(two, nodes(1000, 60));
    for (std::size_t i = 0; i < 100; ++i) links.spoke(begins + i * 1ms, node_of(2000 + i));
    const auto first = links.step(begins + 1s);
    BOOST_TEST(first.want.size() == crew_links_max + spoken_links_max);
    const auto wants = [&](std::size_t i) {
        return std::find(first.want.begin(), first.want.end(), node_of(i)) != first.want.end();
    };
    // The jobs took turns, and the last spoken to are kept.
    for (std::size_t i = 0; i < 60; ++i) BOOST_TEST(wants(1000 + i));
    BOOST_TEST(wants(119));
    BOOST_TEST(!wants(120));
    BOOST_TEST(!wants(2000));
    BOOST_TEST(wants(2099));
    BOOST_TEST(links.kept() == crew_links_max + spoken_links_max);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::node
