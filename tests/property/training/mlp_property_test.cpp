/// Training steps of random small classifiers: the plain reference on one thread, with the whole
/// step at once, is the definition; every instruction set on three threads, and any micro-batch of
/// a multiple of 256 examples, must give its bits.

#include <rapidcheck.h>

#include <boost/test/unit_test.hpp>

#include "tests/property/training/model_steps.hpp"

namespace tequio::training {
namespace {

trainer_config random_mlp() {
    trainer_config c;
    c.model.family = "mlp";
    c.model.layers = *rc::gen::inRange<std::uint64_t>(1, 4);
    c.model.width = *rc::gen::inRange<std::uint64_t>(1, 70);
    c.model.context = 1;
    c.model.inputs = *rc::gen::inRange<std::uint64_t>(1, 300);
    c.model.vocabulary = *rc::gen::inRange<std::uint64_t>(2, 40);
    return c;
}

/// The examples of both steps; some values are 0 and some huge or tiny.
struct examples {
    std::vector<float> inputs;
    std::vector<std::uint32_t> labels;

    examples(const trainer_config& c, std::uint64_t seed)
        : inputs(2 * c.batch * c.model.inputs), labels(2 * c.batch) {
        base::rng rng(seed);
        for (auto& x : inputs) {
            const float unit = static_cast<float>(rng.below(2001)) / 1000.0F - 1.0F;
            const float scales[] = {0.0F, 1.0F, 1.0F, 1.0F, 0x1p-90F, 0x1p10F};
            x = unit * scales[rng.below(6)];
        }
        for (auto& label : labels) {
            label = static_cast<std::uint32_t>(rng.below(c.model.vocabulary));
        }
    }
};

/// Parameters after two steps, the second one's gradients, and both losses: everything a lane is
/// made of.
std::vector<float> two_mlp_steps(const trainer_config& config, std::uint64_t seed, executor& run) {
    const auto layout = layout_of(config.model);
    auto work = trainer::create(config, layout, run).value();
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    fill_initial(layout, seed, base::digest{}, {parameters, momentum}, run);
    work->begin(parameters);
    const examples data(config, seed);
    std::vector<float> out;
    for (const std::uint64_t step : {1U, 2U}) {
        const auto source = [&](std::uint64_t first, const batch_span& batch) {
            const auto at = (step - 1) * config.batch + first;
            const auto values = std::span(data.inputs).subspan(at * config.model.inputs);
            std::copy_n(values.begin(), batch.inputs.size(), batch.inputs.begin());
            const auto labels = std::span(data.labels).subspan(at);
            std::copy_n(labels.begin(), batch.targets.size(), batch.targets.begin());
        };
        const auto done = work->step(step, 1e-2, source, [] { return true; }).value();
        out.push_back(static_cast<float>(done.loss));
    }
    out.insert(out.end(), work->parameters().begin(), work->parameters().end());
    out.insert(out.end(), work->gradients().begin(), work->gradients().end());
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mlp_property)

BOOST_AUTO_TEST_CASE(every_target_gives_the_bits_of_the_reference_at_any_size) {
    serial_executor one;
    tests::thread_pool three(3);
    BOOST_TEST(holds("bits do not depend on target or threads", [&] {
        auto config = random_mlp();
        config.micro_batch = *rc::gen::inRange<std::uint64_t>(1, 40);
        config.batch = config.micro_batch * *rc::gen::inRange<std::uint64_t>(1, 4);
        const auto seed = *rc::gen::arbitrary<std::uint32_t>();
        numerics::set_target(numerics::simd_target::reference);
        const auto expected = two_mlp_steps(config, seed, one);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            RC_ASSERT(same_bits(two_mlp_steps(config, seed, three), expected));
        }
    }));
}

BOOST_AUTO_TEST_CASE(micro_batches_of_multiples_of_256_examples_change_no_bit) {
    serial_executor one;
    tests::thread_pool three(3);
    BOOST_TEST(holds("bits do not depend on micro-batches cut at panels", [&] {
        auto config = random_mlp();
        const auto panels = *rc::gen::inRange<std::uint64_t>(1, 4);
        config.batch = 256 * panels + *rc::gen::inRange<std::uint64_t>(0, 256);
        config.micro_batch = config.batch;
        const auto seed = *rc::gen::arbitrary<std::uint32_t>();
        const auto expected = two_mlp_steps(config, seed, one);
        config.micro_batch = 256 * *rc::gen::inRange<std::uint64_t>(1, panels + 1);
        RC_ASSERT(same_bits(two_mlp_steps(config, seed, three), expected));
    }));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
