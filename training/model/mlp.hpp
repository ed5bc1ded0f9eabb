#pragma once

/// A multi-layer perceptron that classifies examples: `layers` hidden layers of `width` with ReLU,
/// then a linear layer to `vocabulary` classes and softmax cross-entropy. No dropout, no norms.
///
///   h_0 = x;  h_l = relu(h_(l-1) W_l^T + b_l), l = 1..layers;  logits = h_layers W^T + b.
///
/// Tensors: hidden.I.weight (width, in) and hidden.I.bias, I from 0; output.weight (classes, width)
/// and output.bias. Weights are (out, in), so torch.nn.Linear takes each as it is: a module with
/// `hidden = ModuleList(Linear...)` and `output = Linear` loads the state one to one.
///
/// A context is 1: the K axis of a weight's gradient is the examples of the step, and micro-batches
/// of a multiple of 256 examples join exactly.
///
/// Notation of shapes: n examples; in = `inputs` for the first layer, else `width`.
/// Source: Rumelhart, Hinton and Williams 1986; ReLU as in numerics/relu.hpp.

#include <cstdint>
#include <span>
#include <vector>

#include "training/model/family.hpp"

namespace tequio::training {

/// Where one linear layer's tensors start in a flat array of the layout, in floats.
struct mlp_layer_tensors {
    std::uint64_t weight, bias;
};

/// Buffers of a model working on at most `examples` examples at a time. When not training, two
/// activations take turns and there are no gradients.
struct mlp_plan final : network_plan {
    mlp_plan(const model_config& config, std::uint64_t at_most_examples, bool for_training,
             unsigned threads, arena_plan& plan);
    std::unique_ptr<network> build(const state_layout& layout, const arena& memory,
                                   executor& run) const override;

    model_config model;
    std::uint64_t examples;
    bool training;
    std::vector<arena_slice> hidden;        ///< (examples, width) each, after ReLU
    arena_slice logits;                     ///< (examples, classes)
    arena_slice d_hidden, d_hidden_before;  ///< (examples, width), of a layer and the one below
    arena_slice workspace;                  ///< of gemm
};

/// Runs the plan.
class mlp final : public network {
public:
    mlp(const state_layout& layout, mlp_plan plan, const arena& memory, executor& run);

    void train(std::span<const float> parameters, const batch_view& batch, float scale,
               std::span<float> losses, std::span<float> gradients, bool first) override;
    void finish(std::span<float>) override {}  // no tensor is used twice
    void evaluate(std::span<const float> parameters, const batch_view& batch,
                  std::span<float> losses) override;
    void next_logits(std::span<const float> parameters, const batch_view& batch,
                     std::span<float> out) override;

private:
    float* at(arena_slice slice) const { return memory_.floats(slice).data(); }
    /// What a layer reads: (examples, in).
    const float* layer_input(const batch_view& batch, std::size_t layer) const;
    std::size_t layer_width(std::size_t layer) const;  ///< in
    /// The number of examples; ensures that they fit the plan.
    std::size_t examples_of(const batch_view& batch) const;
    /// Runs the hidden layers and writes the logits to `out` (examples, classes).
    void forward(const float* parameters, const batch_view& batch, float* out);
    /// y (rows, out) = x (rows, in) W^T (+ bias). W: (out, in).
    void product(const float* x, const float* weight, const float* bias, float* y, std::size_t rows,
                 std::size_t in, std::size_t out);
    /// Gradients of such a product by dy (rows, out): dW and db are added to, or begun.
    void add_gradients(const float* x, const float* dy, const mlp_layer_tensors& to, float* flat,
                       std::size_t rows, std::size_t in, std::size_t out, bool first);
    /// dx (rows, in) = dy (rows, out) W.
    void product_backward(const float* dy, const float* weight, float* dx, std::size_t rows,
                          std::size_t in, std::size_t out);

    mlp_plan plan_;
    std::vector<mlp_layer_tensors> tensors_;  ///< hidden layers
    mlp_layer_tensors output_;
    const arena& memory_;
    std::span<std::byte> workspace_;
    executor& run_;
};

}  // namespace tequio::training
