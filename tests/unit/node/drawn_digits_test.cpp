#include "node/cli/drawn_digits.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>

#include "base/sha256.hpp"
#include "training/examples.hpp"

using namespace tequio;

BOOST_AUTO_TEST_SUITE(drawn_digits)

BOOST_AUTO_TEST_CASE(files_are_a_pair_that_the_reader_of_idx_takes) {
    const auto drawn = node::draw_digits(300, 7);
    const training::source_file files[] = {{"images-ubyte", drawn.images},
                                           {"labels-ubyte", drawn.labels}};
    const auto data = training::read_examples(files, {});
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST(data->examples == 300U);
    BOOST_TEST(data->inputs == node::digit_side * node::digit_side);
    BOOST_TEST(data->classes == 10U);
    BOOST_TEST(data->value_bytes == 1U);
}

BOOST_AUTO_TEST_CASE(every_digit_is_drawn_and_each_has_ink) {
    constexpr std::uint64_t count = 500, pixels = node::digit_side * node::digit_side;
    const auto drawn = node::draw_digits(count, 3);
    std::array<int, 10> seen{};
    for (std::uint64_t i = 0; i < count; ++i) {
        ++seen.at(drawn.labels[8 + i]);
        const auto image = base::byte_view(drawn.images).subspan(16 + i * pixels, pixels);
        const auto dark = std::count_if(image.begin(), image.end(), [](auto v) { return v > 140; });
        BOOST_TEST((dark > 10 && dark < 250), "digit " << i << " has " << dark << " dark pixels");
    }
    for (const int n : seen) BOOST_TEST(n > 20);
}

BOOST_AUTO_TEST_CASE(the_same_seed_gives_the_bytes_that_it_always_gave) {
    const auto drawn = node::draw_digits(2000, 1);
    BOOST_TEST(base::sha256(drawn.images).hex() ==
               "834bbd59d34de074e130e3752805c5dfeb1104bb860f490bc478b6a641ee8d18");
    BOOST_TEST(base::sha256(drawn.labels).hex() ==
               "78c0ae756169d94f5ddabea0674d8692ede588973772a14187f09e41969e7ec6");
    BOOST_TEST((node::draw_digits(10, 1).images != node::draw_digits(10, 2).images));
}

BOOST_AUTO_TEST_SUITE_END()
