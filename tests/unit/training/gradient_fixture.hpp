#pragma once

/// A small language model at work beside its float64 twin: losses against the twin's, gradients
/// against the twin's finite differences.

#include <cmath>
#include <memory>
#include <span>
#include <vector>

#include "base/rng.hpp"
#include "tests/unit/training/gpt2_twin.hpp"
#include "training/model/family.hpp"

namespace tequio::training {

/// Loss in nats of each target, as `twin_losses`.
using twin_function = std::vector<double> (*)(const model_config& model,
                                              const twin_parameters& parameters,
                                              std::span<const std::uint32_t> tokens,
                                              std::span<const std::uint32_t> targets,
                                              std::uint64_t time);

/// Weights far from their initial values, so that no term of a gradient is small by accident.
inline std::vector<float> random_parameters(const state_layout& layout, base::rng rng) {
    std::vector<float> flat(layout.padded_size, 0.0F);
    for (const auto& t : layout.tensors) {
        for (std::uint64_t i = 0; i < t.size; ++i) {
            const double u = static_cast<double>(rng.below(2000001)) / 1000000.0 - 1.0;
            const bool gain = t.initial_value == 1.0F;
            flat[t.offset + i] = static_cast<float>(gain ? 1.0 + 0.5 * u : 0.6 * u);
        }
    }
    return flat;
}

/// Three sequences through one network.
struct gradient_fixture {
    static constexpr std::uint64_t sequences = 3;

    gradient_fixture(const model_config& config, twin_function twin)
        : small(config), losses_of_twin(twin) {}

    model_config small;
    twin_function losses_of_twin;
    state_layout layout = layout_of(small);
    serial_executor run;
    arena_plan total;
    std::unique_ptr<network_plan> plan = family_of(small).plan(small, whole_of(small), {sequences, sequences}, true, 1, total);
    arena memory = *arena::create(total);
    std::unique_ptr<network> model = plan->build(layout, memory, run);
    std::vector<float> parameters = random_parameters(layout, base::rng(1).split("parameters"));
    std::vector<std::uint32_t> tokens = random_tokens(base::rng(1).split("tokens"));
    std::vector<std::uint32_t> targets = random_tokens(base::rng(1).split("targets"));
    std::vector<float> losses = std::vector<float>(sequences * small.context);
    std::vector<float> gradients = std::vector<float>(layout.padded_size, NAN);

    std::vector<std::uint32_t> random_tokens(base::rng rng) const {
        std::vector<std::uint32_t> out(sequences * small.context);
        for (auto& t : out) t = static_cast<std::uint32_t>(rng.below(small.vocabulary));
        return out;
    }

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
            model->train(parameters, batch(at, count), scale,
                         std::span(losses).subspan(at * small.context, count * small.context),
                         gradients, at == 0);
        }
        model->finish(gradients);
    }

    std::vector<double> twin_losses_of(const twin_parameters& p) const {
        return losses_of_twin(small, p, tokens, targets, small.context);
    }

    double twin_mean_of(const twin_parameters& p) const {
        double sum = 0;
        for (const double loss : twin_losses_of(p)) sum += loss;
        return sum / static_cast<double>(tokens.size());
    }

    /// Central differences of the twin's mean loss by every element of `t`.
    std::vector<double> differences(const tensor_spec& t) const {
        constexpr double h = 1e-5;
        auto p = twin_of(layout, parameters);
        std::vector<double> out;
        for (double& value : p.at(t.name)) {
            const double kept = value;
            value = kept + h;
            const double above = twin_mean_of(p);
            value = kept - h;
            const double below = twin_mean_of(p);
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

}  // namespace tequio::training
