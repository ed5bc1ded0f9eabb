#include "training/model/decoder.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/embedding.hpp"

namespace tequio::training {

decoder_buffers::decoder_buffers(const model_config& config, const network_part& of,
                                 const batch_sizes& sizes, bool for_training, arena_plan& plan)
    : model(config), part(of), sequences(sizes.at_a_time), training(for_training) {
    const bool head = part.has_head(model);
    head_rows = head ? head_rows_of(tokens(), model.vocabulary) : 0;
    for (std::uint64_t slot = 0; slot < part.in_flight; ++slot) {
        decoder_residual r;
        r.embedded = plan.floats(wide());
        r.after = per_layer<arena_slice>([&] { return plan.floats(wide()); });
        residual.push_back(std::move(r));
    }
    logits = plan.floats(saturating_product({head_rows, model.vocabulary}));
    product = plan.floats(wide());
    if (!training) return;
    d_residual = plan.floats(wide());
    if (!model.tied) return;
    const auto step_tokens = saturating_product({sizes.step, model.context});
    if (!part.divided(model)) {
        use = embedding_use_plan(model.vocabulary, model.width, step_tokens, tokens(), plan);
    } else if (part.has_embedding() || head) {
        share = embedding_share_plan(model.vocabulary, model.width, step_tokens, tokens(),
                                     part.has_embedding(), plan);
    }
}

std::uint64_t decoder_buffers::tokens() const {
    return saturating_product({sequences, model.context});
}

std::uint64_t decoder_buffers::wide() const {
    return saturating_product({tokens(), model.width});
}

decoder::decoder(const decoder_buffers& buffers, const decoder_tensors& ends, const arena& memory,
                 executor& run)
    : buffers_(buffers),
      ends_(ends),
      memory_(memory),
      workspace_(memory.bytes(buffers.workspace)),
      run_(run) {
    const auto& part = buffers_.part;
    if (!buffers_.training || !buffers_.model.tied) return;
    if (!part.divided(buffers_.model)) {
        use_.emplace(buffers_.use, memory);
    } else if (part.has_embedding() || part.has_head(buffers_.model)) {
        share_.emplace(buffers_.share, memory);
    }
}

float* decoder::layer_input(std::size_t layer) const {
    return layer == 0 ? at(residual().embedded) : layer_output(layer - 1);
}

void decoder::round(float* values, batch_shape n) {
    numerics::cut_round(buffers_.part.format(), values, n.tokens, buffers_.model.width, run_);
}

batch_shape decoder::shape(const batch_view& batch) const {
    return shape_of(batch, buffers_.sequences, buffers_.model.context);
}

head_operands decoder::head(const float* p) const {
    return {head_input(),       p + ends_.head,       at(buffers_.logits),
            buffers_.head_rows, buffers_.model.width, buffers_.model.vocabulary};
}

void decoder::embed(const float* p, std::span<const std::uint32_t> tokens, batch_shape n) {
    const bool shared = share_.has_value();
    numerics::embed(shared ? share_->rows_of(tokens) : tokens, n.time,
                    shared ? share_->rows().data() : p + ends_.table,
                    ends_.positions ? p + *ends_.positions : nullptr, at(residual().embedded),
                    buffers_.model.width, run_);
}

void decoder::forward_layers(const float* p, batch_shape n) {
    begin_layers(p, n);
    for (std::size_t layer = 0; layer < residual().after.size(); ++layer) {
        forward_layer(p, layer, n);
    }
}

void decoder::forward_all(const float* p, const batch_view& batch, batch_shape n) {
    embed(p, batch.tokens, n);
    forward_layers(p, n);
}

void decoder::backward_head(const float* p, const batch_view& batch, float scale,
                            std::span<float> losses, const gradient_sums& gradients) {
    const head_gradients to{at(buffers_.product), gradients.flat + ends_.head, gradients.first};
    head_losses(head(p), batch.targets, scale, losses, &to, workspace_, run_);
    backward_last_norm(p, shape(batch), gradients);
}

void decoder::backward_layers(const float* p, batch_shape n, const gradient_sums& gradients) {
    for (std::size_t layer = residual().after.size(); layer-- > 0;) {
        backward_layer(p, layer, n, gradients);
    }
}

void decoder::backward_embedding(std::span<const std::uint32_t> tokens, batch_shape n,
                                 const gradient_sums& gradients) {
    const auto d = buffers_.model.width;
    const float* dx = at(buffers_.d_residual);
    if (use_) {
        if (gradients.first) use_->clear();
        use_->add(tokens, dx, run_);
    } else if (share_) {
        share_->add(tokens, dx, run_);
    } else {
        float* table = gradients.flat + ends_.table;
        if (gradients.first) std::fill_n(table, buffers_.model.vocabulary * d, 0.0F);
        numerics::embed_backward(tokens, dx, table, d, run_);
    }
    if (!ends_.positions) return;
    float* positions = gradients.flat + *ends_.positions;
    if (gradients.first) std::fill_n(positions, buffers_.model.context * d, 0.0F);
    numerics::position_backward(dx, n.tokens, n.time, positions, d, run_);
}

void decoder::train(std::span<const float> parameters, const batch_view& batch, float scale,
                    std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(buffers_.training, "the plan has room for gradients");
    const auto n = shape(batch);
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    forward_all(p, batch, n);
    backward_head(p, batch, scale, losses, gradients);
    backward_layers(p, n, gradients);
    backward_embedding(batch.tokens, n, gradients);
}

void decoder::finish(std::span<float> gradients) {
    // The two uses of a tied embedding, added once, in forward order.
    if (use_) use_->add_to(gradients.data() + ends_.table, run_);
}

void decoder::evaluate(std::span<const float> parameters, const batch_view& batch,
                       std::span<float> losses) {
    forward_all(parameters.data(), batch, shape(batch));
    head_losses(head(parameters.data()), batch.targets, 1.0F, losses, nullptr, workspace_, run_);
}

void decoder::next_logits(std::span<const float> parameters, const batch_view& batch,
                          std::span<float> out) {
    const auto n = shape(batch);
    forward_all(parameters.data(), batch, n);
    head_logits(head(parameters.data()), n.tokens - 1, out, workspace_, run_);
}

void decoder::forward(std::span<const float> parameters, const batch_view& batch,
                      std::uint64_t slot, std::span<const float> in) {
    slot_ = slot;
    const auto n = shape(batch);
    const float* p = parameters.data();
    if (buffers_.part.has_embedding()) return forward_all(p, batch, n);
    base::ensure(in.size() == n.tokens * buffers_.model.width, "activations of one micro-batch");
    std::copy(in.begin(), in.end(), at(residual().embedded));
    forward_layers(p, n);
}

std::span<const float> decoder::activations(const batch_view& batch, std::uint64_t slot) {
    if (buffers_.part.has_head(buffers_.model)) return {};
    return memory_.floats(buffers_.residual[slot].after.back())
        .first(shape(batch).tokens * buffers_.model.width);
}

void decoder::losses(std::span<const float> parameters, const batch_view& batch, std::uint64_t slot,
                     std::span<float> losses) {
    slot_ = slot;
    head_losses(head(parameters.data()), batch.targets, 1.0F, losses, nullptr, workspace_, run_);
}

void decoder::backward(std::span<const float> parameters, const batch_view& batch,
                       std::uint64_t slot, std::span<const float> d_out, float scale,
                       std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(buffers_.training, "the plan has room for gradients");
    slot_ = slot;
    const auto n = shape(batch);
    const float* p = parameters.data();
    const gradient_sums gradients{flat.data(), first};
    if (buffers_.part.has_head(buffers_.model)) {
        backward_head(p, batch, scale, losses, gradients);
    } else {
        base::ensure(d_out.size() == n.tokens * buffers_.model.width,
                     "gradients of one micro-batch");
        std::copy(d_out.begin(), d_out.end(), at(buffers_.d_residual));
        begin_backward(n, gradients);
    }
    backward_layers(p, n, gradients);
    if (buffers_.part.has_embedding()) backward_embedding(batch.tokens, n, gradients);
}

std::span<const float> decoder::gradients_back(const batch_view& batch) {
    if (buffers_.part.has_embedding()) return {};
    return memory_.floats(buffers_.d_residual).first(shape(batch).tokens * buffers_.model.width);
}

}  // namespace tequio::training
