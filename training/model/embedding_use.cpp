#include "training/model/embedding_use.hpp"

#include <algorithm>

#include "base/ensure.hpp"
#include "training/numerics/embedding.hpp"

namespace tequio::training {

embedding_use_plan::embedding_use_plan(std::uint64_t vocabulary_, std::uint64_t width_,
                                       std::uint64_t step_tokens, std::uint64_t batch_tokens,
                                       arena_plan& plan)
    : vocabulary(vocabulary_), width(width_) {
    const auto touched = std::min(vocabulary, step_tokens);
    rows = plan.floats(saturating_product({touched, width}));
    slots = plan.floats(vocabulary);
    tokens = plan.floats(touched);
    batch = plan.floats(batch_tokens);
}

embedding_use::embedding_use(const embedding_use_plan& plan, const arena& memory)
    : width_(plan.width),
      rows_(memory.floats(plan.rows)),
      slots_(memory.numbers(plan.slots)),
      tokens_(memory.numbers(plan.tokens)),
      batch_(memory.numbers(plan.batch)) {
    std::fill(slots_.begin(), slots_.end(), numerics::no_row);
}

void embedding_use::clear() {
    for (std::uint32_t i = 0; i < touched_; ++i) slots_[tokens_[i]] = numerics::no_row;
    touched_ = 0;
}

void embedding_use::add(std::span<const std::uint32_t> tokens, const float* dx, executor& run) {
    base::ensure(tokens.size() <= batch_.size(), "a batch of tokens fits the plan");
    for (std::size_t p = 0; p < tokens.size(); ++p) {
        auto& slot = slots_[tokens[p]];
        if (slot == numerics::no_row) {
            base::ensure(touched_ < tokens_.size(), "a step touches no more rows than planned");
            slot = touched_++;
            tokens_[slot] = tokens[p];
            const auto row = rows_.subspan(slot * width_, width_);
            std::fill(row.begin(), row.end(), 0.0F);
        }
        batch_[p] = slot;
    }
    numerics::embed_backward(batch_.first(tokens.size()), dx, rows_.data(), width_, run);
}

void embedding_use::add_to(float* table, executor& run) const {
    numerics::add_sparse_rows(slots_, rows_.data(), table, width_, run);
}

}  // namespace tequio::training
