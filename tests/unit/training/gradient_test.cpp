/// The mathematics of training/model's language models: their losses against float64 twins, their
/// gradients against the twins' finite differences, every element of every tensor.

#include <boost/test/unit_test.hpp>
#include <tuple>

#include "tests/unit/training/gradient_fixture.hpp"
#include "tests/unit/training/llama_twin.hpp"

namespace tequio::training {
namespace {

struct gpt2_case : gradient_fixture {
    gpt2_case() : gradient_fixture({"gpt2", 2, 2, 8, 6, 7}, twin_losses) {}
};

model_config small_llama(std::uint64_t kv_heads, bool tied) {
    model_config m{"llama", 2, 4, 16, 6, 7, kv_heads, 10};
    // Far from the usual, so that each takes part.
    m.rope_theta = 50;
    m.norm_epsilon = 0.01;
    m.tied = tied;
    return m;
}

struct llama_case : gradient_fixture {
    llama_case() : gradient_fixture(small_llama(4, true), llama_twin_losses) {}
};
struct grouped_llama_case : gradient_fixture {
    grouped_llama_case() : gradient_fixture(small_llama(2, true), llama_twin_losses) {}
};
struct untied_llama_case : gradient_fixture {
    untied_llama_case() : gradient_fixture(small_llama(1, false), llama_twin_losses) {}
};

using cases = std::tuple<gpt2_case, llama_case, grouped_llama_case, untied_llama_case>;

void check_gradients(const gradient_fixture& f) {
    for (const auto& t : f.layout.tensors) {
        BOOST_TEST_CONTEXT(t.name) {
            BOOST_CHECK_SMALL(f.relative_error(t), 3e-6);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(gradient)

BOOST_AUTO_TEST_CASE_TEMPLATE(losses_agree_with_the_float64_twin, fixture, cases) {
    fixture f;
    f.model->evaluate(f.parameters, f.batch(0, f.sequences), f.losses);
    const auto expected = f.twin_losses_of(twin_of(f.layout, f.parameters));
    for (std::size_t i = 0; i < f.losses.size(); ++i) {
        BOOST_TEST_CONTEXT("token " << i) {
            BOOST_CHECK_SMALL(f.losses[i] - expected[i], 3e-6);
        }
    }
}

BOOST_AUTO_TEST_CASE_TEMPLATE(training_and_evaluation_give_the_same_loss_bits, fixture, cases) {
    fixture f;
    f.model->evaluate(f.parameters, f.batch(0, f.sequences), f.losses);
    const auto evaluated = f.losses;
    f.train(f.sequences);
    BOOST_TEST(f.losses == evaluated);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(every_gradient_agrees_with_finite_differences, fixture, cases) {
    fixture f;
    f.train(f.sequences);
    check_gradients(f);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(micro_batches_add_up_to_the_same_gradient, fixture, cases) {
    fixture f;
    f.train(2);
    check_gradients(f);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(next_logits_are_those_of_the_whole_sequence, fixture, cases) {
    fixture f;
    const auto seen = std::span(f.tokens).first(4);
    std::vector<float> logits(f.small.vocabulary);
    f.model->next_logits(f.parameters, {seen, {}, {}, seen.size()}, logits);
    const auto p = twin_of(f.layout, f.parameters);
    // A loss is log(sum of exp) - logit: differences of losses are differences of logits.
    std::vector<double> expected;
    for (std::uint32_t v = 0; v < f.small.vocabulary; ++v) {
        const std::vector<std::uint32_t> to(4, v);
        expected.push_back(f.losses_of_twin(f.small, p, seen, to, 4).back());
    }
    for (std::size_t v = 1; v < logits.size(); ++v) {
        BOOST_CHECK_SMALL((logits[v] - logits[0]) - (expected[0] - expected[v]), 3e-6);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
