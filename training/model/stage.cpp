#include "training/model/stage.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/ensure.hpp"
#include "training/errc.hpp"
#include "training/model/family.hpp"
#include "training/model/pipeline.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/reduce.hpp"
#include "training/round/codec.hpp"

namespace tequio::training {
namespace {

std::uint64_t micro_batches_of(const trainer_config& lane) {
    return (lane.batch + lane.micro_batch - 1) / lane.micro_batch;
}

std::uint64_t tokens_at_a_time(const trainer_config& lane) {
    return saturating_product({lane.micro_batch, lane.model.context});
}

base::error wrong_size(const char* what, std::size_t found, std::uint64_t wanted) {
    return fail(errc::bad_message, std::string(what) + ": found " + std::to_string(found) +
                                       " values, the step has " + std::to_string(wanted));
}

}  // namespace

network_part stage_config::part() const {
    network_part out{first, end, lane.slices};
    out.in_flight = lane.recompute ? 1 : in_flight();
    return out;
}

std::uint64_t stage_config::in_flight() const {
    return pipeline_in_flight(index, count, micro_batches_of(lane));
}

stage_plan::stage_plan(const stage_config& config, const state_layout& layout, unsigned threads) {
    const auto& lane = config.lane;
    const auto part = config.part();
    const auto moments = lane.updates ? layout.padded_size : 0;
    const bool head = part.has_head(lane.model);
    gradients = total.floats(layout.padded_size);
    parameters = total.floats(layout.padded_size);
    first = total.floats(moments);
    second = total.floats(moments);
    losses = total.floats(head ? saturating_product({lane.batch, lane.model.context}) : 0);
    border = total.floats(saturating_product({tokens_at_a_time(lane), lane.model.width}));
    if (config.recomputes() && !part.has_embedding()) {
        const auto bytes =
            numerics::cut_message_bytes(part.format(), tokens_at_a_time(lane), lane.model.width);
        for (std::uint64_t i = 0; i < config.in_flight(); ++i) came.push_back(total.bytes(bytes));
    }
    model = family_of(lane.model)
                .plan(lane.model, part, {lane.micro_batch, lane.batch}, true, threads, total);
}

stage::stage(const stage_config& config, state_layout layout, stage_plan plan, arena memory,
             executor& run)
    : config_(config),
      layout_(std::move(layout)),
      plan_(std::move(plan)),
      memory_(std::move(memory)),
      run_(run),
      model_(plan_.model->build_stage(layout_, memory_, run)) {}

base::result<std::unique_ptr<stage>> stage::create(const stage_config& config, executor& run) {
    auto layout = layout_of_part(config.lane.model, config.part());
    stage_plan plan(config, layout, run.threads());
    TEQUIO_TRY(auto memory, arena::create(plan.total));
    return std::unique_ptr<stage>(
        new stage(config, std::move(layout), std::move(plan), std::move(memory), run));
}

std::uint64_t stage::memory_bytes_for(const stage_config& config, contribution_codec codec,
                                      unsigned threads) {
    const auto& lane = config.lane;
    const auto layout = layout_of_part(lane.model, config.part());
    const stage_plan plan(config, layout, threads);
    const auto blocks = layout.padded_size / block_elements;
    const auto message = numerics::cut_message_bytes(config.part().format(), tokens_at_a_time(lane),
                                                     lane.model.width);
    // Tokens and targets of a step; and of a tied embedding at an end, a message of rows.
    const auto step_tokens = saturating_product({lane.batch, lane.model.context});
    std::uint64_t rows = 0;
    if (lane.model.tied && config.count > 1 &&
        (config.index == 0 || config.index + 1 == config.count)) {
        rows = saturating_product(
            {std::min(step_tokens, lane.model.vocabulary), lane.model.width, sizeof(float)});
    }
    const unsigned __int128 bytes = static_cast<unsigned __int128>(plan.total.total_bytes()) +
                                    blocks * sizes_of(codec).block_bytes() + 2 * message + rows +
                                    step_tokens * 2 * sizeof(std::uint32_t);
    return bytes > UINT64_MAX ? UINT64_MAX : static_cast<std::uint64_t>(bytes);
}

std::span<float> stage::array(lane_array which) const {
    return memory_.floats(which == lane_array::parameters ? plan_.parameters : plan_.gradients);
}

void stage::load(const state_layout& whole, std::span<const float> parameters, bool flushed) {
    const auto own = array(lane_array::parameters);
    for (const auto& t : layout_.tensors) {
        const auto* from = parameters.data() + whole.tensor(t.name).offset;
        auto* to = own.data() + t.offset;
        if (flushed) {
            numerics::flush_copy(from, to, t.size, run_);
        } else {
            std::copy(from, from + t.size, to);
        }
    }
    for (const auto& slice : {plan_.first, plan_.second}) {
        const auto moments = memory_.floats(slice);
        if (flushed) std::fill(moments.begin(), moments.end(), 0.0F);
    }
}

void stage::copy_out(lane_array which, const state_layout& whole, contribution_run run,
                     std::span<float> out) const {
    const auto own = array(which);
    for (const auto& t : layout_.tensors) {
        const auto start = whole.tensor(t.name).offset;
        const auto from = std::max(start, run.first);
        const auto end = std::min(start + t.size, run.end());
        if (from >= end) continue;
        const auto part = own.subspan(t.offset + (from - start), end - from);
        std::copy(part.begin(), part.end(),
                  out.begin() + static_cast<std::ptrdiff_t>(from - run.first));
    }
}

std::uint64_t stage::border_bytes(const batch_view& batch) const {
    return numerics::cut_message_bytes(config_.part().format(), batch.tokens.size(),
                                       config_.lane.model.width);
}

void stage::begin_step(std::span<const std::uint32_t> tokens) {
    if (auto* share = model_->share()) share->begin(tokens);
}

std::vector<float> stage::rows() {
    std::vector<float> out(model_->share()->message_floats());
    model_->share()->read_rows(array(lane_array::parameters).data() + model_->table(), out);
    return out;
}

base::result<void> stage::take_rows(std::span<const float> rows) {
    const auto own = model_->share()->rows();
    if (rows.size() != own.size()) return wrong_size("rows", rows.size(), own.size());
    std::copy(rows.begin(), rows.end(), own.begin());
    return {};
}

base::result<std::span<const float>> stage::read(base::byte_view in, std::size_t tokens,
                                                 const char* what, std::uint64_t micro_batch) {
    const auto width = config_.lane.model.width;
    const auto values = memory_.floats(plan_.border).first(tokens * width);
    if (numerics::cut_unpack(config_.part().format(), in, width, values)) {
        return std::span<const float>(values);
    }
    return fail(errc::bad_message,
                std::string(what) + " of micro-batch " + std::to_string(micro_batch) +
                    " at slice " + std::to_string(config_.index) + ": not " +
                    std::to_string(tokens) + " rows of " + std::to_string(width) +
                    " values in the form of " + config_.lane.slices.activations);
}

base::byte_vector stage::write(std::span<const float> values) const {
    const auto width = config_.lane.model.width;
    const auto format = config_.part().format();
    base::byte_vector out(numerics::cut_message_bytes(format, values.size() / width, width));
    numerics::cut_pack(format, values, width, out);
    return out;
}

base::result<base::byte_vector> stage::forward(const batch_view& batch, std::uint64_t micro_batch,
                                               base::byte_view in) {
    TEQUIO_CHECK(go_forward(batch, micro_batch, in));
    if (!plan_.came.empty()) {
        std::memcpy(memory_.bytes(plan_.came[micro_batch % plan_.came.size()]).data(), in.data(),
                    in.size());
    }
    const auto sent = model_->activations(batch, micro_batch % config_.part().in_flight);
    return sent.empty() ? base::byte_vector() : write(sent);
}

base::result<void> stage::go_forward(const batch_view& batch, std::uint64_t micro_batch,
                                     base::byte_view in) {
    std::span<const float> values;
    if (config_.first > 0) {
        TEQUIO_TRY(values, read(in, batch.tokens.size(), "activations", micro_batch));
    }
    model_->forward(array(lane_array::parameters), batch, micro_batch % config_.part().in_flight,
                    values);
    latest_ = micro_batch;
    return {};
}

base::result<void> stage::go_forward_again(const batch_view& batch, std::uint64_t micro_batch) {
    base::byte_view in;
    if (!plan_.came.empty()) {
        const auto kept = memory_.bytes(plan_.came[micro_batch % plan_.came.size()]);
        in = {reinterpret_cast<const std::uint8_t*>(kept.data()), border_bytes(batch)};
    }
    return go_forward(batch, micro_batch, in);
}

base::result<base::byte_vector> stage::backward(const batch_view& batch, std::uint64_t micro_batch,
                                                base::byte_view in) {
    if (config_.recomputes() && latest_ != micro_batch) {
        TEQUIO_CHECK(go_forward_again(batch, micro_batch));
    }
    std::span<const float> values;
    std::span<float> losses;
    const auto all = memory_.floats(plan_.losses);
    const auto& lane = config_.lane;
    if (config_.index + 1 < config_.count) {
        TEQUIO_TRY(values, read(in, batch.tokens.size(), "gradients", micro_batch));
    } else {
        losses = all.subspan(micro_batch * tokens_at_a_time(lane), batch.targets.size());
    }
    const auto step_tokens = static_cast<double>(lane.batch * lane.model.context);
    model_->backward(array(lane_array::parameters), batch, micro_batch % config_.part().in_flight,
                     values, static_cast<float>(1.0 / step_tokens), losses,
                     array(lane_array::gradients), micro_batch == 0);
    const auto sent = model_->gradients_back(batch);
    return sent.empty() ? base::byte_vector() : write(sent);
}

void stage::evaluate(const batch_view& batch, std::span<float> losses) {
    model_->losses(array(lane_array::parameters), batch, 0, losses);
}

double stage::loss() const {
    const auto losses = memory_.floats(plan_.losses);
    return numerics::wide_sum(losses) / static_cast<double>(losses.size());
}

std::vector<float> stage::row_gradients() {
    const auto own = model_->share()->gradients();
    return {own.begin(), own.end()};
}

base::result<void> stage::add_row_gradients(std::span<const float> gradients) {
    const auto wanted = model_->share()->message_floats();
    if (gradients.size() != wanted) return wrong_size("row gradients", gradients.size(), wanted);
    model_->share()->add_rows(gradients, array(lane_array::gradients).data() + model_->table(),
                              run_);
    return {};
}

std::vector<double> stage::square_sums() const {
    std::vector<double> out;
    const auto gradients = array(lane_array::gradients);
    for (const auto& t : layout_.tensors) {
        out.push_back(numerics::square_sum(gradients.subspan(t.offset, t.size), run_));
    }
    return out;
}

std::optional<std::string> stage::update(double squares, std::uint64_t number,
                                         double learning_rate) {
    const auto scalars = step_scalars(config_.lane.inner, squares, number, learning_rate);
    const auto parameters = array(lane_array::parameters);
    const auto gradients = array(lane_array::gradients);
    const auto first = memory_.floats(plan_.first);
    const auto second = memory_.floats(plan_.second);
    for (const auto& t : layout_.tensors) {
        if (!numerics::adamw_update(scalars, t.decay, parameters.data() + t.offset,
                                    gradients.data() + t.offset, first.data() + t.offset,
                                    second.data() + t.offset, t.size, run_)) {
            return t.name;
        }
    }
    return std::nullopt;
}

void stage::subtract_from(const state_layout& whole, std::span<const float> start) {
    const auto parameters = array(lane_array::parameters);
    const auto gradients = array(lane_array::gradients);
    for (const auto& t : layout_.tensors) {
        subtract(start.subspan(whole.tensor(t.name).offset, t.size),
                 parameters.subspan(t.offset, t.size), gradients.subspan(t.offset, t.size), run_);
    }
}

base::result<coded_part> stage::encode(contribution_codec codec, int window) const {
    const auto& sizes = sizes_of(codec);
    const auto blocks = layout_.padded_size / block_elements;
    coded_part out;
    out.scales.resize(blocks * sizes.scale_bytes);
    out.codes.resize(blocks * sizes.code_bytes);
    numerics::codec_counts counts;
    if (!encode_blocks(codec, window, array(lane_array::gradients), out.scales, out.codes,
                       counts)) {
        return fail(errc::not_finite, "contribution: a value that the codec refuses");
    }
    out.counts = {counts.saturated, counts.flushed};
    return out;
}

std::optional<std::string> stage::refused(contribution_codec codec) const {
    const auto gradients = array(lane_array::gradients);
    for (const auto& t : layout_.tensors) {
        if (first_refused(codec, gradients.subspan(t.offset, t.size)) < t.size) return t.name;
    }
    return std::nullopt;
}

}  // namespace tequio::training
