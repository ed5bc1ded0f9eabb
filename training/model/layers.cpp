#include "training/model/layers.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/gemm.hpp"

namespace tequio::training {

using numerics::gemm_form;

namespace {

/// Logits that exist at a time: enough rows to keep the products thick, few enough to stay in
/// cache (measured: 8 MiB).
constexpr std::uint64_t logits_floats_aim = std::uint64_t{1} << 21;

}  // namespace

batch_shape shape_of(const batch_view& batch, std::uint64_t sequences, std::uint64_t context) {
    const auto tokens = batch.tokens.size();
    base::ensure(batch.time > 0 && batch.time <= context && tokens % batch.time == 0 &&
                     tokens <= sequences * context,
                 "a batch fits the plan");
    return {tokens / batch.time, batch.time, tokens};
}

std::uint64_t head_rows_of(std::uint64_t tokens, std::uint64_t vocabulary) {
    const auto panels = std::max<std::uint64_t>(
        1, logits_floats_aim / (std::max<std::uint64_t>(vocabulary, 1) * numerics::panel_length));
    return std::min(panels * numerics::panel_length, tokens);
}

void head_losses(const head_operands& head, std::span<const std::uint32_t> targets, float scale,
                 std::span<float> losses, const head_gradients* gradients,
                 std::span<std::byte> workspace, executor& run) {
    const auto d = head.width;
    const auto v = head.vocabulary;
    for (std::size_t row = 0; row < targets.size(); row += head.rows) {
        const auto rows = std::min(head.rows, targets.size() - row);
        const float* x = head.x + row * d;
        run.note({"head logits", 2 * rows * v * d, 0});
        numerics::gemm({.form = gemm_form::nt}, {rows, v, d}, {x, d}, {head.weight, d},
                       {head.logits, v}, workspace, run);
        numerics::cross_entropy(head.logits, v, targets.subspan(row, rows), v, scale,
                                losses.data() + row, gradients != nullptr, run);
        if (gradients == nullptr) continue;
        run.note({"head to input", 2 * rows * v * d, 0});
        numerics::gemm({.form = gemm_form::nn}, {rows, d, v}, {head.logits, v}, {head.weight, d},
                       {gradients->dx + row * d, d}, workspace, run);
        const bool starts = gradients->first && row == 0;
        run.note({"head to weight", 2 * rows * v * d, 0});
        numerics::gemm({.form = gemm_form::tn, .accumulate = !starts}, {v, d, rows},
                       {head.logits, v}, {x, d}, {gradients->dweight, d}, workspace, run);
    }
}

void head_logits(const head_operands& head, std::size_t row, std::span<float> out,
                 std::span<std::byte> workspace, executor& run) {
    const auto d = head.width;
    base::ensure(out.size() == head.vocabulary, "one logit a token of the vocabulary");
    numerics::gemm({.form = gemm_form::nt}, {1, head.vocabulary, d}, {head.x + row * d, d},
                   {head.weight, d}, {out.data(), head.vocabulary}, workspace, run);
}

std::uint64_t head_workspace_bytes(std::uint64_t rows, std::uint64_t width,
                                   std::uint64_t vocabulary, unsigned threads) {
    std::uint64_t bytes = 0;
    for (const numerics::gemm_shape shape : {numerics::gemm_shape{rows, vocabulary, width},
                                             numerics::gemm_shape{rows, width, vocabulary},
                                             numerics::gemm_shape{vocabulary, width, rows}}) {
        bytes = std::max<std::uint64_t>(bytes, numerics::gemm_workspace_bytes(shape, threads));
    }
    return bytes;
}

}  // namespace tequio::training
