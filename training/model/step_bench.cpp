#include <string>
#include <utility>
#include <vector>

#include "base/ensure.hpp"
#include "training/engine.hpp"
#include "training/errc.hpp"
#include "training/model/initial.hpp"
#include "training/model/trainer.hpp"
#include "training/numerics/philox.hpp"

namespace tequio::training {

namespace {

std::vector<bench_preset> presets() {
    return {
        {"tiny-1m", {"gpt2", 4, 4, 128, 128, 256}, 16},
        {"small-10m", {"gpt2", 6, 6, 384, 256, 65}, 8},
        {"gpt2-124m", {"gpt2", 12, 12, 768, 512, 50257}, 2},
        {"llama-60m", {"llama", 8, 8, 512, 512, 32000, 8, 1408}, 2},
    };
}

}  // namespace

std::string bench_preset_names() {
    std::string names;
    for (const auto& preset : presets()) {
        names += (names.empty() ? "" : ", ") + std::string(preset.name);
    }
    return names;
}

base::result<bench_preset> bench_preset_of(std::string_view name) {
    for (auto& preset : presets()) {
        if (preset.name == name) return std::move(preset);
    }
    return fail(errc::not_in_version,
                "preset \"" + std::string(name) +
                    "\" is not in this version (has: " + bench_preset_names() + ")");
}

struct step_bench::parts {
    bench_preset preset;
    state_layout layout;
    std::uint64_t steps = 0;
    std::unique_ptr<trainer> work;
};

step_bench::step_bench(std::unique_ptr<parts> p) : parts_(std::move(p)) {}
step_bench::~step_bench() = default;

base::result<std::unique_ptr<step_bench>> step_bench::create(const bench_preset& preset,
                                                             executor& run) {
    const auto context = preset.model.context;
    if (preset.batch == 0 || context == 0 || context > recipe_limits::context ||
        preset.batch > recipe_limits::step_tokens / context) {
        return fail(errc::bad_recipe, "batch and context must be from 1, context at most " +
                                          std::to_string(recipe_limits::context) +
                                          ", batch * context at most " +
                                          std::to_string(recipe_limits::step_tokens));
    }
    auto p = std::make_unique<parts>(parts{preset, layout_of(preset.model), 0, nullptr});
    const trainer_config config{preset.model, preset.batch, preset.batch, inner_config{}};
    TEQUIO_TRY(p->work, trainer::create(config, p->layout, run));
    std::vector<float> parameters(p->layout.padded_size);
    {
        std::vector<float> momentum(p->layout.padded_size);
        fill_initial(p->layout, 1, base::digest{}, {parameters, momentum}, run);
    }
    p->work->begin(parameters);
    return std::unique_ptr<step_bench>(new step_bench(std::move(p)));
}

double step_bench::one_step() {
    auto& p = *parts_;
    const auto key = numerics::derive_key(numerics::stream_data_order, 1, base::digest{});
    const auto fill = [&](std::uint64_t first, const batch_span& batch) {
        const numerics::draws draws(key, {.round = 0, .lane = 0, .step = p.steps});
        const auto start = first * p.preset.model.context;
        for (std::size_t i = 0; i < batch.targets.size(); ++i) {
            if (!batch.tokens.empty()) {
                batch.tokens[i] = draws.below(start + i, p.preset.model.vocabulary);
            }
            batch.targets[i] = draws.below(start + i + 1, p.preset.model.vocabulary);
        }
        // Values cost about what a job's own do (dataset_view::read_example): no draws.
        for (std::size_t i = 0; i < batch.inputs.size(); ++i) {
            batch.inputs[i] = static_cast<float>((p.steps + 7 * i) % 251) * 0x1p-8F;
        }
    };
    ++p.steps;
    const auto done = p.work->step(p.steps, 3e-4, fill, [] { return true; });
    base::ensure(done.has_value(), "a step that nobody stops finishes");
    return done->loss;
}

std::uint64_t step_bench::parameters() const {
    return parts_->layout.parameters;
}

std::uint64_t step_bench::tokens_per_step() const {
    return parts_->preset.batch * parts_->preset.model.context;
}

std::uint64_t step_bench::flops_per_step() const {
    return token_flops(parts_->preset.model) * tokens_per_step();
}

}  // namespace tequio::training
