/// The mathematics of training/model/gpt2: its losses against a float64 twin, its gradients against
/// the twin's finite differences, every element of every tensor.

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <numeric>

#include "base/rng.hpp"
#include "tests/unit/training/gpt2_twin.hpp"
#include "training/model/gpt2.hpp"
#include "training/numerics/elementwise.hpp"

namespace tequio::training {
namespace {

constexpr std::uint64_t sequences = 3;
const model_config small{"gpt2", 2, 2, 8, 6, 7};

/// Weights far from their initial values, so that no term of a gradient is small by accident.
std::vector<float> random_parameters(const state_layout& layout, base::rng rng) {
    std::vector<float> flat(layout.padded_size, 0.0F);
    for (const auto& t : layout.tensors) {
        const bool gain = t.name.find("ln_") != std::string::npos && t.name.ends_with("weight");
        for (std::uint64_t i = 0; i < t.size; ++i) {
            const double u = static_cast<double>(rng.below(2000001)) / 1000000.0 - 1.0;
            flat[t.offset + i] = static_cast<float>(gain ? 1.0 + 0.5 * u : 0.6 * u);
        }
    }
    return flat;
}

std::vector<std::uint32_t> random_tokens(std::size_t count, base::rng rng) {
    std::vector<std::uint32_t> tokens(count);
    for (auto& t : tokens) t = static_cast<std::uint32_t>(rng.below(small.vocabulary));
    return tokens;
}

struct fixture {
    state_layout layout = layout_of(small);
    serial_executor run;
    arena_plan total;
    gpt2_plan plan{small, sequences, true, 1, total};
    arena memory = *arena::create(total);
    gpt2 model{layout, plan, memory, run};
    std::vector<float> parameters = random_parameters(layout, base::rng(1).split("parameters"));
    std::vector<std::uint32_t> tokens =
        random_tokens(sequences * small.context, base::rng(1).split("tokens"));
    std::vector<std::uint32_t> targets =
        random_tokens(sequences * small.context, base::rng(1).split("targets"));
    std::vector<float> losses = std::vector<float>(sequences * small.context);
    std::vector<float> gradients = std::vector<float>(layout.padded_size, NAN);

    batch_view batch(std::uint64_t first, std::uint64_t count) const {
        const auto at = first * small.context;
        const auto size = count * small.context;
        return {std::span(tokens).subspan(at, size),
                {},
                std::span(targets).subspan(at, size),
                small.context};
    }

    void train(std::uint64_t micro_batch) {
        const auto scale = 1.0F / static_cast<float>(tokens.size());
        for (std::uint64_t at = 0; at < sequences; at += micro_batch) {
            const auto count = std::min(micro_batch, sequences - at);
            model.train(parameters, batch(at, count), scale,
                        std::span(losses).subspan(at * small.context, count * small.context),
                        gradients, at == 0);
        }
        model.finish(gradients);
    }

    /// Central differences of the twin's mean loss by every element of `t`.
    std::vector<double> differences(const tensor_spec& t) const {
        constexpr double h = 1e-5;
        auto p = twin_of(layout, parameters);
        auto& values = p.at(t.name);
        std::vector<double> out;
        for (double& value : values) {
            const double kept = value;
            value = kept + h;
            const double above = twin_mean_loss(small, p, tokens, targets, small.context);
            value = kept - h;
            const double below = twin_mean_loss(small, p, tokens, targets, small.context);
            value = kept;
            out.push_back((above - below) / (2 * h));
        }
        return out;
    }

    /// norm(gradient - differences) / norm(differences) of one tensor.
    double relative_error(const tensor_spec& t) const {
        const auto expected = differences(t);
        double error = 0, norm = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double e = gradients[t.offset + i] - expected[i];
            error += e * e;
            norm += expected[i] * expected[i];
        }
        return std::sqrt(error / norm);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(gradient, fixture)

BOOST_AUTO_TEST_CASE(losses_agree_with_the_float64_twin) {
    model.evaluate(parameters, batch(0, sequences), losses);
    const auto expected =
        twin_losses(small, twin_of(layout, parameters), tokens, targets, small.context);
    for (std::size_t i = 0; i < losses.size(); ++i) {
        BOOST_TEST_CONTEXT("token " << i) {
            BOOST_CHECK_SMALL(losses[i] - expected[i], 3e-6);
        }
    }
}

BOOST_AUTO_TEST_CASE(training_and_evaluation_give_the_same_loss_bits) {
    model.evaluate(parameters, batch(0, sequences), losses);
    const auto evaluated = losses;
    train(sequences);
    BOOST_TEST(losses == evaluated);
}

BOOST_AUTO_TEST_CASE(every_gradient_agrees_with_finite_differences) {
    train(sequences);
    for (const auto& t : layout.tensors) {
        BOOST_TEST_CONTEXT(t.name) {
            BOOST_CHECK_SMALL(relative_error(t), 3e-6);
        }
    }
}

BOOST_AUTO_TEST_CASE(micro_batches_add_up_to_the_same_gradient) {
    train(2);
    for (const auto& t : layout.tensors) {
        BOOST_TEST_CONTEXT(t.name) {
            BOOST_CHECK_SMALL(relative_error(t), 3e-6);
        }
    }
}

BOOST_AUTO_TEST_CASE(next_logits_are_those_of_the_whole_sequence) {
    const auto seen = std::span(tokens).first(4);
    std::vector<float> logits(small.vocabulary);
    model.next_logits(parameters, {seen, {}, {}, seen.size()}, logits);
    const auto p = twin_of(layout, parameters);
    // A loss is log(sum of exp) - logit: differences of losses are differences of logits.
    std::vector<double> expected;
    for (std::uint32_t v = 0; v < small.vocabulary; ++v) {
        const std::vector<std::uint32_t> to(4, v);
        expected.push_back(twin_losses(small, p, seen, to, 4).back());
    }
    for (std::size_t v = 1; v < logits.size(); ++v) {
        BOOST_CHECK_SMALL((logits[v] - logits[0]) - (expected[0] - expected[v]), 3e-6);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
