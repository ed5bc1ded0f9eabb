#include "training/cost.hpp"

#include <boost/test/unit_test.hpp>

#include "tests/unit/training/round_fixture.hpp"

using namespace tequio;
using namespace tequio::training;

BOOST_AUTO_TEST_SUITE(cost_test)

BOOST_AUTO_TEST_CASE(counts_of_the_example_by_hand) {
    const auto cost = cost_of(example_recipe());
    // 256 * 384 + 256 * 384 + 6 * (12 * 384^2 + 13 * 384) + 2 * 384
    BOOST_TEST(cost.parameters == 10844160);
    BOOST_TEST(cost.lane_tokens == 50 * 8 * 256);
    // 6 * 10,844,160 + 12 * 6 * 256 * 384 = 72,142,848 a token
    BOOST_TEST(cost.lane_flops == 72142848ull * 102400);
    // 1,000 validation tokens: 3 windows of 257
    BOOST_TEST(cost.validation_tokens == 768);
    BOOST_TEST(cost.validation_flops == 72142848ull / 3 * 768);
    BOOST_TEST(cost.total_flops == 40.0 * 8 * 72142848.0 * 102400 + 41.0 * 72142848 / 3 * 768);
    BOOST_TEST(cost.data_bytes == 100000);
    // Every tensor of this model is a multiple of 32 long: no padding. 338,880 blocks, 43 units.
    BOOST_TEST(cost.state_bytes == 8 * 10844160);
    BOOST_TEST(cost.contribution_bytes == 43 * 256 + 338880 * 33);
}

BOOST_AUTO_TEST_CASE(alone_nothing_travels) {
    const auto traffic = round_traffic_of(example_recipe(), 1);
    BOOST_TEST(traffic.up + traffic.down + traffic.waited_for == 0);
}

BOOST_AUTO_TEST_CASE(traffic_of_nodes_that_sum_a_shard_each) {
    const auto bytes = cost_of(example_recipe()).contribution_bytes;
    const auto of_three = round_traffic_of(example_recipe(), 3);  // 8 lanes: 3, 3, 2
    BOOST_TEST(of_three.up == (3 * bytes + bytes) * 2 / 3);
    BOOST_TEST(of_three.down == (5 * bytes + 2 * bytes) / 3);
    BOOST_TEST(of_three.waited_for == 2 * bytes * 2 / 3);
    const auto of_two = round_traffic_of(example_recipe(), 2);
    BOOST_TEST(of_two.up == (4 * bytes + bytes) / 2);
    BOOST_TEST(of_two.down == (4 * bytes + bytes) / 2);
    BOOST_TEST(round_traffic_of(example_recipe(), 64).up == 2 * bytes * 63 / 64);
}

BOOST_AUTO_TEST_CASE(lanes_that_keep_nodes_computing) {
    // Two lanes of 10 s, then 5 s of waiting: 20 of 25.
    BOOST_TEST(utilisation_of(20, 5) == 0.8);
    BOOST_TEST(utilisation_of(20, 0) == 1);
    // 0.95 of the time with 5 s of waiting is 95 s of computing: ten lanes of 10 s.
    BOOST_TEST(lanes_for_utilisation(10, 5, 0.95, 4) == 40);
    BOOST_TEST(lanes_for_utilisation(10, 0, 0.95, 4) == 4);
    BOOST_TEST(lanes_for_utilisation(1e-3, 1e6, 0.95, 4) == 0);
    for (const std::uint64_t nodes : {1U, 3U, 40U}) {
        const auto lanes = lanes_for_utilisation(7, 31, 0.9, nodes);
        const auto own = static_cast<double>(lanes / nodes);
        BOOST_TEST(utilisation_of(own * 7, 31) >= 0.9);
        BOOST_TEST(utilisation_of((own - 1) * 7, 31) < 0.9);
    }
}

BOOST_AUTO_TEST_CASE(each_direction_costs_what_its_codec_takes) {
    auto r = example_recipe();
    BOOST_TEST(cost_of(r).mean_bytes == cost_of(r).contribution_bytes);
    BOOST_TEST(cost_of(r).sum_bytes == 8 * 10844160);
    r.train.codec = "f32";
    r.train.codec_down = "mxfp4";
    const auto cost = cost_of(r);
    // 338,880 blocks: 165 units of 2,046 and one of 1,290; 23 units of 15,360 but the last one, of
    // 960, and 768 bytes of filling in the other 22.
    BOOST_TEST(cost.contribution_bytes == 166 * 256 + 338880 * 128);
    BOOST_TEST(cost.mean_bytes == 23 * 256 + 338880 * 17 + 22 * 768);
    BOOST_TEST(cost.sum_bytes == 16 * 10844160);
    const auto traffic = round_traffic_of(r, 3);
    BOOST_TEST(traffic.up == (3 * cost.contribution_bytes + cost.mean_bytes) * 2 / 3);
    BOOST_TEST(traffic.down == (5 * cost.contribution_bytes + 2 * cost.mean_bytes) / 3);
}

BOOST_AUTO_TEST_CASE(weights_to_start_from_are_counted) {
    auto r = example_recipe();
    r.model.init = {base::sha256("weights"), 4 * 10844160};
    BOOST_REQUIRE(check_recipe(r).has_value());
    BOOST_TEST(cost_of(r).init_bytes == 4 * 10844160);
}

BOOST_AUTO_TEST_CASE(largest_recipe_saturates_and_does_not_wrap) {
    auto r = example_recipe();
    r.model = {"gpt2", 1, 1, 1, 16, 256};
    r.train.lanes = 65536;
    r.train.rounds = 1 << 20;
    r.train.inner_steps = 1 << 20;
    r.train.batch = r.train.micro_batch = 1 << 20;
    BOOST_REQUIRE(check_recipe(r).has_value());
    BOOST_TEST(lane_tokens(r) == std::uint64_t{1} << 44);
    BOOST_TEST(lane_flops(r) < recipe_limits::lane_flops);
    BOOST_TEST(cost_of(r).total_flops > 1e26);
    r.model = {"gpt2", 80, 64, 4096, 64, 256};  // 16 billion parameters
    r.train.inner_steps = 1;
    r.train.batch = r.train.micro_batch = 1 << 18;
    BOOST_REQUIRE(check_recipe(r).has_value());
    BOOST_TEST(round_traffic_of(r, 3).up > std::uint64_t{1} << 40);
}

BOOST_AUTO_TEST_SUITE_END()
