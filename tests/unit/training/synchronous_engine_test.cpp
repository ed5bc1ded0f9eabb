// Lanes and rounds of method synchronous.

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "base/merkle.hpp"
#include "tests/support/target_guard.hpp"
#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/lane_text.hpp"
#include "training/merge.hpp"
#include "training/model/trainer.hpp"

namespace tequio::training {
namespace {

struct synchronous_job : small_job {
    explicit synchronous_job(std::uint64_t rounds = 12) {
        r.train.method = method_synchronous;
        r.train.inner_steps = 1;
        r.train.inner.ramp_steps = 0;
        r.train.window = -46;
        r.train.rounds = rounds;
        BOOST_REQUIRE(check_recipe(r));
    }
    /// The gradient of a lane of round 0, computed without the engine.
    std::vector<float> gradient(std::span<const float> parameters, std::uint64_t lane) const {
        const auto layout = layout_of(r.model);
        serial_executor one;
        trainer_config config{r.model, r.train.batch, r.train.micro_batch, r.train.inner, false};
        auto work = trainer::create(config, layout, one).value();
        const auto sequences = view();
        std::vector<std::uint32_t> tokens(r.model.context + 1);
        const auto fill = [&](std::uint64_t first, const batch_span& batch) {
            for (std::size_t i = 0; i < batch.tokens.size() / r.model.context; ++i) {
                sequences.read(sequences.training_start({0}, {lane}, 0, first + i), tokens);
                for (std::size_t t = 0; t < r.model.context; ++t) {
                    batch.tokens[i * r.model.context + t] = tokens[t];
                    batch.targets[i * r.model.context + t] = tokens[t + 1];
                }
            }
        };
        const auto done = work->gradient(parameters, fill, [] { return true; });
        BOOST_REQUIRE(done.has_value());
        const auto found = work->gradients();
        return {found.begin(), found.end()};
    }
};

/// One round: all lanes, sum, step.
void run_round(engine& e, const recipe& r, std::uint64_t round, owned_state& state) {
    summation sum(r, e.layout());
    for (std::uint64_t lane = 0; lane < r.train.lanes; ++lane) {
        const auto result = e.run_lane(state.span(), {round}, {lane}, always).value();
        BOOST_REQUIRE(sum.add({lane}, std::get<base::byte_vector>(result.outcome)));
    }
    BOOST_REQUIRE(apply_mean(r, e.layout(), {round}, sum.finish()->mean, state.span()));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(synchronous_engine)

BOOST_AUTO_TEST_CASE(a_lane_is_its_unclipped_gradient_and_its_trace_shows_it) {
    synchronous_job job;
    job.r.train.inner.clip = 1e-3;  // far below the gradient's norm
    serial_executor one;
    auto e = engine::create(job.r, job.view(), one).value();
    owned_state state(e->layout(), 2);
    e->initial_state(state.span());
    const auto lane = e->run_lane(state.span(), {0}, {1}, always).value();
    const auto gradient = job.gradient(state.parameters, 1);
    const auto expected = encode_contribution(contribution_kind::lane, job.r, e->layout(), gradient,
                                              lane.loss, job.r.train.batch * job.r.model.context);
    BOOST_REQUIRE(expected.has_value());
    BOOST_TEST((std::get<base::byte_vector>(lane.outcome) == *expected));
    const auto leaf = base::merkle_leaf(base::blob_ref_of(float_bytes(gradient)).root.view());
    BOOST_TEST(lane.trace.hex() == base::merkle_root(std::span(&leaf, 1)).hex());
    double squares = 0;
    for (const float g : gradient) squares += double{g} * g;
    BOOST_TEST(std::sqrt(squares) > 0.1);
}

BOOST_AUTO_TEST_CASE(threads_targets_and_micro_batches_change_no_bit) {
    const tests::target_guard guard;
    const synchronous_job job;
    const auto first_lane_of = [&](executor& run, engine_options options) {
        auto e = engine::create(job.r, job.view(), run, options).value();
        owned_state state(e->layout(), 2);
        e->initial_state(state.span());
        auto text = text_of(e->run_lane(state.span(), {0}, {1}, always).value());
        run_round(*e, job.r, 0, state);
        run_round(*e, job.r, 1, state);
        return text + state_digest(e->layout(), state.span()).hex();
    };
    serial_executor one;
    numerics::set_target(numerics::simd_target::reference);
    const auto expected = first_lane_of(one, {});
    tests::thread_pool three(3);
    for (const auto target : numerics::available_targets()) {
        numerics::set_target(target);
        BOOST_TEST(first_lane_of(one, {}) == expected, numerics::target_name(target));
        BOOST_TEST(first_lane_of(three, {}) == expected, numerics::target_name(target));
        BOOST_TEST(first_lane_of(three, {.micro_batch = 4}) == expected);
    }
}

BOOST_AUTO_TEST_CASE(rounds_lower_the_validation_loss) {
    const synchronous_job job;
    tests::thread_pool pool(2);
    auto e = engine::create(job.r, job.view(), pool).value();
    owned_state state(e->layout(), 2);
    e->initial_state(state.span());
    for (const float v : state.second) BOOST_REQUIRE(v == 0.0F);
    const auto before = *e->validate(state.span(), always);
    for (std::uint64_t round = 0; round < job.r.train.rounds; ++round) {
        run_round(*e, job.r, round, state);
    }
    BOOST_TEST(*e->validate(state.span(), always) < before - 1.0);
}

BOOST_AUTO_TEST_CASE(a_state_stays_finite_and_the_next_lanes_diverge) {
    const tests::target_guard guard;
    std::string expected;
    const auto available = numerics::available_targets();
    std::vector<numerics::simd_target> targets{numerics::simd_target::reference};
    targets.insert(targets.end(), available.begin(), available.end());
    for (const auto target : targets) {
        numerics::set_target(target);
        synchronous_job job(40);
        job.r.train.inner.lr = 1e9;
        job.r.train.inner.weight_decay = 1000;
        job.r.train.schedule.warmup = 0;
        serial_executor one;
        auto e = engine::create(job.r, job.view(), one).value();
        owned_state state(e->layout(), 2);
        e->initial_state(state.span());
        // The mean of round 0, again and again: no lane would give it so far away.
        summation sum(job.r, e->layout());
        for (std::uint64_t lane = 0; lane < job.r.train.lanes; ++lane) {
            const auto result = e->run_lane(state.span(), {0}, {lane}, always).value();
            BOOST_REQUIRE(sum.add({lane}, std::get<base::byte_vector>(result.outcome)));
        }
        const auto mean = sum.finish()->mean;
        for (std::uint64_t round = 0; round < 8; ++round) {
            BOOST_REQUIRE(apply_mean(job.r, e->layout(), {round}, mean, state.span()));
        }
        std::size_t largest = 0;
        for (const float p : state.parameters) {
            BOOST_REQUIRE(std::isfinite(p));
            largest += std::abs(p) == std::numeric_limits<float>::max();
        }
        BOOST_TEST(largest > 0u);
        const auto lane = e->run_lane(state.span(), {8}, {0}, always).value();
        const auto text = text_of(lane) + state_digest(e->layout(), state.span()).hex();
        BOOST_TEST(text.starts_with("diverged 0 "), text);
        if (expected.empty()) expected = text;
        BOOST_TEST(text == expected, numerics::target_name(target));
    }
}

BOOST_AUTO_TEST_CASE(lanes_hold_no_moments) {
    const small_job diloco;
    const synchronous_job job;
    const auto floats = layout_of(job.r.model).padded_size;
    BOOST_TEST(engine::memory_bytes_for(job.r, 1) + 3 * floats * sizeof(float) ==
               engine::memory_bytes_for(diloco.r, 1));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
