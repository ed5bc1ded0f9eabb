#include "training/model/trainer.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/model/family.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training {

trainer_plan::trainer_plan(const trainer_config& config, const state_layout& layout,
                           unsigned threads)
    : gradients(total.floats(layout.padded_size)),
      parameters(total.floats(config.updates ? layout.padded_size : 0)),
      first(total.floats(config.updates ? layout.padded_size : 0)),
      second(total.floats(config.updates ? layout.padded_size : 0)),
      losses(total.floats(saturating_product({config.batch, config.model.context}))),
      model(family_of(config.model)
                .plan(config.model, whole_of(config.model, config.slices),
                      {config.micro_batch, config.batch}, true, threads, total)) {}

trainer::trainer(const trainer_config& config, const state_layout& layout, trainer_plan plan,
                 arena memory, executor& run)
    : config_(config),
      layout_(layout),
      plan_(std::move(plan)),
      memory_(std::move(memory)),
      run_(run),
      model_(plan_.model->build(layout, memory_, run)),
      tokens_(config.model.inputs == 0 ? config.micro_batch * config.model.context : 0),
      targets_(config.micro_batch * config.model.context),
      inputs_(config.micro_batch * config.model.inputs) {}

base::result<std::unique_ptr<trainer>> trainer::create(const trainer_config& config,
                                                       const state_layout& layout, executor& run) {
    trainer_plan plan(config, layout, run.threads());
    TEQUIO_TRY(auto memory, arena::create(plan.total));
    return std::unique_ptr<trainer>(
        new trainer(config, layout, std::move(plan), std::move(memory), run));
}

void trainer::begin(std::span<const float> parameters) {
    const auto own = memory_.floats(plan_.parameters);
    base::ensure(parameters.size() == own.size(), "parameters have the size of the layout");
    numerics::flush_copy(parameters.data(), own.data(), own.size(), run_);
    for (const auto& slice : {plan_.first, plan_.second}) {
        const auto moments = memory_.floats(slice);
        std::fill(moments.begin(), moments.end(), 0.0F);
    }
}

batch_view trainer::next_batch(std::uint64_t first, std::uint64_t sequences,
                               const batch_source& source) {
    const auto count = sequences * config_.model.context;
    const batch_span batch{std::span(tokens_).first(tokens_.empty() ? 0 : count),
                           std::span(inputs_).first(sequences * config_.model.inputs),
                           std::span(targets_).first(count)};
    run_.note({"reading the batch", 0, 0});
    source(first, batch);
    return {batch.tokens, batch.inputs, batch.targets, config_.model.context};
}

/// Losses and gradients of a whole batch; the mean loss. Gradients are whole only if it is finite.
base::result<double> trainer::run_batch(std::span<const float> parameters,
                                        const batch_source& source,
                                        const std::function<bool()>& go_on) {
    const auto losses = memory_.floats(plan_.losses);
    const auto scale = static_cast<float>(1.0 / static_cast<double>(losses.size()));
    const auto gradients = memory_.floats(plan_.gradients);
    for (std::uint64_t at = 0; at < config_.batch; at += config_.micro_batch) {
        if (!go_on()) return fail(errc::stopped, "stopped between two micro-batches");
        const auto sequences = std::min(config_.micro_batch, config_.batch - at);
        const auto batch = next_batch(at, sequences, source);
        model_->train(parameters, batch, scale,
                      losses.subspan(at * config_.model.context, batch.targets.size()), gradients,
                      at == 0);
    }
    const double loss = numerics::wide_sum(losses) / static_cast<double>(losses.size());
    if (std::isfinite(loss)) model_->finish(gradients);
    return loss;
}

base::result<step_result> trainer::step(std::uint64_t number, double learning_rate,
                                        const batch_source& source,
                                        const std::function<bool()>& go_on) {
    step_result result;
    TEQUIO_TRY(result.loss, run_batch(parameters(), source, go_on));
    result.not_finite = std::isfinite(result.loss) ? update(number, learning_rate)
                                                   : std::optional<std::string>("loss");
    return result;
}

base::result<step_result> trainer::gradient(std::span<const float> parameters,
                                            const batch_source& source,
                                            const std::function<bool()>& go_on) {
    base::ensure(parameters.size() == layout_.padded_size, "parameters of this layout");
    step_result result;
    TEQUIO_TRY(result.loss, run_batch(parameters, source, go_on));
    if (!std::isfinite(result.loss)) {
        result.not_finite = "loss";
        return result;
    }
    for (const auto& t : layout_.tensors) {
        // In float64 a sum of squares of float32 values is finite if all of them are.
        if (std::isfinite(numerics::square_sum(gradients().subspan(t.offset, t.size), run_))) {
            continue;
        }
        result.not_finite = t.name;
        break;
    }
    return result;
}

std::optional<std::string> trainer::update(std::uint64_t number, double learning_rate) {
    const auto gradients = memory_.floats(plan_.gradients);
    double squares = 0;
    for (const auto& t : layout_.tensors) {
        const auto part = numerics::square_sum(gradients.subspan(t.offset, t.size), run_);
        if (!std::isfinite(part)) return t.name;
        squares = squares + part;
    }
    const auto scalars = step_scalars(config_.inner, squares, number, learning_rate);
    const auto parameters = memory_.floats(plan_.parameters);
    const auto first = memory_.floats(plan_.first);
    const auto second = memory_.floats(plan_.second);
    for (const auto& t : layout_.tensors) {
        const auto values = parameters.subspan(t.offset, t.size);
        if (!numerics::adamw_update(scalars, t.decay, values.data(), gradients.data() + t.offset,
                                    first.data() + t.offset, second.data() + t.offset, t.size,
                                    run_)) {
            return t.name;
        }
    }
    return std::nullopt;
}

base::result<void> trainer::evaluate(std::span<const float> parameters, std::uint64_t sequences,
                                     const batch_source& source, const std::function<bool()>& go_on,
                                     std::span<float> losses) {
    const auto context = config_.model.context;
    base::ensure(losses.size() == sequences * context, "one loss a token");
    for (std::uint64_t at = 0; at < sequences; at += config_.micro_batch) {
        if (!go_on()) return fail(errc::stopped, "stopped between two windows");
        const auto batch = next_batch(at, std::min(config_.micro_batch, sequences - at), source);
        model_->evaluate(parameters, batch, losses.subspan(at * context, batch.targets.size()));
    }
    return {};
}

base::result<base::digest> trainer::root_of(lane_array which) {
    return blob_root(float_bytes(which == lane_array::parameters ? parameters() : gradients()),
                     run_);
}

void trainer::subtract_from(std::span<const float> start) {
    subtract(start, parameters(), gradients(), run_);
}

base::result<base::byte_vector> trainer::encode(const recipe& r, double loss) {
    return encode_contribution(contribution_kind::lane, r, layout_, gradients(), loss,
                               lane_tokens(r));
}

std::string trainer::refused(contribution_codec codec) const {
    const auto at = first_refused(codec, gradients());
    const auto it = std::find_if(layout_.tensors.begin(), layout_.tensors.end(),
                                 [&](const auto& t) { return at < t.offset + t.size; });
    return it == layout_.tensors.end() ? std::string("loss") : it->name;
}

}  // namespace tequio::training
