#include "training/exactness.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"

namespace tequio::training {

BOOST_AUTO_TEST_SUITE(exactness)

BOOST_AUTO_TEST_CASE(this_machine_passes_the_self_test_on_any_number_of_threads) {
    serial_executor one;
    tests::thread_pool three(3);
    for (executor* run : {static_cast<executor*>(&one), static_cast<executor*>(&three)}) {
        const auto target = active_target();
        const auto tested = exactness_self_test(*run, self_test_scope::everything);
        BOOST_REQUIRE_MESSAGE(tested, (tested ? "" : tested.error().message()));
        auto expected = exact_targets();
        expected.insert(expected.begin(), "reference");
        BOOST_TEST(tested->targets == expected);
        BOOST_TEST(tested->families == (std::vector<std::string>{"gpt2", "llama", "mlp"}));
        BOOST_TEST(active_target() == target);
    }
}

BOOST_AUTO_TEST_CASE(a_node_tests_what_its_lanes_can_be_computed_on) {
    serial_executor one;
    const auto tested = exactness_self_test(one, self_test_scope::dispatched);
    BOOST_REQUIRE_MESSAGE(tested, (tested ? "" : tested.error().message()));
    BOOST_TEST(tested->targets == exact_targets());
    const tests::target_guard guard;
    numerics::set_target(numerics::simd_target::reference);
    const auto forced = exactness_self_test(one, self_test_scope::dispatched);
    BOOST_REQUIRE_MESSAGE(forced, (forced ? "" : forced.error().message()));
    BOOST_TEST(forced->targets.front() == "reference");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
