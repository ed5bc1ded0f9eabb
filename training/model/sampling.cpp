#include "training/sampling.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "training/errc.hpp"
#include "training/model/family.hpp"
#include "training/numerics/math64.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view stream_sampling = "sampling";

/// Index of the largest logit, the smallest of equals.
std::uint32_t likeliest(std::span<const float> logits) {
    return static_cast<std::uint32_t>(std::max_element(logits.begin(), logits.end()) -
                                      logits.begin());
}

/// The first token whose cumulated weight exceeds `share` of the total.
std::uint32_t drawn(std::span<const float> logits, double temperature, double share,
                    std::vector<double>& weights) {
    const double top = logits[likeliest(logits)];
    double total = 0;
    for (std::size_t i = 0; i < logits.size(); ++i) {
        // exp64 is defined down to -700; below it a weight is nothing anyway.
        const double x = (logits[i] - top) / temperature;
        weights[i] = x < -700.0 ? 0.0 : numerics::exp64(x);
        total += weights[i];
    }
    double seen = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        seen += weights[i];
        if (seen > share * total) return static_cast<std::uint32_t>(i);
    }
    return likeliest(logits);
}

base::result<void> check_prompt(std::span<const std::uint32_t> prompt, std::uint64_t vocabulary) {
    if (prompt.empty()) return fail(errc::bad_data, "the prompt has no token");
    for (const auto token : prompt) {
        if (token >= vocabulary) {
            return fail(errc::bad_data, "the prompt's token " + std::to_string(token) +
                                            " is not in the model's vocabulary of " +
                                            std::to_string(vocabulary));
        }
    }
    return {};
}

}  // namespace

base::result<std::vector<std::uint32_t>> prompt_tokens(const tokenizer& words,
                                                       base::byte_view text) {
    if (!text.empty()) return words.encode(text);
    if (const auto end = words.end_of_text()) return std::vector<std::uint32_t>{*end};
    return words.encode(base::as_bytes("\n"));
}

base::result<void> check_writes_text(const model_config& model) {
    if (model.family != "mlp") return {};
    return fail(errc::bad_data, "this model is an mlp: it classifies examples and writes no text");
}

base::result<void> sample(const loaded_model& model, std::span<const std::uint32_t> prompt,
                          const sample_options& options, executor& run, const token_sink& sink) {
    if (!(options.temperature >= 0) || !std::isfinite(options.temperature)) {
        return fail(errc::bad_data, "the temperature must be a number from 0 upwards");
    }
    const auto& m = model.model;
    TEQUIO_CHECK(check_writes_text(m));
    TEQUIO_CHECK(check_prompt(prompt, m.vocabulary));
    std::vector<std::uint32_t> tokens(prompt.begin(), prompt.end());
    arena_plan total;
    const auto plan = family_of(m).plan(m, whole_of(m), {1, 1}, false, run.threads(), total);
    TEQUIO_TRY(const auto memory, arena::create(total));
    const auto network = plan->build(model.layout, memory, run);
    const numerics::draws draws(numerics::derive_key(stream_sampling, options.seed, base::digest{}),
                                {});
    std::vector<float> logits(m.vocabulary);
    std::vector<double> weights(m.vocabulary);
    for (std::uint64_t i = 0; i < options.tokens; ++i) {
        const auto seen = std::min<std::size_t>(tokens.size(), m.context);
        network->next_logits(model.parameters, {std::span(tokens).last(seen), {}, {}, seen},
                             logits);
        const double share = (static_cast<double>(draws.word(i)) + 0.5) * 0x1p-32;
        tokens.push_back(options.temperature == 0
                             ? likeliest(logits)
                             : drawn(logits, options.temperature, share, weights));
        if (!sink(tokens.back())) break;
    }
    return {};
}

}  // namespace tequio::training
