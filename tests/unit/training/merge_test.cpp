#include "training/merge.hpp"

#include <bit>
#include <boost/test/unit_test.hpp>
#include <cmath>

#include "base/blob.hpp"
#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

/// One lane's contribution: `values` at the start of the state, zeros elsewhere.
base::byte_vector lane_of(const recipe& r, const state_layout& layout,
                          std::initializer_list<float> values, double loss = 1) {
    std::vector<float> flat(layout.padded_size);
    std::copy(values.begin(), values.end(), flat.begin());
    return *encode_contribution(contribution_kind::lane, r, layout, flat, loss, lane_tokens(r));
}

struct one_state {
    explicit one_state(const state_layout& layout)
        : parameters(layout.padded_size), momentum(layout.padded_size) {}
    state_span span() { return {parameters, momentum}; }
    std::vector<float> parameters;
    std::vector<float> momentum;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(merge_test)

BOOST_AUTO_TEST_CASE(sums_are_integers_in_units_of_the_window) {
    const auto r = small_recipe(2);
    const auto layout = layout_of(r.model);
    summation sum(r, layout);
    const auto unit = std::ldexp(1.0F, -40);
    BOOST_REQUIRE(sum.add({0}, lane_of(r, layout, {unit, 0.5F, -3 * unit})));
    BOOST_REQUIRE(sum.add({1}, lane_of(r, layout, {unit, -0.25F, unit})));
    // Beside 0.5 = 64 * 2^-7 the block cannot say 2^-40: both small values are flushed.
    BOOST_TEST(sum.sums().narrow()[0] == 0);
    BOOST_TEST(sum.sums().narrow()[1] == std::int64_t{1} << 38);
    const auto small = lane_of(r, layout, {3 * unit, -127 * unit});
    summation exact(r, layout);
    BOOST_REQUIRE(exact.add({1}, small));
    BOOST_TEST(exact.sums().narrow()[0] == 3);
    BOOST_TEST(exact.sums().narrow()[1] == -127);
}

BOOST_AUTO_TEST_CASE(mean_and_loss_of_three_lanes_by_hand) {
    const auto r = small_recipe(3);
    const auto layout = layout_of(r.model);
    summation sum(r, layout);
    BOOST_REQUIRE(sum.add({2}, lane_of(r, layout, {1.0F}, 3)));
    BOOST_REQUIRE(sum.add({0}, lane_of(r, layout, {2.0F}, 1)));
    BOOST_REQUIRE(sum.add({1}, lane_of(r, layout, {4.0F}, 0.5)));
    const auto out = sum.finish();
    BOOST_REQUIRE_MESSAGE(out, out.error().message());
    BOOST_TEST(out->loss == 1.5);
    // 7 / 3 = 2.333: floor(log2) - 6 = -5, 2.333 * 32 = 74.67, code 75.
    const auto header = check_contribution(contribution_kind::mean, r, layout, out->mean);
    BOOST_REQUIRE_MESSAGE(header, header.error().message());
    BOOST_TEST(header->loss == 1.5);
    BOOST_TEST(header->tokens == 3 * lane_tokens(r));
    std::vector<float> mean(layout.padded_size);
    decode_contribution(contribution_kind::mean, r, out->mean, mean);
    BOOST_TEST(mean[0] == 75.0F / 32);
    std::vector<std::int64_t> sums(layout.padded_size);
    sums[0] = 7ll << 40;
    const base::byte_view bytes(reinterpret_cast<const std::uint8_t*>(sums.data()),
                                sums.size() * 8);
    BOOST_TEST(out->sum.hex() == base::blob_ref_of(bytes).root.hex());
}

BOOST_AUTO_TEST_CASE(loss_is_added_in_lane_order_whatever_came_first) {
    const auto r = small_recipe(3);
    const auto layout = layout_of(r.model);
    const double losses[] = {1e16, 1, -1e16};  // (1e16 + 1) - 1e16 is 0 in float64, other orders 1
    for (const auto& order : {std::array<std::uint64_t, 3>{0, 1, 2}, {2, 1, 0}, {0, 2, 1}}) {
        summation sum(r, layout);
        for (const auto l : order) BOOST_REQUIRE(sum.add({l}, lane_of(r, layout, {}, losses[l])));
        BOOST_TEST(sum.finish()->loss == 0);
    }
}

BOOST_AUTO_TEST_CASE(lanes_are_counted_once_and_all_are_needed) {
    const auto r = small_recipe(2);
    const auto layout = layout_of(r.model);
    const auto lane = lane_of(r, layout, {1.0F});
    summation sum(r, layout);
    BOOST_TEST(sum.finish().error().is(errc::incomplete_sum));
    BOOST_REQUIRE(sum.add({1}, lane));
    BOOST_TEST(sum.has({1}));
    BOOST_TEST(!sum.has({0}));
    BOOST_TEST(sum.add({1}, lane).error().is(errc::bad_contribution));
    BOOST_TEST(sum.add({2}, lane).error().is(errc::bad_contribution));
    BOOST_TEST(sum.finish().error().message() == "sum: lane 0 is missing");
    auto spoiled = lane;
    spoiled[0] ^= 1;
    BOOST_TEST(sum.add({0}, spoiled).error().is(errc::bad_contribution));
    BOOST_TEST(!sum.has({0}));
    BOOST_TEST(sum.sums().narrow()[0] == std::int64_t{1} << 40);
    BOOST_REQUIRE(sum.add({0}, lane));
    BOOST_TEST(sum.finish().has_value());
    BOOST_TEST(sum.finish()->sum.hex() == sum.finish()->sum.hex());
}

BOOST_AUTO_TEST_CASE(groups_of_lanes_add_up) {
    const auto r = small_recipe(2);
    const auto layout = layout_of(r.model);
    summation whole(r, layout);
    summation left(r, layout);
    summation right(r, layout);
    const auto a = lane_of(r, layout, {1.0F, -2.0F}, 1);
    const auto b = lane_of(r, layout, {3.0F, 0.5F}, 2);
    BOOST_REQUIRE(whole.add({0}, a));
    BOOST_REQUIRE(whole.add({1}, b));
    BOOST_REQUIRE(left.add({1}, b));
    BOOST_REQUIRE(right.add({0}, a));
    BOOST_REQUIRE(right.add(left));
    BOOST_TEST(right.finish()->mean == whole.finish()->mean);
    BOOST_TEST(right.finish()->sum.hex() == whole.finish()->sum.hex());
    BOOST_TEST(right.add(left).error().is(errc::bad_contribution));
    BOOST_TEST(right.lanes_added() == 2);
}

BOOST_AUTO_TEST_CASE(largest_sums_do_not_overflow) {
    auto r = small_recipe(65536);
    r.model = {"gpt2", 1, 1, 1, 2, 2};
    const auto layout = layout_of(r.model);
    // 127 * 2^39 units a lane, 65,536 times: below 2^62.
    const auto top = lane_of(r, layout, {127.0F * 0.5F, -127.0F * 0.5F});
    summation sum(r, layout);
    for (std::uint64_t l = 0; l < 65536; ++l) BOOST_REQUIRE(sum.add({l}, top));
    BOOST_TEST(sum.sums().narrow()[0] == (std::int64_t{127} << 39) * 65536);
    BOOST_TEST(sum.sums().narrow()[1] == -(std::int64_t{127} << 39) * 65536);
    std::vector<float> mean(layout.padded_size);
    decode_contribution(contribution_kind::mean, r, sum.finish()->mean, mean);
    BOOST_TEST(mean[0] == 63.5F);
}

BOOST_AUTO_TEST_CASE(outer_step_by_hand) {
    const auto r = small_recipe(1);
    const auto layout = layout_of(r.model);
    summation sum(r, layout);
    BOOST_REQUIRE(sum.add({0}, lane_of(r, layout, {1.0F, -0.5F})));
    const auto mean = sum.finish()->mean;
    one_state s(layout);
    s.parameters[0] = 10;
    s.momentum[0] = 2;
    BOOST_REQUIRE(apply_mean(r, layout, {0}, mean, s.span()));
    const float mu = 0.9F;
    const float eta = 0.7F;
    const float v0 = mu * 2.0F + 1.0F;
    BOOST_TEST(s.momentum[0] == v0);
    BOOST_TEST(s.parameters[0] == 10.0F - eta * (1.0F + mu * v0));
    BOOST_TEST(s.momentum[1] == -0.5F);
    BOOST_TEST(s.parameters[1] == 0.0F - eta * (-0.5F + mu * -0.5F));
    BOOST_TEST(s.parameters[2] == 0.0F);
}

BOOST_AUTO_TEST_CASE(stored_values_are_never_subnormal_nor_minus_zero) {
    const auto r = small_recipe(1);
    const auto layout = layout_of(r.model);
    summation sum(r, layout);
    BOOST_REQUIRE(sum.add({0}, lane_of(r, layout, {})));
    const auto mean = sum.finish()->mean;
    one_state s(layout);
    s.momentum[0] = 0x1p-126F;  // 0.9 of it is subnormal
    s.momentum[1] = -0x1p-126F;
    s.parameters[2] = -0.0F;
    s.parameters[3] = 0x1p-130F;
    s.momentum[4] = 0x1p-125F;
    BOOST_REQUIRE(apply_mean(r, layout, {0}, mean, s.span()));
    for (const int i : {0, 1}) BOOST_TEST(std::bit_cast<std::uint32_t>(s.momentum[i]) == 0u);
    for (const int i : {2, 3}) BOOST_TEST(std::bit_cast<std::uint32_t>(s.parameters[i]) == 0u);
    BOOST_TEST(s.momentum[4] == 0.9F * 0x1p-125F);
    for (const auto& t : layout.tensors) {
        for (auto i = t.offset + t.size; i % 32 != 0; ++i) {
            BOOST_TEST(std::bit_cast<std::uint32_t>(s.parameters[i]) == 0u);
            BOOST_TEST(std::bit_cast<std::uint32_t>(s.momentum[i]) == 0u);
        }
    }
}

BOOST_AUTO_TEST_CASE(no_operation_of_the_outer_step_is_fused) {
    // Values whose fused and unfused results differ: a compiler that contracts would show here.
    const auto r = small_recipe(1);
    const auto layout = layout_of(r.model);
    summation sum(r, layout);
    BOOST_REQUIRE(sum.add({0}, lane_of(r, layout, {-1.0F})));
    one_state s(layout);
    s.momentum[0] = 1.0F + 0x1p-23F;
    BOOST_REQUIRE(apply_mean(r, layout, {0}, sum.finish()->mean, s.span()));
    const volatile float mu = 0.9F;
    const volatile float product = mu * (1.0F + 0x1p-23F);
    const float unfused = product - 1.0F;
    BOOST_TEST(s.momentum[0] == unfused);
    BOOST_TEST(std::fma(0.9F, 1.0F + 0x1p-23F, -1.0F) != unfused);
}

BOOST_AUTO_TEST_CASE(only_a_canonical_mean_is_applied) {
    const auto r = small_recipe(1);
    const auto layout = layout_of(r.model);
    one_state s(layout);
    s.parameters[0] = 5;
    const auto lane = lane_of(r, layout, {1.0F});
    BOOST_TEST(apply_mean(r, layout, {0}, lane, s.span()).error().is(errc::bad_contribution));
    summation sum(r, layout);
    BOOST_REQUIRE(sum.add({0}, lane));
    auto mean = sum.finish()->mean;
    mean.back() = 0x80;
    BOOST_TEST(!apply_mean(r, layout, {0}, mean, s.span()));
    BOOST_TEST(s.parameters[0] == 5);
    BOOST_TEST(s.momentum[0] == 0);
}

BOOST_AUTO_TEST_SUITE_END()
