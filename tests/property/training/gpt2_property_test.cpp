/// One training step of random small models: the plain reference on one thread is the definition,
/// and every instruction set on three threads must give its bits, whatever the sizes.

#include <rapidcheck.h>

#include <boost/test/unit_test.hpp>
#include <cstring>

#include "base/rng.hpp"
#include "tests/support/thread_pool.hpp"
#include "training/model/initial.hpp"
#include "training/model/trainer.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training {
namespace {

trainer_config random_config() {
    trainer_config c;
    c.model.family = "gpt2";
    c.model.layers = *rc::gen::inRange<std::uint64_t>(1, 3);
    c.model.heads = *rc::gen::inRange<std::uint64_t>(1, 4);
    c.model.width = c.model.heads * *rc::gen::inRange<std::uint64_t>(1, 24);
    c.model.context = *rc::gen::inRange<std::uint64_t>(1, 70);
    c.model.vocabulary = *rc::gen::inRange<std::uint64_t>(2, 300);
    c.micro_batch = *rc::gen::inRange<std::uint64_t>(1, 5);
    c.batch = c.micro_batch * *rc::gen::inRange<std::uint64_t>(1, 4);
    return c;
}

/// Parameters after two steps, the second one's gradients, and both losses: everything a lane is
/// made of.
std::vector<float> two_steps(const trainer_config& config, std::uint64_t seed, executor& run) {
    const auto layout = layout_of(config.model);
    auto work = trainer::create(config, layout, run).value();
    std::vector<float> parameters(layout.padded_size), momentum(layout.padded_size);
    fill_initial(layout, seed, base::digest{}, {parameters, momentum}, run);
    work->begin(parameters);
    base::rng rng(seed);
    const auto source = [&](std::uint64_t, const batch_span& batch) {
        const auto any = [&] {
            return static_cast<std::uint32_t>(rng.below(config.model.vocabulary));
        };
        for (auto& t : batch.tokens) t = any();
        for (auto& t : batch.targets) t = any();
    };
    std::vector<float> out;
    for (const std::uint64_t step : {1U, 2U}) {
        const auto done = work->step(step, 1e-2, source, [] { return true; }).value();
        out.push_back(static_cast<float>(done.loss));
    }
    out.insert(out.end(), work->parameters().begin(), work->parameters().end());
    out.insert(out.end(), work->gradients().begin(), work->gradients().end());
    return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), 4 * a.size()) == 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gpt2_property)

BOOST_AUTO_TEST_CASE(every_target_gives_the_bits_of_the_reference_at_any_size) {
    const auto kept = numerics::active_target();
    serial_executor one;
    tests::thread_pool three(3);
    const bool held = rc::check("bits do not depend on target or threads", [&] {
        const auto config = random_config();
        const auto seed = *rc::gen::arbitrary<std::uint32_t>();
        numerics::set_target(numerics::simd_target::reference);
        const auto expected = two_steps(config, seed, one);
        for (const auto target : numerics::available_targets()) {
            numerics::set_target(target);
            RC_ASSERT(same_bits(two_steps(config, seed, three), expected));
        }
    });
    numerics::set_target(kept);
    BOOST_TEST(held);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
