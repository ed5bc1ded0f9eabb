/// The order of forward and backward passes, run on stages that know nothing but their messages.

#include <rapidcheck.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <set>

#include "training/model/pipeline.hpp"
#include "training/slices.hpp"
#include "training/team.hpp"

namespace tequio::training {
namespace {

/// When all stages are done, if a forward pass takes 1, a backward pass `back`, and a message
/// `travel`. Asserts on the way that every pass finds what it needs, in order and in the memory
/// planned, and that no more messages wait at a stage than may.
double run(std::uint64_t stages, std::uint64_t micro_batches, double back, double travel = 0) {
    std::vector<std::vector<double>> forward(stages), backward(stages);
    std::vector<double> free(stages);
    std::vector<std::size_t> done(stages);
    std::vector<std::set<std::uint64_t>> kept(stages);
    std::vector<std::vector<pipeline_step>> order;
    for (std::uint64_t s = 0; s < stages; ++s) {
        order.push_back(one_forward_one_backward(s, stages, micro_batches));
        RC_ASSERT(order[s].size() == 2 * micro_batches);
    }
    for (std::uint64_t left = 2 * stages * micro_batches; left > 0;) {
        const auto before = left;
        for (std::uint64_t s = 0; s < stages; ++s) {
            if (done[s] == order[s].size()) continue;
            const auto [is_forward, m] = order[s][done[s]];
            auto& own = is_forward ? forward[s] : backward[s];
            double from = free[s];
            if (s != (is_forward ? 0 : stages - 1)) {
                const auto& beside = is_forward ? forward[s - 1] : backward[s + 1];
                if (m >= beside.size()) continue;
                from = std::max(from, beside[m] + travel);
            }
            // Sending waits while the neighbour has not taken what was sent before.
            if (is_forward && s + 1 < stages && m >= forward[s + 1].size() + team_messages_max) {
                continue;
            }
            RC_ASSERT(m == own.size());  // ascending
            if (is_forward) {
                kept[s].insert(m);
                const auto slots = pipeline_in_flight(s, stages, micro_batches);
                RC_ASSERT(kept[s].size() <= slots);
                // No two of them have one slot.
                std::set<std::uint64_t> taken;
                for (const auto k : kept[s]) RC_ASSERT(taken.insert(k % slots).second);
            } else {
                RC_ASSERT(kept[s].erase(m) == 1U);
            }
            free[s] = from + (is_forward ? 1 : back);
            own.push_back(free[s]);
            ++done[s];
            --left;
        }
        RC_ASSERT(left < before);
    }
    return *std::max_element(free.begin(), free.end());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pipeline_test)

BOOST_AUTO_TEST_CASE(every_pass_finds_its_messages_and_the_bubble_is_the_formulas) {
    BOOST_TEST(rc::check("one forward, one backward", [] {
        const auto stages = *rc::gen::inRange<std::uint64_t>(1, 9);
        const auto micro_batches = *rc::gen::inRange<std::uint64_t>(1, 20);
        const double back = *rc::gen::element(1.0, 2.0, 3.0);
        const auto all = run(stages, micro_batches, back);
        const auto busy = static_cast<double>(micro_batches) * (1 + back);
        RC_ASSERT(std::abs(1 - busy / all - pipeline_bubble(stages, micro_batches)) < 1e-12);
    }));
}

BOOST_AUTO_TEST_CASE(messages_are_waited_for_once_a_step_and_not_once_a_micro_batch) {
    BOOST_TEST(rc::check("messages on their way", [] {
        const auto stages = *rc::gen::inRange<std::uint64_t>(2, 9);
        const auto micro_batches = *rc::gen::inRange<std::uint64_t>(1, 20);
        const double back = *rc::gen::element(1.0, 2.0, 3.0);
        // Of the time of a micro-batch on one stage; half of it hides.
        const double travel = *rc::gen::element(0.01, 0.1, 0.45) * (1 + back);
        const auto without = run(stages, micro_batches, back);
        const auto with = run(stages, micro_batches, back, travel);
        // First the way in, at last the way out.
        const auto once = travel * static_cast<double>(2 * (stages - 1));
        RC_ASSERT(with <= without + once + 1e-9);
    }));
}

BOOST_AUTO_TEST_CASE(the_order_is_the_published_one_with_twice_as_many_ahead) {
    // Narayanan et al. 2021, figure 4 has four stages and eight micro-batches, and begins with
    // F0F1F2F3B0.
    std::string first, last;
    for (const auto& [forward, m] : one_forward_one_backward(0, 4, 8)) {
        first += (forward ? "F" : "B") + std::to_string(m);
    }
    for (const auto& [forward, m] : one_forward_one_backward(3, 4, 8)) {
        last += (forward ? "F" : "B") + std::to_string(m);
    }
    BOOST_TEST(first == "F0F1F2F3F4F5F6B0F7B1B2B3B4B5B6B7");
    BOOST_TEST(last == "F0B0F1B1F2B2F3B3F4B4F5B5F6B6F7B7");
    BOOST_TEST(pipeline_in_flight(0, 4, 8) == 7U);
    BOOST_TEST(pipeline_in_flight(3, 4, 8) == 1U);
    BOOST_TEST(pipeline_in_flight(0, 4, 2) == 2U);
    BOOST_TEST(pipeline_bubble(2, 8) == 1.0 / 9);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
