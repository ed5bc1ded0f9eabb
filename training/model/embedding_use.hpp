#pragma once

/// The gradient of an embedding table by its use as an embedding, over one step. A step's tokens
/// touch few rows of a large vocabulary, so only touched rows have memory.

#include <cstdint>
#include <span>

#include "training/executor.hpp"
#include "training/model/arena.hpp"

namespace tequio::training {

/// Room for the rows of at most `step_tokens` tokens; `batch_tokens` come at a time.
struct embedding_use_plan {
    embedding_use_plan() = default;
    embedding_use_plan(std::uint64_t vocabulary, std::uint64_t width, std::uint64_t step_tokens,
                       std::uint64_t batch_tokens, arena_plan& plan);

    std::uint64_t vocabulary = 0;
    std::uint64_t width = 0;
    arena_slice rows;           ///< (touched, width)
    arena_slice slots, tokens;  ///< (vocabulary): row of a token; (touched): token of a row
    arena_slice batch;          ///< (batch_tokens)
};

/// Not thread-safe. The arena outlives it.
class embedding_use {
public:
    embedding_use(const embedding_use_plan& plan, const arena& memory);

    /// Every row is +0 again.
    void clear();
    /// row[tokens[p]] = row[tokens[p]] + dx[p] for p ascending. dx: (tokens, width). Ensures that
    /// the step has no more tokens than were planned.
    void add(std::span<const std::uint32_t> tokens, const float* dx, executor& run);
    /// table = flush(row + table) for every row, touched or not. table: (vocabulary, width), the
    /// gradient by the table's other use.
    void add_to(float* table, executor& run) const;

private:
    std::uint64_t width_;
    std::span<float> rows_;
    std::span<std::uint32_t> slots_, tokens_, batch_;
    std::uint32_t touched_ = 0;
};

}  // namespace tequio::training
