#include "training/model/mlp.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "base/ensure.hpp"
#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/relu.hpp"

namespace tequio::training {

using numerics::gemm_form;

namespace {

std::uint64_t width_before(const model_config& m, std::uint64_t layer) {
    return layer == 0 ? m.inputs : m.width;
}

unsigned __int128 parameters_of(const model_config& m) {
    const unsigned __int128 d = m.width;
    return (m.inputs + 1) * d + (m.layers - 1) * (d + 1) * d + (d + 1) * m.vocabulary;
}

/// Weights keep the variance of what passes through them: normal(0, sqrt(2 / in)) before a ReLU
/// (He et al. 2015, equation 10, in the first layer too, as they do), normal(0, sqrt(1 / in))
/// before the softmax (LeCun et al. 1998, section 4.6). Biases start at 0.
void tensors_of(const model_config& m, tensor_list& out) {
    const auto linear = [&](const std::string& name, std::uint64_t in, std::uint64_t width,
                            double gain) {
        out.drawn(name + ".weight", {width, in}, std::sqrt(gain / static_cast<double>(in)));
        out.constant(name + ".bias", width, 0.0F);
    };
    for (std::uint64_t i = 0; i < m.layers; ++i) {
        linear("hidden." + std::to_string(i), width_before(m, i), m.width, 2.0);
    }
    linear("output", m.width, m.vocabulary, 1.0);
}

std::unique_ptr<network_plan> plan_of(const model_config& model, const network_part&,
                                      const batch_sizes& sizes, bool training, unsigned threads,
                                      arena_plan& plan) {
    return std::make_unique<mlp_plan>(model, sizes.at_a_time, training, threads, plan);
}

std::uint64_t workspace_bytes(const model_config& m, std::uint64_t n, unsigned threads) {
    std::uint64_t bytes = 0;
    const auto add = [&](std::uint64_t in, std::uint64_t out) {
        // Forward, the weight's gradient, the input's.
        for (const numerics::gemm_shape shape :
             {numerics::gemm_shape{n, out, in}, numerics::gemm_shape{out, in, n},
              numerics::gemm_shape{n, in, out}}) {
            bytes = std::max<std::uint64_t>(bytes, numerics::gemm_workspace_bytes(shape, threads));
        }
    };
    add(m.inputs, m.width);
    add(m.width, m.width);
    add(m.width, m.vocabulary);
    return bytes;
}

mlp_layer_tensors layer_of(const state_layout& layout, const std::string& name) {
    return {layout.tensor(name + ".weight").offset, layout.tensor(name + ".bias").offset};
}

}  // namespace

const model_family mlp_family{"mlp", parameters_of, tensors_of, plan_of, nullptr};

mlp_plan::mlp_plan(const model_config& config, std::uint64_t at_most_examples, bool for_training,
                   unsigned threads, arena_plan& plan)
    : model(config), examples(at_most_examples), training(for_training) {
    const auto wide = saturating_product({examples, model.width});
    for (std::uint64_t i = 0; i < model.layers; ++i) {
        hidden.push_back(training || i < 2 ? plan.floats(wide) : hidden[i - 2]);
    }
    logits = plan.floats(saturating_product({examples, model.vocabulary}));
    if (training) {
        d_hidden = plan.floats(wide);
        if (model.layers > 1) d_hidden_before = plan.floats(wide);
    }
    workspace = plan.bytes(workspace_bytes(model, examples, threads));
}

std::unique_ptr<network> mlp_plan::build(const state_layout& layout, const arena& memory,
                                         executor& run) const {
    return std::make_unique<mlp>(layout, *this, memory, run);
}

mlp::mlp(const state_layout& layout, mlp_plan plan, const arena& memory, executor& run)
    : plan_(std::move(plan)),
      output_(layer_of(layout, "output")),
      memory_(memory),
      workspace_(memory.bytes(plan_.workspace)),
      run_(run) {
    for (std::uint64_t i = 0; i < plan_.model.layers; ++i) {
        tensors_.push_back(layer_of(layout, "hidden." + std::to_string(i)));
    }
}

const float* mlp::layer_input(const batch_view& batch, std::size_t layer) const {
    return layer == 0 ? batch.inputs.data() : at(plan_.hidden[layer - 1]);
}

std::size_t mlp::layer_width(std::size_t layer) const {
    return width_before(plan_.model, layer);
}

std::size_t mlp::examples_of(const batch_view& batch) const {
    const auto n = batch.inputs.size() / plan_.model.inputs;
    base::ensure(
        batch.time == 1 && n <= plan_.examples && batch.inputs.size() == n * plan_.model.inputs,
        "a batch of examples fits the plan");
    return n;
}

void mlp::product(const float* x, const float* weight, const float* bias, float* y,
                  std::size_t rows, std::size_t in, std::size_t out) {
    const numerics::gemm_options options{
        .form = gemm_form::nt, .accumulate = false, .flush = false, .bias = bias};
    numerics::gemm(options, {rows, out, in}, {x, in}, {weight, in}, {y, out}, workspace_, run_);
}

void mlp::add_gradients(const float* x, const float* dy, const mlp_layer_tensors& to, float* flat,
                        std::size_t rows, std::size_t in, std::size_t out, bool first) {
    numerics::column_sums({dy, out}, rows, out, !first, flat + to.bias, run_);
    const numerics::gemm_options options{
        .form = gemm_form::tn, .accumulate = !first, .flush = false, .bias = nullptr};
    numerics::gemm(options, {out, in, rows}, {dy, out}, {x, in}, {flat + to.weight, in}, workspace_,
                   run_);
}

void mlp::product_backward(const float* dy, const float* weight, float* dx, std::size_t rows,
                           std::size_t in, std::size_t out) {
    // relu_backward passes over dx next, and flushes.
    numerics::gemm({.form = gemm_form::nn}, {rows, in, out}, {dy, out}, {weight, in}, {dx, in},
                   workspace_, run_);
}

void mlp::forward(const float* p, const batch_view& batch, float* out) {
    const auto n = examples_of(batch);
    const auto d = plan_.model.width;
    for (std::size_t layer = 0; layer < tensors_.size(); ++layer) {
        float* h = at(plan_.hidden[layer]);
        product(layer_input(batch, layer), p + tensors_[layer].weight, nullptr, h, n,
                layer_width(layer), d);
        numerics::bias_relu_forward(h, p + tensors_[layer].bias, h, n, d, run_);
    }
    product(layer_input(batch, tensors_.size()), p + output_.weight, p + output_.bias, out, n, d,
            plan_.model.vocabulary);
}

void mlp::train(std::span<const float> parameters, const batch_view& batch, float scale,
                std::span<float> losses, std::span<float> flat, bool first) {
    base::ensure(plan_.training, "the plan has room for gradients");
    const auto n = examples_of(batch);
    const auto d = plan_.model.width;
    const auto classes = plan_.model.vocabulary;
    const float* p = parameters.data();
    float* logits = at(plan_.logits);
    forward(p, batch, logits);
    numerics::cross_entropy(logits, classes, batch.targets, classes, scale, losses.data(), true,
                            run_);
    add_gradients(layer_input(batch, tensors_.size()), logits, output_, flat.data(), n, d, classes,
                  first);
    float* dh = at(plan_.d_hidden);
    float* below = tensors_.size() > 1 ? at(plan_.d_hidden_before) : nullptr;
    product_backward(logits, p + output_.weight, dh, n, d, classes);
    for (std::size_t layer = tensors_.size(); layer-- > 0;) {
        numerics::relu_backward(at(plan_.hidden[layer]), dh, dh, n * d, run_);
        add_gradients(layer_input(batch, layer), dh, tensors_[layer], flat.data(), n,
                      layer_width(layer), d, first);
        if (layer == 0) break;
        product_backward(dh, p + tensors_[layer].weight, below, n, d, d);
        std::swap(dh, below);
    }
}

void mlp::evaluate(std::span<const float> parameters, const batch_view& batch,
                   std::span<float> losses) {
    const auto classes = plan_.model.vocabulary;
    float* logits = at(plan_.logits);
    forward(parameters.data(), batch, logits);
    numerics::cross_entropy(logits, classes, batch.targets, classes, 1.0F, losses.data(), false,
                            run_);
}

void mlp::next_logits(std::span<const float> parameters, const batch_view& batch,
                      std::span<float> out) {
    base::ensure(examples_of(batch) == 1 && out.size() == plan_.model.vocabulary,
                 "one example, one logit a class");
    forward(parameters.data(), batch, out.data());
}

}  // namespace tequio::training
