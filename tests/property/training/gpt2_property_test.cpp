/// Training steps of random small models: the plain reference on one thread is the definition, and
/// every instruction set on three threads must give its bits, whatever the sizes.

#include <boost/test/unit_test.hpp>

#include "tests/property/training/model_steps.hpp"

namespace tequio::training {
namespace {

trainer_config random_gpt2() {
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

}  // namespace

BOOST_AUTO_TEST_SUITE(gpt2_property)

BOOST_AUTO_TEST_CASE(every_target_gives_the_bits_of_the_reference_at_any_size) {
    BOOST_TEST(holds("bits do not depend on target or threads", [&] {
        same_on_every_target(random_gpt2(), *rc::gen::arbitrary<std::uint32_t>());
    }));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
