#include "training/sampling.hpp"

#include <boost/test/unit_test.hpp>

#include "base/rng.hpp"
#include "tests/support/thread_pool.hpp"
#include "tests/unit/training/tokenizer_fixture.hpp"
#include "training/errc.hpp"

namespace tequio::training {
namespace {

loaded_model random_model(std::uint64_t vocabulary) {
    loaded_model m;
    m.model = {"gpt2", 2, 2, 16, 8, vocabulary};
    m.layout = layout_of(m.model);
    m.parameters.resize(m.layout.padded_size);
    base::rng rng(9);
    for (const auto& t : m.layout.tensors) {
        for (std::uint64_t i = 0; i < t.size; ++i) {
            m.parameters[t.offset + i] = static_cast<float>(rng.below(2001)) / 1000.0F - 1.0F;
        }
    }
    return m;
}

std::vector<std::uint32_t> text_of(const loaded_model& model, std::string_view prompt,
                                   const sample_options& options, executor& run) {
    std::vector<std::uint32_t> out;
    const auto tokens = prompt_tokens(tokenizer::of_bytes(), base::as_bytes(prompt)).value();
    const auto done = sample(model, tokens, options, run, [&](std::uint32_t token) {
        out.push_back(token);
        return true;
    });
    BOOST_REQUIRE(done.has_value());
    return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sampling)

BOOST_AUTO_TEST_CASE(seed_and_prompt_fix_the_text_and_threads_do_not_matter) {
    const auto model = random_model(256);
    serial_executor one;
    tests::thread_pool two(2);
    const sample_options options{.tokens = 30, .temperature = 1.0, .seed = 4};
    const auto text = text_of(model, "lane", options, one);
    BOOST_TEST(text.size() == 30U);
    BOOST_TEST(text == text_of(model, "lane", options, two));
    BOOST_TEST(text != text_of(model, "lame", options, one));
    auto other = options;
    other.seed = 5;
    BOOST_TEST(text != text_of(model, "lane", other, one));
}

BOOST_AUTO_TEST_CASE(temperature_zero_ignores_the_seed_and_low_ones_come_near_it) {
    const auto model = random_model(256);
    serial_executor one;
    const auto best = text_of(model, "a", {.tokens = 20, .temperature = 0, .seed = 1}, one);
    BOOST_TEST(best == text_of(model, "a", {.tokens = 20, .temperature = 0, .seed = 2}, one));
    BOOST_TEST(best == text_of(model, "a", {.tokens = 20, .temperature = 1e-6, .seed = 3}, one));
}

BOOST_AUTO_TEST_CASE(only_the_last_context_of_a_prompt_counts) {
    const auto model = random_model(256);
    serial_executor one;
    const sample_options options{.tokens = 10, .temperature = 1.0, .seed = 1};
    BOOST_TEST(text_of(model, "abcdefgh", options, one) ==
               text_of(model, "something before abcdefgh", options, one));
    BOOST_TEST(text_of(model, "", options, one) == text_of(model, "\n", options, one));
}

BOOST_AUTO_TEST_CASE(draws_follow_the_distribution) {
    // One layer of zeros: all logits are equal, so tokens are uniform.
    loaded_model model = random_model(4);
    std::fill(model.parameters.begin(), model.parameters.end(), 0.0F);
    serial_executor one;
    std::vector<int> counts(4);
    std::uint64_t n = 0;
    BOOST_REQUIRE(sample(model, std::vector<std::uint32_t>{1}, {.tokens = 4000, .temperature = 1.0},
                         one, [&](std::uint32_t token) {
                             ++counts[token];
                             return ++n < 4000;
                         }));
    for (const int count : counts) BOOST_CHECK_SMALL(count - 1000.0, 150.0);
}

BOOST_AUTO_TEST_CASE(refuses_tokens_outside_the_vocabulary_and_bad_temperatures) {
    const auto model = random_model(100);
    serial_executor one;
    const token_sink sink = [](std::uint32_t) { return true; };
    const std::vector<std::uint32_t> inside{99};
    const std::vector<std::uint32_t> outside{1, 100};
    BOOST_TEST(sample(model, inside, {.tokens = 1}, one, sink).has_value());
    BOOST_TEST(sample(model, outside, {}, one, sink).error().is(errc::bad_data));
    BOOST_TEST(sample(model, {}, {}, one, sink).error().is(errc::bad_data));
    BOOST_TEST(sample(model, inside, {.temperature = -1.0}, one, sink).error().is(errc::bad_data));
}

BOOST_AUTO_TEST_CASE(empty_prompts_are_the_end_of_another_text) {
    const auto file = tests::tokenizer_json{.special = {"</s>"}}.text();
    const auto words = tokenizer::from_json(base::as_bytes(file)).value();
    BOOST_TEST(prompt_tokens(words, {}).value() == std::vector<std::uint32_t>{256});
    BOOST_TEST(prompt_tokens(tokenizer::of_bytes(), {}).value() == std::vector<std::uint32_t>{10});
}

BOOST_AUTO_TEST_CASE(a_classifier_writes_no_text) {
    loaded_model model;
    model.model.family = "mlp";
    serial_executor one;
    const auto done = sample(model, {}, {}, one, [](std::uint32_t) { return true; });
    BOOST_REQUIRE(!done);
    BOOST_TEST(done.error().is(errc::bad_data));
    BOOST_TEST(done.error().message() ==
               "this model is an mlp: it classifies examples and writes no text");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
