#include <rapidcheck.h>
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <numeric>

#include "tests/property/training/round_cases.hpp"
#include "tests/property/training/round_twin.hpp"
#include "training/merge.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

struct lanes_case {
    recipe r = random_recipe();
    state_layout layout = layout_of(r.model);
    std::vector<base::byte_vector> contributions;
    std::vector<double> losses;

    lanes_case() {
        for (std::uint64_t l = 0; l < r.train.lanes; ++l) {
            losses.push_back(*rc::gen::inRange(-1000, 1000) / 7.0);
            contributions.push_back(*encode_contribution(contribution_kind::lane, r, layout,
                                                         random_values(r, layout), losses.back(),
                                                         lane_tokens(r)));
        }
    }
};

std::vector<std::uint64_t> random_order(std::uint64_t lanes) {
    std::vector<std::uint64_t> order(lanes);
    std::iota(order.begin(), order.end(), 0);
    for (std::size_t i = lanes; i > 1; --i) {
        std::swap(order[i - 1], order[*rc::gen::inRange<std::size_t>(0, i)]);
    }
    return order;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(merge_property)

BOOST_AUTO_TEST_CASE(order_and_grouping_never_show) {
    BOOST_TEST(rc::check("any order and any grouping of lanes give the same bytes", [] {
        const lanes_case c;
        summation plain(c.r, c.layout);
        for (std::uint64_t l = 0; l < c.r.train.lanes; ++l) {
            RC_ASSERT(plain.add({l}, c.contributions[l]).has_value());
        }
        const auto expected = *plain.finish();
        std::vector<summation> groups;
        for (int g = 0; g < 3; ++g) groups.emplace_back(c.r, c.layout);
        for (const auto l : random_order(c.r.train.lanes)) {
            auto& group = groups[*rc::gen::inRange<std::size_t>(0, groups.size())];
            RC_ASSERT(group.add({l}, c.contributions[l]).has_value());
        }
        const auto order = random_order(groups.size());
        summation all(c.r, c.layout);
        for (const auto g : order) RC_ASSERT(all.add(groups[g]).has_value());
        const auto found = *all.finish();
        RC_ASSERT(found.sum == expected.sum);
        RC_ASSERT(found.mean == expected.mean);
        RC_ASSERT(std::bit_cast<std::uint64_t>(found.loss) ==
                  std::bit_cast<std::uint64_t>(expected.loss));
    }));
}

BOOST_AUTO_TEST_CASE(any_groups_come_to_the_same_part) {
    BOOST_TEST(rc::check("published sums of any runs of lanes give the part of one owner", [] {
        const lanes_case c;
        const auto lanes = c.r.train.lanes;
        const contribution_run all{0, shape_of(contribution_kind::mean, c.r, c.layout).units()};
        summation plain(c.r, c.layout, all), grouped(c.r, c.layout, all);
        std::vector<partial_sums> groups;
        for (std::uint64_t first = 0; first < lanes;) {
            const auto count = *rc::gen::inRange<std::uint64_t>(1, lanes - first + 1);
            groups.push_back({all, {first, count}});
            first += count;
        }
        for (std::uint64_t l = 0; l < lanes; ++l) {
            RC_ASSERT(plain.add({l}, c.contributions[l]).has_value());
        }
        for (const auto g : random_order(groups.size())) {
            const auto& run = groups[g].lanes;
            summation own(c.r, c.layout, all);
            for (const auto l : random_order(run.count)) {
                RC_ASSERT(own.add({run.first + l}, c.contributions[run.first + l]).has_value());
            }
            RC_ASSERT(grouped.add_partial(groups[g], *own.partial(run)).has_value());
        }
        RC_ASSERT(*grouped.part() == *plain.part());
    }));
}

BOOST_AUTO_TEST_CASE(sum_mean_and_outer_step_are_the_twins) {
    BOOST_TEST(rc::check("merge is the twin's merge, bit for bit", [] {
        const lanes_case c;
        const auto n = c.layout.padded_size;
        const auto lanes = c.r.train.lanes;
        summation sum(c.r, c.layout);
        std::vector<__int128> expected(n);
        double loss = 0;
        for (std::uint64_t l = 0; l < lanes; ++l) {
            RC_ASSERT(sum.add({l}, c.contributions[l]).has_value());
            const auto units = twin::units_of(c.r.train.codec, c.contributions[l], n);
            for (std::size_t i = 0; i < n; ++i) expected[i] += units[i];
            loss += c.losses[l];
        }
        const bool wide = c.r.train.codec == "f32";
        for (std::size_t i = 0; i < n; ++i) {
            const auto found =
                wide ? sum.sums().wide()[i] : static_cast<__int128>(sum.sums().narrow()[i]);
            RC_ASSERT(expected[i] == found);
        }
        const auto out = *sum.finish();
        RC_ASSERT(out.loss == loss / static_cast<double>(lanes));

        std::vector<float> parameters = random_values(c.r, c.layout);
        std::vector<float> velocity = random_values(c.r, c.layout);
        auto twin_parameters = parameters;
        auto twin_velocity = velocity;
        RC_ASSERT(apply_mean(c.r, c.layout, {0}, out.mean, {parameters, velocity}).has_value());
        for (std::size_t at = 0; at < n; at += 32) {
            std::vector<float> block;
            for (std::size_t i = at; i < at + 32; ++i) {
                block.push_back(
                    twin::mean_of(c.r.train.codec, expected[i], lanes, c.r.train.window));
            }
            const auto& down = c.r.train.codec_down;
            const auto code = twin::encode_block(down, block, c.r.train.window);
            for (std::size_t i = 0; i < 32; ++i) {
                const auto mean =
                    static_cast<float>(std::ldexp(static_cast<double>(code.units[i]),
                                                  twin::unit_exponent(down, c.r.train.window)));
                twin::outer_step(static_cast<float>(c.r.train.outer.momentum),
                                 static_cast<float>(c.r.train.outer.lr), mean,
                                 twin_parameters[at + i], twin_velocity[at + i]);
                RC_ASSERT(std::bit_cast<std::uint32_t>(parameters[at + i]) ==
                          std::bit_cast<std::uint32_t>(twin_parameters[at + i]));
                RC_ASSERT(std::bit_cast<std::uint32_t>(velocity[at + i]) ==
                          std::bit_cast<std::uint32_t>(twin_velocity[at + i]));
            }
        }
    }));
}

BOOST_AUTO_TEST_SUITE_END()
