#include "training/dataset.hpp"

#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <numeric>
#include <vector>

#include "tests/unit/training/round_fixture.hpp"
#include "training/errc.hpp"

using namespace tequio;
using namespace tequio::training;

namespace {

base::result<tokenised_data> tokenise(std::initializer_list<std::string_view> texts, double share,
                                      std::uint64_t context) {
    std::vector<source_file> files;
    for (const auto text : texts) files.push_back({"file", base::as_bytes(text)});
    return tokenise_bytes(files, share, context);
}

/// A recipe with `context` on the data of `d`.
recipe recipe_on(const data_config& d, std::uint64_t context) {
    auto r = small_recipe();
    r.model.context = context;
    r.data = d;
    return r;
}

base::byte_vector counting_bytes(std::size_t n) {
    base::byte_vector bytes(n);
    for (std::size_t i = 0; i < n; ++i) bytes[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
    return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(dataset_test)

BOOST_AUTO_TEST_CASE(files_are_joined_in_order_by_one_newline) {
    const auto data = tokenise({"one", "two\n", "three"}, 0, 4);
    BOOST_REQUIRE_MESSAGE(data, data.error().message());
    BOOST_TEST(base::as_text(data->tokens) == "one\ntwo\n\nthree");
    BOOST_TEST((data->config.tokens == base::blob_ref_of(data->tokens)));
    BOOST_TEST(data->config.token_bytes == 1u);
    BOOST_TEST(data->config.token_count == 14);
    BOOST_TEST(data->config.validation_tokens == 0);
}

BOOST_AUTO_TEST_CASE(any_bytes_are_text) {
    std::string all(256, '\0');
    std::iota(all.begin(), all.end(), '\0');
    const auto data = tokenise({all}, 0, 16);
    BOOST_REQUIRE(data);
    const auto r = recipe_on(data->config, 16);
    const auto view = dataset_view::open(data->tokens, r);
    BOOST_REQUIRE_MESSAGE(view, view.error().message());
    std::vector<std::uint32_t> tokens(256);
    view->read(0, tokens);
    for (std::uint32_t i = 0; i < 256; ++i) BOOST_TEST(tokens[i] == i);
}

BOOST_AUTO_TEST_CASE(data_that_cannot_be_trained_on_is_refused_with_the_need) {
    const auto says = [](const base::result<tokenised_data>& data, const char* words) {
        BOOST_REQUIRE(!data);
        BOOST_TEST(data.error().is(errc::bad_data));
        BOOST_TEST(data.error().message().find(words) != std::string::npos, data.error().message());
    };
    says(tokenise({}, 0, 8), "no file");
    says(tokenise({"text", ""}, 0, 2), "\"file\" is empty");
    says(tokenise({"12345678"}, 0, 8), "has 8 tokens and needs at least 9");
    BOOST_TEST(tokenise({"123456789"}, 0, 8).has_value());
    // 100 tokens: 10 are the least share for validation windows of 9; 8 are not enough.
    const std::string text(100, 'x');
    says(tokenise({text}, 0.08, 8), "validation part has 8 tokens and needs at least 9");
    says(tokenise({text}, 0.001, 8), "data.validation = 0");
    BOOST_TEST(tokenise({text}, 0.09, 8)->config.validation_tokens == 9);
    says(tokenise({text}, 0.95, 8), "training part has 5 tokens");
    says(tokenise({text}, 1, 8), "from 0 to below 1");
    says(tokenise({text}, -0.5, 8), "from 0 to below 1");
}

BOOST_AUTO_TEST_CASE(validation_windows_lie_side_by_side_after_the_training_part) {
    const auto bytes = counting_bytes(1000);
    const source_file file{"f", bytes};
    const auto data = tokenise_bytes({&file, 1}, 0.1, 8);
    BOOST_REQUIRE(data);
    const auto view = *dataset_view::open(data->tokens, recipe_on(data->config, 8));
    BOOST_TEST(view.training_tokens() == 900);
    BOOST_TEST(view.validation_windows() == 11);
    for (std::uint64_t w = 0; w < 11; ++w) BOOST_TEST(view.validation_start(w) == 900 + 9 * w);
}

BOOST_AUTO_TEST_CASE(validation_has_at_most_64_windows) {
    const auto bytes = counting_bytes(10000);
    const source_file file{"f", bytes};
    const auto data = tokenise_bytes({&file, 1}, 0.5, 8);
    const auto view = *dataset_view::open(data->tokens, recipe_on(data->config, 8));
    BOOST_TEST(view.validation_windows() == 64);
}

BOOST_AUTO_TEST_CASE(training_sequences_stay_in_the_training_part) {
    const auto bytes = counting_bytes(100);
    const source_file file{"f", bytes};
    const auto data = tokenise_bytes({&file, 1}, 0.2, 8);
    const auto view = *dataset_view::open(data->tokens, recipe_on(data->config, 8));
    std::vector<int> seen(80);
    for (std::uint64_t step = 0; step < 50; ++step) {
        for (std::uint64_t index = 0; index < 50; ++index) {
            const auto start = view.training_start({0}, {0}, step, index);
            BOOST_REQUIRE(start + 9 <= 80);
            ++seen[start];
        }
    }
    // 72 places, 2,500 draws, about 35 each: every place is drawn, none far more than the others.
    BOOST_TEST(*std::min_element(seen.begin(), seen.begin() + 72) > 10);
    BOOST_TEST(*std::max_element(seen.begin(), seen.begin() + 72) < 75);
}

BOOST_AUTO_TEST_CASE(draws_depend_on_each_of_their_arguments_and_the_seed) {
    const auto bytes = counting_bytes(100000);
    const source_file file{"f", bytes};
    const auto data = tokenise_bytes({&file, 1}, 0, 8);
    auto r = recipe_on(data->config, 8);
    const auto view = *dataset_view::open(data->tokens, r);
    const auto first = view.training_start({3}, {2}, 1, 0);
    BOOST_TEST(first == view.training_start({3}, {2}, 1, 0));
    BOOST_TEST(first != view.training_start({2}, {2}, 1, 0));
    BOOST_TEST(first != view.training_start({3}, {3}, 1, 0));
    BOOST_TEST(first != view.training_start({3}, {2}, 2, 0));
    BOOST_TEST(first != view.training_start({3}, {2}, 1, 1));
    r.train.seed = 2;
    BOOST_TEST(first != dataset_view::open(data->tokens, r)->training_start({3}, {2}, 1, 0));
    // The codec and the lanes' number must not change the order of the data.
    r.train.seed = 1;
    r.train.window = -30;
    r.train.lanes = 77;
    BOOST_TEST(first == dataset_view::open(data->tokens, r)->training_start({3}, {2}, 1, 0));
}

BOOST_AUTO_TEST_CASE(order_of_the_data_is_as_it_always_was) {
    auto r = small_recipe();
    r.data = {{base::sha256("order"), 1000000}, 1, 1000000, 0};
    const base::byte_vector bytes(1000000);
    const auto view = *dataset_view::open(bytes, r);
    const std::array<std::uint64_t, 4> starts{
        view.training_start({0}, {0}, 0, 0), view.training_start({0}, {0}, 0, 1),
        view.training_start({5}, {4}, 3, 2), view.training_start({1048575}, {65535}, 1048575, 9)};
    // Made by tests/vectors/job_files/data_order.py, which has a Philox of its own.
    const std::array<std::uint64_t, 4> expected{442437, 667749, 337845, 560253};
    BOOST_TEST(starts == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(wide_tokens_are_little_endian_and_below_the_vocabulary) {
    auto r = small_recipe();
    r.model.vocabulary = 1000;
    base::byte_vector bytes;
    base::byte_writer out(bytes);
    for (std::uint16_t i = 0; i < 100; ++i) out.u16(static_cast<std::uint16_t>(900 + i));
    r.data = {base::blob_ref_of(bytes), 2, 100, 0};
    const auto view = dataset_view::open(bytes, r);
    BOOST_REQUIRE_MESSAGE(view, view.error().message());
    std::array<std::uint32_t, 3> tokens{};
    view->read(97, tokens);
    BOOST_TEST((tokens == std::array<std::uint32_t, 3>{997, 998, 999}));
    r.model.vocabulary = 999;
    const auto refused = dataset_view::open(bytes, r);
    BOOST_REQUIRE(!refused);
    BOOST_TEST(refused.error().message() == "data: token 99 is 999, the vocabulary has 999");
    bytes.pop_back();
    BOOST_TEST(dataset_view::open(bytes, r).error().is(errc::bad_data));
}

BOOST_AUTO_TEST_SUITE_END()
