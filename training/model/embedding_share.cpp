#include "training/model/embedding_share.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/embedding.hpp"

namespace tequio::training {

embedding_share_plan::embedding_share_plan(std::uint64_t vocabulary, std::uint64_t width_,
                                           std::uint64_t step_tokens, std::uint64_t batch_tokens,
                                           bool holds_rows, arena_plan& plan)
    : width(width_) {
    const auto most = std::min(vocabulary, step_tokens);
    slots = plan.floats(vocabulary);
    tokens = plan.floats(most);
    if (!holds_rows) return;
    rows = plan.floats(saturating_product({most, width}));
    gradients = plan.floats(saturating_product({most, width}));
    batch = plan.floats(batch_tokens);
}

embedding_share::embedding_share(const embedding_share_plan& plan, const arena& memory)
    : width_(plan.width),
      slots_(memory.numbers(plan.slots)),
      tokens_(memory.numbers(plan.tokens)),
      batch_(memory.numbers(plan.batch)),
      rows_(memory.floats(plan.rows)),
      gradients_(memory.floats(plan.gradients)) {
    std::fill(slots_.begin(), slots_.end(), numerics::no_row);
}

void embedding_share::begin(std::span<const std::uint32_t> step_tokens) {
    for (std::uint64_t i = 0; i < touched_; ++i) slots_[tokens_[i]] = numerics::no_row;
    touched_ = 0;
    for (const auto token : step_tokens) {
        if (slots_[token] != numerics::no_row) continue;
        base::ensure(touched_ < tokens_.size(), "a step touches no more rows than planned");
        slots_[token] = 0;
        tokens_[touched_++] = token;
    }
    const auto here = tokens_.first(touched_);
    std::sort(here.begin(), here.end());
    for (std::uint32_t i = 0; i < touched_; ++i) slots_[here[i]] = i;
    if (!gradients_.empty()) std::fill_n(gradients_.begin(), message_floats(), 0.0F);
}

std::span<const std::uint32_t> embedding_share::rows_of(
    std::span<const std::uint32_t> tokens) const {
    base::ensure(tokens.size() <= batch_.size(), "a batch of tokens fits the plan");
    for (std::size_t p = 0; p < tokens.size(); ++p) batch_[p] = slots_[tokens[p]];
    return batch_.first(tokens.size());
}

void embedding_share::add(std::span<const std::uint32_t> tokens, const float* dx, executor& run) {
    numerics::embed_backward(rows_of(tokens), dx, gradients_.data(), width_, run);
}

void embedding_share::read_rows(const float* table, std::span<float> out) const {
    base::ensure(out.size() == message_floats(), "a message has the size of its rows");
    for (std::uint64_t i = 0; i < touched_; ++i) {
        const float* row = table + tokens_[i] * width_;
        std::copy(row, row + width_, out.begin() + static_cast<std::ptrdiff_t>(i * width_));
    }
}

void embedding_share::add_rows(std::span<const float> rows, float* table, executor& run) const {
    base::ensure(rows.size() == message_floats(), "a message has the size of its rows");
    numerics::add_sparse_rows(slots_, rows.data(), table, width_, run);
}

}  // namespace tequio::training
