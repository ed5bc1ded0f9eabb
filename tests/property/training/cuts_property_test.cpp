/// Training steps of models with cuts: rounding at them has one result on every instruction set,
/// and rounding to f32 is none.

#include <boost/test/unit_test.hpp>

#include "tests/property/training/model_steps.hpp"
#include "tests/property/training/sliced_models.hpp"

namespace tequio::training {

BOOST_AUTO_TEST_SUITE(cuts_property)

BOOST_AUTO_TEST_CASE(every_target_gives_the_bits_of_the_reference_with_any_cuts) {
    BOOST_TEST(holds("bits do not depend on target or threads", [&] {
        same_on_every_target(config_with_cuts(), *rc::gen::arbitrary<std::uint32_t>());
    }));
}

BOOST_AUTO_TEST_CASE(cuts_of_f32_change_no_bit) {
    static tests::thread_pool three(3);
    BOOST_TEST(holds("f32 is the identity", [&] {
        auto config = config_with_cuts();
        config.slices.activations = "f32";
        const auto seed = *rc::gen::arbitrary<std::uint32_t>();
        const auto with = two_steps(config, seed, three);
        config.slices.cuts.clear();
        RC_ASSERT(same_bits(two_steps(config, seed, three), with));
    }));
}

BOOST_AUTO_TEST_CASE(cuts_of_other_formats_do) {
    serial_executor one;
    for (const char* family : {"gpt2", "llama"}) {
        trainer_config config;
        config.model = {family, 3, 2, 16, 8, 31, 1, 24};
        config.batch = config.micro_batch = 2;
        const auto none = two_steps(config, 5, one);
        std::vector<std::vector<float>> seen{none};
        for (const char* format : {"bf16", "mxint8"}) {
            for (const std::vector<std::uint64_t>& cuts :
                 {std::vector<std::uint64_t>{1}, {2}, {1, 2}}) {
                config.slices = {cuts, format};
                seen.push_back(two_steps(config, 5, one));
                for (std::size_t i = 0; i + 1 < seen.size(); ++i) {
                    BOOST_TEST(!same_bits(seen[i], seen.back()));
                }
            }
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
