/// Lanes of the llama family: the same bits everywhere.

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/lane_text.hpp"
#include "tests/unit/training/llama_fixture.hpp"
#include "training/merge.hpp"

namespace tequio::training {

BOOST_AUTO_TEST_SUITE(llama_engine)

BOOST_AUTO_TEST_CASE(lane_bits_do_not_depend_on_threads_target_or_micro_batches_cut_at_panels) {
    const tests::target_guard guard;
    tests::thread_pool three(3);
    serial_executor one;
    for (const bool tied : {true, false}) {
        small_llama job;
        job.r.model.tied = tied;
        numerics::set_target(numerics::simd_target::reference);
        const auto expected = first_lane(job, one);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            BOOST_TEST(first_lane(job, three) == expected, numerics::target_name(target));
            BOOST_TEST(first_lane(job, three, {.micro_batch = 4}) == expected);
        }
    }
}

BOOST_AUTO_TEST_CASE(every_field_of_the_model_takes_part) {
    serial_executor one;
    const small_llama plain;
    const auto expected = first_lane(plain, one);
    const auto differs = [&](auto change) {
        auto job = plain;
        change(job.r.model);
        return first_lane(job, one) != expected;
    };
    BOOST_TEST(differs([](model_config& m) { m.kv_heads = 1; }));
    BOOST_TEST(differs([](model_config& m) { m.hidden = 89; }));
    BOOST_TEST(differs([](model_config& m) { m.rope_theta = 500000; }));
    BOOST_TEST(differs([](model_config& m) { m.norm_epsilon = 1e-6; }));
    BOOST_TEST(differs([](model_config& m) { m.tied = false; }));
}

BOOST_AUTO_TEST_CASE(initial_weights_have_their_deviations) {
    small_llama job;
    job.r.model.tied = false;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    for (const auto& t : e->layout().tensors) {
        const auto values = std::span(state.parameters).subspan(t.offset, t.size);
        double squares = 0;
        for (const float v : values) squares += static_cast<double>(v) * v;
        const double deviation = std::sqrt(squares / static_cast<double>(t.size));
        const bool back = t.name.ends_with("o_proj.weight") || t.name.ends_with("down_proj.weight");
        const bool norm = t.name.find("norm") != std::string::npos;
        const double expected = norm ? 1.0 : back ? 0.01 : 0.02;  // 0.02 / sqrt(2 * 2 layers)
        BOOST_TEST_CONTEXT(t.name) {
            BOOST_CHECK_SMALL(deviation - expected, 0.06 * expected);
            BOOST_TEST(t.decay == !norm);
        }
    }
}

BOOST_AUTO_TEST_CASE(rounds_of_lanes_lower_the_validation_loss) {
    const small_llama job;
    tests::thread_pool pool(2);
    serial_executor one;
    auto e = engine::create(job.r, job.view(), pool).value();
    auto other = engine::create(job.r, job.view(), one, {.micro_batch = 4}).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto before = *e->validate(state.span(), always);
    BOOST_CHECK_SMALL(before - std::log(256.0), 0.1);
    BOOST_TEST(before == *other->validate(state.span(), always));
    for (std::uint64_t round = 0; round < job.r.train.rounds; ++round) {
        summation sum(job.r, e->layout());
        for (std::uint64_t lane = 0; lane < job.r.train.lanes; ++lane) {
            const auto result = e->run_lane(state.span(), {round}, {lane}, always).value();
            BOOST_REQUIRE(sum.add({lane}, std::get<base::byte_vector>(result.outcome)));
        }
        BOOST_REQUIRE(apply_mean(job.r, e->layout(), {round}, sum.finish()->mean, state.span()));
    }
    BOOST_TEST(*e->validate(state.span(), always) < before - 1.0);
}

BOOST_AUTO_TEST_CASE(divergence_names_step_and_tensor_and_is_the_same_everywhere) {
    const tests::target_guard guard;
    for (const double rate : {1e3, 1e9}) {
        small_llama job;
        job.r.train.inner.lr = rate;
        job.r.train.inner.clip = 0;
        job.r.train.inner_steps = 30;
        serial_executor one;
        numerics::set_target(numerics::simd_target::reference);
        const auto expected = first_lane(job, one);
        BOOST_TEST_MESSAGE("learning rate " << rate << ": " << expected);
        BOOST_TEST(expected.find("diverged ") != std::string::npos);
        tests::thread_pool pool(2);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            BOOST_TEST(first_lane(job, pool) == expected, numerics::target_name(target));
        }
    }
}

BOOST_AUTO_TEST_CASE(memory_is_what_was_estimated) {
    const small_llama job;
    serial_executor one;
    const auto e = engine::create(job.r, job.view(), one).value();
    BOOST_TEST(e->memory_bytes() == engine::memory_bytes_for(job.r, 1));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
