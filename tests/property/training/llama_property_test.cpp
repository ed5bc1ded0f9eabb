/// Training steps of random small llamas, as gpt2_property_test.cpp; and micro-batches of a
/// multiple of 256 tokens, which must change no bit.

#include <boost/test/unit_test.hpp>

#include "tests/property/training/model_steps.hpp"

namespace tequio::training {
namespace {

trainer_config random_llama() {
    trainer_config c;
    auto& m = c.model;
    m.family = "llama";
    m.layers = *rc::gen::inRange<std::uint64_t>(1, 3);
    m.kv_heads = *rc::gen::inRange<std::uint64_t>(1, 3);
    m.heads = m.kv_heads * *rc::gen::inRange<std::uint64_t>(1, 4);
    m.width = m.heads * 2 * *rc::gen::inRange<std::uint64_t>(1, 13);
    m.context = *rc::gen::inRange<std::uint64_t>(1, 70);
    m.vocabulary = *rc::gen::inRange<std::uint64_t>(2, 300);
    m.hidden = *rc::gen::inRange<std::uint64_t>(1, 100);
    m.rope_theta = *rc::gen::element(1.0, 100.0, 10000.0, 500000.0);
    m.norm_epsilon = *rc::gen::element(1e-6, 1e-5, 1e-15);
    m.tied = *rc::gen::arbitrary<bool>();
    c.micro_batch = *rc::gen::inRange<std::uint64_t>(1, 5);
    c.batch = c.micro_batch * *rc::gen::inRange<std::uint64_t>(1, 4);
    return c;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(llama_property)

BOOST_AUTO_TEST_CASE(every_target_gives_the_bits_of_the_reference_at_any_size) {
    BOOST_TEST(holds("bits do not depend on target or threads", [&] {
        same_on_every_target(random_llama(), *rc::gen::arbitrary<std::uint32_t>());
    }));
}

BOOST_AUTO_TEST_CASE(micro_batches_of_multiples_of_256_tokens_change_no_bit) {
    serial_executor one;
    tests::thread_pool three(3);
    BOOST_TEST(holds("bits do not depend on micro-batches cut at panels", [&] {
        auto config = random_llama();
        config.model.context = *rc::gen::element<std::uint64_t>(32, 64);
        const auto panel = 256 / config.model.context;  // sequences
        config.batch = panel * *rc::gen::inRange<std::uint64_t>(1, 4) +
                       *rc::gen::inRange<std::uint64_t>(0, panel);
        config.micro_batch = config.batch;
        const auto seed = *rc::gen::arbitrary<std::uint32_t>();
        const auto expected = two_steps(config, seed, one);
        config.micro_batch = panel;
        RC_ASSERT(same_bits(two_steps(config, seed, three), expected));
    }));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
