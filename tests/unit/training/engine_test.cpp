#include "training/engine.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#ifdef __SSE2__
#include <xmmintrin.h>
#endif

#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/lane_text.hpp"
#include "training/errc.hpp"
#include "training/merge.hpp"
#include "training/numerics/environment.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training {
BOOST_AUTO_TEST_SUITE(engine_lanes)

BOOST_AUTO_TEST_CASE(lane_bits_do_not_depend_on_the_number_of_threads) {
    const small_job job;
    serial_executor one;
    const auto expected = first_lane(job, one);
    for (const unsigned threads : {2U, 3U}) {
        tests::thread_pool pool(threads);
        BOOST_TEST(first_lane(job, pool) == expected, "threads: " << threads);
    }
}

BOOST_AUTO_TEST_CASE(lane_bits_do_not_depend_on_the_instruction_set) {
    const small_job job;
    tests::thread_pool pool(2);
    const tests::target_guard guard;
    numerics::set_target(numerics::simd_target::reference);
    const auto expected = first_lane(job, pool);
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        BOOST_TEST(first_lane(job, pool) == expected, numerics::target_name(target));
    }
}

BOOST_AUTO_TEST_CASE(lane_bits_do_not_depend_on_micro_batches_cut_at_panels) {
    small_job job;
    serial_executor one;
    const auto expected = first_lane(job, one);
    BOOST_TEST(first_lane(job, one, {.micro_batch = 4}) == expected);
    job.r.train.micro_batch = 4;
    const auto recipe_of_four = first_lane(job, one, {.micro_batch = 8});
    BOOST_TEST(recipe_of_four == first_lane(job, one));
}

BOOST_AUTO_TEST_CASE(a_micro_batch_that_would_change_bits_is_refused) {
    const small_job job;
    serial_executor one;
    const auto e = engine::create(job.r, job.view(), one, {.micro_batch = 2});
    BOOST_REQUIRE(!e.has_value());
    BOOST_TEST(e.error().is(errc::bad_recipe));
}

BOOST_AUTO_TEST_CASE(weights_to_start_from_become_the_first_state) {
    small_job job;
    serial_executor one;
    auto drawn = engine::create(job.r, job.view(), one).value();
    owned_state first(drawn->layout());
    drawn->initial_state(first.span());
    base::byte_vector weights;
    for (const auto& t : drawn->layout().tensors) {
        const auto bytes = float_bytes(first.span().parameters.subspan(t.offset, t.size));
        weights.insert(weights.end(), bytes.begin(), bytes.end());
    }
    job.r.model.init = base::blob_ref_of(weights);
    BOOST_REQUIRE(check_recipe(job.r).has_value());
    const auto begin = [&](base::byte_view init) {
        return engine::create(job.r, job.view(), one, {}, init);
    };
    owned_state same(drawn->layout());
    std::fill(same.parameters.begin(), same.parameters.end(), 7.0F);
    begin(weights).value()->initial_state(same.span());
    BOOST_TEST(state_digest(drawn->layout(), same.span()).hex() ==
               state_digest(drawn->layout(), first.span()).hex());

    const auto set = [&](std::size_t index, float value) {
        std::memcpy(weights.data() + index * sizeof value, &value, sizeof value);
    };
    set(0, 0x1.fffffep-49F);
    set(1, -0.0F);
    set(2, -0x1p-48F);
    begin(weights).value()->initial_state(same.span());
    BOOST_TEST(!std::signbit(same.parameters[1]));
    BOOST_TEST(same.parameters[0] == 0.0F);
    BOOST_TEST(same.parameters[2] == -0x1p-48F);

    const auto& last = drawn->layout().tensors.back();
    set(weights.size() / sizeof(float) - 1, std::numeric_limits<float>::infinity());
    const auto infinite = begin(weights);
    BOOST_REQUIRE(!infinite);
    BOOST_TEST(infinite.error().is(errc::bad_data));
    BOOST_TEST(infinite.error().message().find(last.name) != std::string::npos);
    weights.pop_back();
    BOOST_TEST(!begin(weights));
    BOOST_TEST(!begin({}));
}

BOOST_AUTO_TEST_CASE(lanes_and_rounds_differ) {
    const small_job job;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto a = text_of(e->run_lane(state.span(), {0}, {0}, always).value());
    const auto b = text_of(e->run_lane(state.span(), {0}, {1}, always).value());
    const auto c = text_of(e->run_lane(state.span(), {1}, {0}, always).value());
    const auto again = text_of(e->run_lane(state.span(), {0}, {0}, always).value());
    BOOST_TEST(a != b);
    BOOST_TEST(a != c);
    BOOST_TEST(a == again);
}

BOOST_AUTO_TEST_CASE(contribution_passes_its_own_check_and_carries_loss_and_tokens) {
    const small_job job;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto lane = e->run_lane(state.span(), {0}, {0}, always).value();
    const auto header = check_contribution(contribution_kind::lane, job.r, e->layout(),
                                           std::get<base::byte_vector>(lane.outcome));
    BOOST_REQUIRE(header.has_value());
    BOOST_TEST(header->loss == lane.loss);
    BOOST_TEST(header->tokens == lane_tokens(job.r));
}

BOOST_AUTO_TEST_CASE(rounds_of_lanes_lower_the_validation_loss) {
    const small_job job;
    tests::thread_pool pool(2);
    auto e = engine::create(job.r, job.view(), pool).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto before = *e->validate(state.span(), always);
    BOOST_CHECK_SMALL(before - std::log(256.0), 0.1);
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

BOOST_AUTO_TEST_CASE(validation_does_not_depend_on_threads_or_windows_at_a_time) {
    const small_job job;
    serial_executor one;
    tests::thread_pool three(3);
    auto a = engine::create(job.r, job.view(), one).value();
    auto b = engine::create(job.r, job.view(), three, {.micro_batch = 4}).value();
    owned_state state(a->layout());
    a->initial_state(state.span());
    BOOST_TEST(*a->validate(state.span(), always) == *b->validate(state.span(), always));
}

BOOST_AUTO_TEST_CASE(divergence_names_step_and_tensor_and_is_the_same_everywhere) {
    const tests::target_guard guard;
    for (const double rate : {1e3, 1e6, 1e9}) {
        small_job job;
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

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(engine_limits)

BOOST_AUTO_TEST_CASE(stops_between_micro_batches_when_asked) {
    small_job job;
    job.r.train.micro_batch = 4;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    std::vector<std::uint64_t> asked;
    const auto lane = e->run_lane(state.span(), {0}, {0}, [&](std::uint64_t step) {
        asked.push_back(step);
        return asked.size() < 4;
    });
    BOOST_REQUIRE(!lane.has_value());
    BOOST_TEST(lane.error().is(errc::stopped));
    BOOST_TEST(asked == (std::vector<std::uint64_t>{0, 0, 1, 1}));
    const auto loss = e->validate(state.span(), [](std::uint64_t) { return false; });
    BOOST_TEST(loss.error().is(errc::stopped));
}

BOOST_AUTO_TEST_CASE(refuses_a_recipe_above_the_memory_limit_before_allocating) {
    small_job job;
    serial_executor one;
    const auto needed = engine::memory_bytes_for(job.r, 1);
    BOOST_TEST(engine::create(job.r, job.view(), one, {.memory_max_bytes = needed}).has_value());
    const auto e = engine::create(job.r, job.view(), one, {.memory_max_bytes = needed - 1});
    BOOST_REQUIRE(!e.has_value());
    BOOST_TEST(e.error().is(errc::out_of_memory));
    auto huge = job.r;
    huge.model.layers = recipe_limits::layers;
    huge.model.width = recipe_limits::width;
    huge.model.heads = 512;
    huge.model.vocabulary = recipe_limits::vocabulary;
    BOOST_TEST(engine::memory_bytes_for(huge, 2) > std::uint64_t{1} << 49);
    BOOST_TEST(engine::create(huge, job.view(), one, {.memory_max_bytes = std::uint64_t{1} << 40})
                   .error()
                   .is(errc::out_of_memory));
}

#ifdef __SSE2__
BOOST_AUTO_TEST_CASE(a_lane_is_void_when_the_floating_point_environment_changes_under_it) {
    const small_job job;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    constexpr unsigned flush_to_zero = 0x8000;
    const auto spoil = [](std::uint64_t) {
        _mm_setcsr(_mm_getcsr() | flush_to_zero);
        return true;
    };
    const auto during = e->run_lane(state.span(), {0}, {0}, spoil);
    const auto before = e->run_lane(state.span(), {0}, {0}, always);
    const auto validation = e->validate(state.span(), always);
    numerics::set_float_environment();
    BOOST_TEST(during.error().is(errc::environment_changed));
    BOOST_TEST(before.error().is(errc::environment_changed));
    BOOST_TEST(validation.error().is(errc::environment_changed));
    BOOST_TEST(e->run_lane(state.span(), {0}, {0}, always).has_value());
}
#endif

/// Address space of this process now, from /proc/self/status.
std::uint64_t address_space_bytes() {
    std::ifstream in("/proc/self/status");
    std::string line;
    while (std::getline(in, line)) {
        if (line.starts_with("VmSize:")) return std::stoull(line.substr(7)) * 1024;
    }
    return 0;
}

BOOST_AUTO_TEST_CASE(memory_estimate_is_within_a_tenth_of_what_a_lane_takes) {
    small_job job;
    // Large enough to come from the system and not from what other cases have freed.
    job.r.model = {"gpt2", 2, 4, 512, 64, 256};
    job.r.train.inner_steps = 1;
    serial_executor one;
    const auto before = address_space_bytes();
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    const auto lane = e->run_lane(state.span(), {0}, {0}, always).value();
    const auto states = 2 * sizeof(float) * e->layout().padded_size;
    const auto taken = static_cast<double>(address_space_bytes() - before - states);
    const auto estimate = static_cast<double>(engine::memory_bytes_for(job.r, 1));
    BOOST_TEST(e->memory_bytes() == engine::memory_bytes_for(job.r, 1));
    BOOST_TEST(taken > 0.9 * estimate);
    BOOST_TEST(taken < 1.1 * estimate);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(engine_parts)

BOOST_AUTO_TEST_CASE(initial_state_has_the_deviations_of_gpt2) {
    const small_job job;
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout());
    e->initial_state(state.span());
    for (const auto& t : e->layout().tensors) {
        const auto values = std::span(state.parameters).subspan(t.offset, t.size);
        double squares = 0;
        for (const float v : values) squares += static_cast<double>(v) * v;
        const double deviation = std::sqrt(squares / static_cast<double>(t.size));
        double expected = 0.02;
        if (t.name.ends_with("c_proj.weight")) expected = 0.01;  // 0.02 / sqrt(2 * 2 layers)
        if (t.name.ends_with(".bias")) expected = 0;
        if (t.name.find(".ln_") != std::string::npos && t.name.ends_with(".weight")) expected = 1;
        BOOST_TEST_CONTEXT(t.name) {
            BOOST_CHECK_SMALL(deviation - expected, 0.06 * expected + 1e-9);
        }
    }
    for (const float v : state.momentum) BOOST_REQUIRE(v == 0.0F);
}

BOOST_AUTO_TEST_CASE(learning_rate_warms_up_ramps_and_decays) {
    train_config t;
    t.rounds = 10;
    t.inner_steps = 10;
    t.inner.lr = 1.0;
    t.inner.ramp_steps = 4;
    t.schedule = {.warmup = 20, .decay = "cosine", .final_share = 0.1};
    BOOST_TEST(inner_learning_rate(t, 0, 0) == 1.0 / 20 * 0.25);
    BOOST_TEST(inner_learning_rate(t, 1, 9) == 1.0);
    BOOST_TEST(inner_learning_rate(t, 2, 3) < 1.0);
    BOOST_TEST(inner_learning_rate(t, 3, 0) < 0.25);
    BOOST_CHECK_CLOSE(inner_learning_rate(t, 6, 5), 0.1 + 0.45 * (1 + std::cos(M_PI * 45 / 80)),
                      1e-9);
    t.schedule.decay = "linear";
    BOOST_CHECK_CLOSE(inner_learning_rate(t, 6, 5), 1 - 0.9 * 45 / 80, 1e-9);
    t.schedule.decay = "none";
    BOOST_TEST(inner_learning_rate(t, 6, 5) == 1.0);
}

BOOST_AUTO_TEST_CASE(bench_presets_have_their_sizes) {
    BOOST_TEST(layout_of(bench_preset_of("tiny-1m")->model).parameters == 842496U);
    BOOST_TEST(layout_of(bench_preset_of("small-10m")->model).parameters == 10770816U);
    BOOST_TEST(layout_of(bench_preset_of("gpt2-124m")->model).parameters == 124046592U);
    BOOST_TEST(layout_of(bench_preset_of("llama-60m")->model).parameters == 42082816U);
    BOOST_TEST(bench_preset_of("llama-7b").error().is(errc::not_in_version));
    for (const auto* name : {"tiny-1m", "small-10m", "gpt2-124m", "llama-60m"}) {
        const auto model = bench_preset_of(name)->model;
        BOOST_TEST(layout_of(model).parameters == *parameter_count(model));
    }
}

BOOST_AUTO_TEST_CASE(bench_refuses_sizes_beyond_those_of_recipes) {
    serial_executor one;
    auto preset = bench_preset_of("tiny-1m").value();
    preset.batch = ~std::uint64_t{0};
    BOOST_TEST(step_bench::create(preset, one).error().is(errc::bad_recipe));
    preset.batch = 1;
    for (const std::uint64_t context : {std::uint64_t{0}, std::uint64_t{1} << 60}) {
        preset.model.context = context;
        BOOST_TEST(step_bench::create(preset, one).error().is(errc::bad_recipe));
    }
}

BOOST_AUTO_TEST_CASE(bench_steps_learn_and_count_their_work) {
    serial_executor one;
    auto preset = bench_preset_of("tiny-1m").value();
    preset.batch = 2;
    preset.model.context = 32;
    auto bench = step_bench::create(preset, one).value();
    BOOST_CHECK_SMALL(bench->one_step() - std::log(256.0), 0.2);
    BOOST_TEST(std::isfinite(bench->one_step()));
    BOOST_TEST(bench->tokens_per_step() == 64U);
    BOOST_TEST(bench->flops_per_step() ==
               6 * bench->parameters() * 64 + 12 * 4 * 32 * 128 * std::uint64_t{64});
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
