/// Lanes in slices: contribution, trace, loss and validation loss are those of the lane in one
/// piece, for both families, tied and untied, every activation format, 1 to 4 slices, both methods
/// and every instruction set.

#include <boost/test/unit_test.hpp>

#include "tests/property/training/model_steps.hpp"
#include "tests/property/training/sliced_job.hpp"
#include "tests/property/training/sliced_models.hpp"
#include "tests/support/target_guard.hpp"
#include "training/engine.hpp"
#include "training/errc.hpp"
#include "training/slices.hpp"

namespace tequio::training {
namespace {

/// All that a lane and a validation decide.
std::string results(const sliced_job& job, executor& run, std::uint64_t slices,
                    bool recompute = false) {
    auto view = dataset_view::open(job.data, job.work).value();
    auto made = engine::create(job.work, view, run, {.slices = slices, .recompute = recompute});
    if (!made) return made.error().message();
    auto& e = **made;
    const auto size = e.layout().padded_size;
    const auto arrays = optimizer_arrays(job.work.train);
    std::vector<float> parameters(size), momentum(size), second(arrays > 1 ? size : 0);
    const state_span state{parameters, momentum, second};
    e.initial_state(state);
    const auto lane = e.run_lane(state, {1}, {1}, always).value();
    return results_text(lane, e.validate(state, always).value());
}

void slices_change_nothing(const sliced_job& job) {
    static serial_executor one;
    static tests::thread_pool three(3);
    numerics::set_target(numerics::simd_target::reference);
    const auto expected = results(job, one, 1);
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        for (std::uint64_t n = 1; n <= std::min<std::uint64_t>(4, slices_max(job.work)); ++n) {
            RC_ASSERT(results(job, three, n) == expected);
            RC_ASSERT(results(job, three, n, true) == expected);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sliced_lane_test)

BOOST_AUTO_TEST_CASE(one_to_four_slices_give_the_bits_of_the_whole_lane) {
    const tests::target_guard guard;
    serial_executor one;
    tests::thread_pool two(2);
    std::vector<std::string> seen;
    for (const auto& [family, tied] :
         {std::pair{"gpt2", true}, std::pair{"llama", true}, std::pair{"llama", false}}) {
        for (const char* activations : {"f32", "bf16", "mxint8"}) {
            for (const char* codec : {"mxint8", "mxfp4", "f32"}) {
                sliced_job job(fixed(family, tied, activations), 3);
                job.work.train.codec = codec;
                if (codec == std::string("f32")) job.make_synchronous();
                BOOST_TEST_CONTEXT(family << " " << tied << " " << activations << " " << codec) {
                    numerics::set_target(numerics::simd_target::reference);
                    const auto expected = results(job, one, 1);
                    for (const auto target : numerics::available_targets()) {
                        numerics::set_target(target);
                        for (const std::uint64_t n : {1U, 2U, 3U, 4U}) {
                            BOOST_TEST(results(job, two, n) == expected, n << " slices");
                            BOOST_TEST(results(job, two, n, true) == expected, n << " recomputed");
                        }
                    }
                    for (const auto& other : seen) BOOST_TEST(other != expected);
                    seen.push_back(expected);
                }
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(any_model_gives_its_bits_in_any_slices) {
    BOOST_TEST(holds("slices decide no bit", [&] {
        sliced_job job(config_with_cuts(), *rc::gen::inRange<std::uint64_t>(1, 1000));
        if (*rc::gen::arbitrary<bool>()) job.make_synchronous();
        slices_change_nothing(job);
    }));
}

BOOST_AUTO_TEST_CASE(a_lane_diverges_at_the_same_step_and_tensor) {
    const tests::target_guard guard;
    serial_executor one;
    for (const double lr : {1e4, 1e9}) {
        for (const char* family : {"gpt2", "llama"}) {
            for (const char* activations : {"bf16", "mxint8"}) {
                sliced_job job(fixed(family, true, activations), 5);
                job.make_unstable(lr);
                const auto expected = results(job, one, 1);
                for (const std::uint64_t n : {2U, 4U}) BOOST_TEST(results(job, one, n) == expected);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(more_slices_than_cuts_allow_are_refused) {
    serial_executor one;
    const sliced_job job(fixed("gpt2", true, "bf16"), 3);
    BOOST_TEST(
        results(job, one, 5) ==
        "slices: found 5, allowed: an integer from 1 to 4, one more than the recipe has cuts");
    BOOST_TEST(
        results(job, one, 0) ==
        "slices: found 0, allowed: an integer from 1 to 4, one more than the recipe has cuts");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
