/// Lanes and validations of the mlp family: examples in, the same bits everywhere.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <fstream>
#include <limits>

#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/examples_fixture.hpp"
#include "tests/unit/training/lane_text.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"

namespace tequio::training {

BOOST_AUTO_TEST_SUITE(mlp_engine)

BOOST_AUTO_TEST_CASE(lane_bits_do_not_depend_on_threads_target_or_micro_batches_cut_at_panels) {
    const tests::target_guard guard;
    tests::thread_pool three(3);
    serial_executor one;
    for (const std::uint32_t value_bytes : {1U, 4U}) {
        const small_examples job(value_bytes);
        numerics::set_target(numerics::simd_target::reference);
        const auto expected = first_lane(job, one);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            BOOST_TEST(first_lane(job, three) == expected, numerics::target_name(target));
            BOOST_TEST(first_lane(job, three, {.micro_batch = 256}) == expected);
        }
    }
}

BOOST_AUTO_TEST_CASE(values_of_one_byte_and_of_four_train_the_same_model) {
    // The blobs differ, and with them the keys of every draw; the examples are equal.
    const small_examples bytes(1), floats(4);
    std::vector<float> a(bytes.r.model.inputs), b(a.size());
    const auto small = bytes.view();
    const auto wide = floats.view();
    for (std::uint64_t i = 0; i < bytes.r.data.token_count; ++i) {
        BOOST_TEST(small.read_example(i, a) == wide.read_example(i, b));
        BOOST_REQUIRE(a == b);
    }
}

BOOST_AUTO_TEST_CASE(a_micro_batch_that_would_change_bits_is_refused) {
    const small_examples job;
    serial_executor one;
    const auto e = engine::create(job.r, job.view(), one, {.micro_batch = 128});
    BOOST_REQUIRE(!e.has_value());
    BOOST_TEST(e.error().is(errc::bad_recipe));
}

BOOST_AUTO_TEST_CASE(rounds_of_lanes_learn_and_validation_does_not_depend_on_threads_or_batches) {
    small_examples job;
    job.r.train.rounds = 6;
    tests::thread_pool pool(2);
    serial_executor one;
    auto e = engine::create(job.r, job.view(), pool).value();
    auto other = engine::create(job.r, job.view(), one, {.micro_batch = 256}).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto before = *e->validate(state.span(), always);
    BOOST_TEST(before == *other->validate(state.span(), always));
    for (std::uint64_t round = 0; round < job.r.train.rounds; ++round) {
        summation sum(job.r, e->layout());
        for (std::uint64_t lane = 0; lane < job.r.train.lanes; ++lane) {
            const auto result = e->run_lane(state.span(), {round}, {lane}, always).value();
            BOOST_REQUIRE(sum.add({lane}, std::get<base::byte_vector>(result.outcome)));
        }
        BOOST_REQUIRE(apply_mean(job.r, e->layout(), {round}, sum.finish()->mean, state.span()));
    }
    BOOST_TEST(*e->validate(state.span(), always) < 0.5 * before);
}

BOOST_AUTO_TEST_CASE(validation_is_the_mean_over_all_examples_of_the_last_part) {
    const small_examples job;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    std::uint64_t asked = 0;
    const auto loss = e->validate(state.span(), [&](std::uint64_t) { return ++asked > 0; });
    BOOST_TEST(asked == 1U);  // 300 examples, 512 at a time
    // With all weights 0 every class is as likely as any other.
    std::fill(state.parameters.begin(), state.parameters.end(), 0.0F);
    BOOST_CHECK_CLOSE(*e->validate(state.span(), always), std::log(5.0), 1e-4);
    BOOST_TEST(std::isfinite(*loss));
}

BOOST_AUTO_TEST_CASE(divergence_names_step_and_tensor_and_is_the_same_everywhere) {
    const tests::target_guard guard;
    small_examples job;
    job.r.train.inner.lr = 1e9;
    job.r.train.inner.clip = 0;
    job.r.train.inner_steps = 30;
    serial_executor one;
    numerics::set_target(numerics::simd_target::reference);
    const auto expected = first_lane(job, one);
    BOOST_TEST(expected.find("diverged ") != std::string::npos, expected);
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        BOOST_TEST(first_lane(job, one) == expected, numerics::target_name(target));
    }
}

/// Address space of this process now, from /proc/self/status.
static std::uint64_t address_space_bytes() {
    std::ifstream in("/proc/self/status");
    std::string line;
    while (std::getline(in, line)) {
        if (line.starts_with("VmSize:")) return std::stoull(line.substr(7)) * 1024;
    }
    return 0;
}

BOOST_AUTO_TEST_CASE(memory_estimate_is_within_a_tenth_of_what_a_lane_takes) {
    small_examples job;
    job.data.tokens = bumps(1, 2000, 1500, 5).blob();
    // Large enough to come from the system and not from what other cases have freed.
    job.r.model.inputs = 1500;
    job.r.model.width = 2048;
    job.r.train.batch = job.r.train.micro_batch = 64;
    job.r.data = {base::blob_ref_of(job.data.tokens), 1, 2000, 300};
    job.r.train.inner_steps = 1;
    serial_executor one;
    const auto view = job.view();
    owned_state state(layout_of(job.r.model));
    const auto before = address_space_bytes();
    auto e = engine::create(job.r, view, one).value();
    e->initial_state(state.span());
    const auto lane = e->run_lane(state.span(), {0}, {0}, always).value();
    const auto taken = static_cast<double>(address_space_bytes() - before);
    const auto estimate = static_cast<double>(engine::memory_bytes_for(job.r, 1));
    BOOST_TEST(e->memory_bytes() == engine::memory_bytes_for(job.r, 1));
    BOOST_TEST(taken > 0.9 * estimate);
    BOOST_TEST(taken < 1.1 * estimate);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
