/// The mathematics of training/model/mlp: its losses against a float64 twin, its gradients against
/// the twin's finite differences, every element of every tensor.

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "base/rng.hpp"
#include "tests/unit/training/gpt2_twin.hpp"
#include "training/model/mlp.hpp"

namespace tequio::training {
namespace {

constexpr std::uint64_t examples = 5;

model_config small_model(std::uint64_t layers) {
    model_config m;
    m.family = "mlp";
    m.layers = layers;
    m.width = 7;
    m.context = 1;
    m.inputs = 6;
    m.vocabulary = 4;
    return m;
}

double uniform(base::rng& rng) {
    return static_cast<double>(rng.below(2000001)) / 1000000.0 - 1.0;
}

/// The model a second time: float64, one example after another.
struct twin {
    model_config model;
    twin_parameters p;
    double smallest_margin = 1;  ///< distance of a value before ReLU from 0, the least seen

    std::vector<double> linear(const std::vector<double>& x, const std::string& name) const {
        auto out = p.at(name + ".bias");
        const auto& weight = p.at(name + ".weight");
        for (std::size_t i = 0; i < out.size(); ++i) {
            for (std::size_t j = 0; j < x.size(); ++j) out[i] += weight[i * x.size() + j] * x[j];
        }
        return out;
    }
    std::vector<double> logits(std::span<const float> input) {
        std::vector<double> x(input.begin(), input.end());
        for (std::uint64_t layer = 0; layer < model.layers; ++layer) {
            x = linear(x, "hidden." + std::to_string(layer));
            for (double& v : x) {
                smallest_margin = std::min(smallest_margin, std::abs(v));
                v = std::max(v, 0.0);
            }
        }
        return linear(x, "output");
    }
    std::vector<double> losses(std::span<const float> inputs,
                               std::span<const std::uint32_t> labels) {
        std::vector<double> out;
        for (std::size_t i = 0; i < labels.size(); ++i) {
            const auto scores = logits(inputs.subspan(i * model.inputs, model.inputs));
            double total = 0;
            for (const double score : scores) total += std::exp(score);
            out.push_back(std::log(total) - scores[labels[i]]);
        }
        return out;
    }
    double mean_loss(std::span<const float> inputs, std::span<const std::uint32_t> labels) {
        double total = 0;
        for (const double loss : losses(inputs, labels)) total += loss;
        return total / static_cast<double>(labels.size());
    }
};

struct mlp_fixture {
    model_config model;
    state_layout layout = layout_of(model);
    serial_executor run;
    arena_plan total;
    mlp_plan plan{model, examples, true, 1, total};
    arena memory = *arena::create(total);
    mlp net{layout, plan, memory, run};
    std::vector<float> parameters = std::vector<float>(layout.padded_size);
    std::vector<float> inputs = std::vector<float>(examples * model.inputs);
    std::vector<std::uint32_t> labels = std::vector<std::uint32_t>(examples);
    std::vector<float> losses = std::vector<float>(examples);
    std::vector<float> gradients = std::vector<float>(layout.padded_size, NAN);

    explicit mlp_fixture(std::uint64_t layers) : model(small_model(layers)) {
        base::rng rng(3);
        for (const auto& t : layout.tensors) {
            for (std::uint64_t i = 0; i < t.size; ++i) {
                parameters[t.offset + i] = static_cast<float>(0.8 * uniform(rng));
            }
        }
        for (auto& x : inputs) x = static_cast<float>(uniform(rng));
        for (auto& label : labels) label = static_cast<std::uint32_t>(rng.below(model.vocabulary));
    }
    batch_view batch(std::uint64_t first, std::uint64_t count) const {
        return {{},
                std::span(inputs).subspan(first * model.inputs, count * model.inputs),
                std::span(labels).subspan(first, count),
                1};
    }
    void train(std::uint64_t micro_batch) {
        for (std::uint64_t at = 0; at < examples; at += micro_batch) {
            const auto count = std::min(micro_batch, examples - at);
            net.train(parameters, batch(at, count), 1.0F / examples,
                      std::span(losses).subspan(at, count), gradients, at == 0);
        }
        net.finish(gradients);
    }
    twin float64() const { return {model, twin_of(layout, parameters)}; }

    /// norm(gradient - differences) / norm(differences) of one tensor, by central differences.
    double relative_error(const tensor_spec& t) const {
        constexpr double h = 1e-5;
        auto other = float64();
        auto& values = other.p.at(t.name);
        double error = 0, norm = 0;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const double kept = values[i];
            values[i] = kept + h;
            const double above = other.mean_loss(inputs, labels);
            values[i] = kept - h;
            const double below = other.mean_loss(inputs, labels);
            values[i] = kept;
            const double expected = (above - below) / (2 * h);
            const double e = gradients[t.offset + i] - expected;
            error += e * e;
            norm += expected * expected;
        }
        // Where ReLU bends, a difference says nothing.
        BOOST_REQUIRE(other.smallest_margin > 10 * h);
        BOOST_REQUIRE(norm > 0);
        return std::sqrt(error / norm);
    }
    void check_gradients() const {
        for (const auto& t : layout.tensors) {
            BOOST_TEST_CONTEXT(t.name << " of " << model.layers << " layers") {
                BOOST_CHECK_SMALL(relative_error(t), 3e-6);
            }
        }
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(mlp_gradient)

BOOST_AUTO_TEST_CASE(tensors_are_those_of_linear_layers) {
    const auto layout = layout_of(small_model(2));
    using shape = std::vector<std::uint64_t>;
    BOOST_TEST(layout.tensors.size() == 6U);
    BOOST_TEST(layout.tensor("hidden.0.weight").shape == (shape{7, 6}));
    BOOST_TEST(layout.tensor("hidden.1.weight").shape == (shape{7, 7}));
    BOOST_TEST(layout.tensor("hidden.1.bias").shape == (shape{7}));
    BOOST_TEST(layout.tensor("output.weight").shape == (shape{4, 7}));
    BOOST_TEST(layout.tensor("output.bias").shape == (shape{4}));
    BOOST_TEST(layout.parameters == 7U * 7U + 8U * 7U + 8U * 4U);
    for (const std::uint64_t layers : {1U, 2U, 12U}) {
        const auto model = small_model(layers);
        BOOST_TEST(layout_of(model).parameters == *parameter_count(model));
    }
    BOOST_CHECK_CLOSE(layout.tensor("hidden.0.weight").initial_deviation, std::sqrt(2.0 / 6), 1e-9);
    BOOST_CHECK_CLOSE(layout.tensor("hidden.1.weight").initial_deviation, std::sqrt(2.0 / 7), 1e-9);
    BOOST_CHECK_CLOSE(layout.tensor("output.weight").initial_deviation, std::sqrt(1.0 / 7), 1e-9);
    BOOST_TEST(layout.tensor("output.bias").initial_deviation == 0.0);
}

BOOST_AUTO_TEST_CASE(losses_agree_with_the_float64_twin) {
    for (const std::uint64_t layers : {1U, 2U, 3U}) {
        mlp_fixture f(layers);
        f.net.evaluate(f.parameters, f.batch(0, examples), f.losses);
        const auto expected = f.float64().losses(f.inputs, f.labels);
        for (std::size_t i = 0; i < examples; ++i) {
            BOOST_CHECK_SMALL(f.losses[i] - expected[i], 3e-6);
        }
    }
}

BOOST_AUTO_TEST_CASE(training_evaluation_and_a_plan_that_cannot_train_give_the_same_loss_bits) {
    mlp_fixture f(5);
    f.train(examples);
    const auto trained = f.losses;
    f.net.evaluate(f.parameters, f.batch(0, examples), f.losses);
    BOOST_TEST(f.losses == trained);
    arena_plan total;
    const mlp_plan small(f.model, examples, false, 1, total);
    BOOST_TEST(total.total_bytes() < f.total.total_bytes());
    const auto memory = arena::create(total).value();
    mlp other(f.layout, small, memory, f.run);
    other.evaluate(f.parameters, f.batch(0, examples), f.losses);
    BOOST_TEST(f.losses == trained);
}

BOOST_AUTO_TEST_CASE(every_gradient_agrees_with_finite_differences) {
    for (const std::uint64_t layers : {1U, 2U, 3U}) {
        mlp_fixture f(layers);
        f.train(examples);
        f.check_gradients();
    }
}

BOOST_AUTO_TEST_CASE(micro_batches_add_up_to_the_same_gradient) {
    mlp_fixture f(2);
    f.train(2);
    f.check_gradients();
}

BOOST_AUTO_TEST_CASE(next_logits_are_the_scores_of_one_example) {
    mlp_fixture f(2);
    std::vector<float> found(f.model.vocabulary);
    f.net.next_logits(f.parameters, f.batch(3, 1), found);
    const auto expected =
        f.float64().logits(std::span(f.inputs).subspan(3 * f.model.inputs, f.model.inputs));
    for (std::size_t v = 0; v < found.size(); ++v) {
        BOOST_CHECK_SMALL(found[v] - expected[v], 3e-6);
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::training
