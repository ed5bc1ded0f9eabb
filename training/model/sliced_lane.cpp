#include "training/model/sliced_lane.hpp"

#include <algorithm>
#include <cmath>
#include <deque>
#include <utility>

#include "base/blob.hpp"
#include "base/ensure.hpp"
#include "base/merkle.hpp"
#include "training/errc.hpp"
#include "training/model/pipeline.hpp"
#include "training/round/codec.hpp"
#include "training/round/units.hpp"

namespace tequio::training {
namespace {

/// Messages that wait at one stage.
struct inbox {
    std::deque<base::byte_vector> activations, gradients;
};

base::byte_vector take_front(std::deque<base::byte_vector>& messages) {
    if (messages.empty()) return {};  // at an end of the pipeline nothing comes
    auto out = std::move(messages.front());
    messages.pop_front();
    return out;
}

}  // namespace

added_squares add_in_order(std::span<const std::vector<double>> parts,
                           std::span<const std::size_t> owners) {
    added_squares out;
    std::vector<std::size_t> next(parts.size());
    for (const auto owner : owners) {
        const auto part = parts[owner][next[owner]++];
        if (!std::isfinite(part)) break;
        out.total = out.total + part;
        ++out.tensors;
    }
    return out;
}

sliced_lane::sliced_lane(const trainer_config& config, const state_layout& layout,
                         std::span<const slice_range> slices)
    : config_(config), layout_(layout), map_(config.model, layout, slices), step_(config) {}

base::result<std::unique_ptr<sliced_lane>> sliced_lane::create(const trainer_config& config,
                                                               const state_layout& layout,
                                                               std::span<const slice_range> slices,
                                                               executor& run) {
    base::ensure(slices.size() > 1, "a lane of one slice is a trainer's");
    std::unique_ptr<sliced_lane> out(new sliced_lane(config, layout, slices));
    for (std::size_t i = 0; i < slices.size(); ++i) {
        TEQUIO_TRY(auto made,
                   stage::create({config, i, slices.size(), slices[i].first, slices[i].end}, run));
        out->stages_.push_back(std::move(made));
    }
    return out;
}

void sliced_lane::page_out() const {
    for (const auto& s : stages_) s->page_out();
}

void sliced_lane::begin(std::span<const float> parameters) {
    base::ensure(parameters.size() == layout_.padded_size, "parameters of this layout");
    for (const auto& s : stages_) s->load(layout_, parameters, true);
}

base::result<void> sliced_lane::read_step(const batch_source& source,
                                          const std::function<bool()>& go_on) {
    for (std::uint64_t at = 0; at < config_.batch; at += config_.micro_batch) {
        if (!go_on()) return fail(errc::stopped, "stopped before a step");
        step_.read(at, std::min(config_.micro_batch, config_.batch - at), at, source);
    }
    return {};
}

base::result<void> sliced_lane::share_rows(std::span<const std::uint32_t> tokens) {
    for (const auto& s : stages_) s->begin_step(tokens);
    if (!stages_.front()->shares_embedding()) return {};
    return stages_.front()->take_rows(stages_.back()->rows());
}

base::result<void> sliced_lane::run_pipeline(const std::function<bool()>& go_on) {
    const auto count = stages_.size();
    const auto micro_batches = (config_.batch + config_.micro_batch - 1) / config_.micro_batch;
    std::vector<std::vector<pipeline_step>> order;
    for (std::size_t s = 0; s < count; ++s) {
        order.push_back(one_forward_one_backward(s, count, micro_batches));
    }
    std::vector<inbox> boxes(count);
    std::vector<std::size_t> done(count);
    for (std::uint64_t left = 2 * micro_batches * count; left > 0;) {
        const auto before = left;
        for (std::size_t s = 0; s < count; ++s) {
            if (done[s] == order[s].size()) continue;
            const auto [forward, m] = order[s][done[s]];
            auto& in = forward ? boxes[s].activations : boxes[s].gradients;
            if (s != (forward ? 0 : count - 1) && in.empty()) continue;
            if (!go_on()) return fail(errc::stopped, "stopped between two micro-batches");
            const auto message = take_front(in);
            const auto batch = step_.micro_batch(m);
            auto& at = *stages_[s];
            if (forward) {
                TEQUIO_TRY(auto sent, at.forward(batch, m, message));
                if (s + 1 < count) boxes[s + 1].activations.push_back(std::move(sent));
            } else {
                TEQUIO_TRY(auto sent, at.backward(batch, m, message));
                if (s > 0) boxes[s - 1].gradients.push_back(std::move(sent));
            }
            ++done[s];
            --left;
        }
        base::ensure(left < before, "some stage can always go on");
    }
    return {};
}

/// Gradients are whole only if the mean loss, which is returned, is finite.
base::result<double> sliced_lane::run_batch(const batch_source& source,
                                            const std::function<bool()>& go_on) {
    TEQUIO_CHECK(read_step(source, go_on));
    TEQUIO_CHECK(share_rows(step_.tokens()));
    TEQUIO_CHECK(run_pipeline(go_on));
    const double loss = stages_.back()->loss();
    if (std::isfinite(loss) && stages_.front()->shares_embedding()) {
        TEQUIO_CHECK(stages_.back()->add_row_gradients(stages_.front()->row_gradients()));
    }
    return loss;
}

std::optional<std::string> sliced_lane::add_squares(double& squares) const {
    std::vector<std::vector<double>> parts;
    for (const auto& s : stages_) parts.push_back(s->square_sums());
    const auto added = add_in_order(parts, map_.owners());
    squares = added.total;
    if (added.tensors == map_.owners().size()) return std::nullopt;
    return layout_.tensors[added.tensors].name;
}

base::result<step_result> sliced_lane::step(std::uint64_t number, double learning_rate,
                                            const batch_source& source,
                                            const std::function<bool()>& go_on) {
    step_result result;
    TEQUIO_TRY(result.loss, run_batch(source, go_on));
    if (!std::isfinite(result.loss)) {
        result.not_finite = "loss";
        return result;
    }
    double squares = 0;
    result.not_finite = add_squares(squares);
    if (result.not_finite) return result;
    for (const auto& s : stages_) {
        auto bad = s->update(squares, number, learning_rate);
        if (bad && (!result.not_finite || *bad < *result.not_finite)) {
            result.not_finite = std::move(bad);
        }
    }
    return result;
}

base::result<step_result> sliced_lane::gradient(std::span<const float> parameters,
                                                const batch_source& source,
                                                const std::function<bool()>& go_on) {
    base::ensure(parameters.size() == layout_.padded_size, "parameters of this layout");
    for (const auto& s : stages_) s->load(layout_, parameters, false);
    step_result result;
    TEQUIO_TRY(result.loss, run_batch(source, go_on));
    double squares = 0;
    result.not_finite =
        std::isfinite(result.loss) ? add_squares(squares) : std::optional<std::string>("loss");
    return result;
}

base::result<void> sliced_lane::evaluate(std::span<const float> parameters, std::uint64_t sequences,
                                         const batch_source& source,
                                         const std::function<bool()>& go_on,
                                         std::span<float> losses) {
    const auto context = config_.model.context;
    base::ensure(losses.size() == sequences * context, "one loss a token");
    for (const auto& s : stages_) s->load(layout_, parameters, false);
    for (std::uint64_t at = 0; at < sequences; at += config_.micro_batch) {
        if (!go_on()) return fail(errc::stopped, "stopped between two windows");
        const auto count = std::min(config_.micro_batch, sequences - at);
        const auto batch = step_.read(at, count, 0, source);
        TEQUIO_CHECK(share_rows(batch.tokens));
        base::byte_vector message;
        for (const auto& s : stages_) {
            TEQUIO_TRY(message, s->forward(batch, 0, message));
        }
        stages_.back()->evaluate(batch, losses.subspan(at * context, count * context));
    }
    return {};
}

base::result<base::digest> sliced_lane::root_of(lane_array which) {
    // A piece may lie in several slices, so each is put together from what they have.
    const auto bytes = layout_.padded_size * sizeof(float);
    constexpr std::uint64_t piece_floats = base::piece_size_bytes / sizeof(float);
    std::vector<float> piece(std::min(piece_floats, layout_.padded_size));
    std::vector<base::digest> leaves;
    for (std::uint64_t i = 0; i < base::blob_ref{{}, bytes}.pieces(); ++i) {
        const auto first = i * piece_floats;
        const contribution_run run{first, std::min(piece_floats, layout_.padded_size - first)};
        const auto values = std::span(piece).first(run.count);
        std::fill(values.begin(), values.end(), 0.0F);
        for (const auto& s : stages_) s->copy_out(which, layout_, run, values);
        leaves.push_back(base::merkle_leaf(float_bytes(values)));
    }
    return base::merkle_root(leaves);
}

void sliced_lane::subtract_from(std::span<const float> start) {
    for (const auto& s : stages_) s->subtract_from(layout_, start);
}

base::result<base::byte_vector> sliced_lane::encode(const recipe& r, double loss) {
    if (!std::isfinite(loss)) return fail(errc::not_finite, "contribution: the loss is not finite");
    const auto shape = shape_of(contribution_kind::lane, r, layout_);
    auto out = empty_contribution(contribution_kind::lane, shape);
    contribution_header facts{loss, lane_tokens(r)};
    for (std::size_t s = 0; s < stages_.size(); ++s) {
        TEQUIO_TRY(const auto part, stages_[s]->encode(shape.codec, r.train.window));
        map_.place(s, shape, {0, map_.layout(s).padded_size}, {part.scales, part.codes}, out);
        facts.saturated += part.counts.saturated;
        facts.flushed += part.counts.flushed;
    }
    write_facts(facts, out);
    return out;
}

std::string sliced_lane::refused(contribution_codec codec) const {
    std::optional<std::string> first;
    for (const auto& s : stages_) {
        auto name = s->refused(codec);
        if (name && (!first || *name < *first)) first = std::move(name);
    }
    return first.value_or("loss");
}

}  // namespace tequio::training
