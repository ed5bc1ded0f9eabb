#pragma once

/// A tied embedding of a divided lane. The stage with the head owns the table, for the head's
/// gradient touches every row; the stage with the embedding needs only the rows of a step's tokens,
/// and has a gradient only for them. So rows travel and never the table: before a step those of its
/// tokens, after it their gradients. Both stages know the step's tokens, so that a message is the
/// rows alone, in ascending order of tokens, as float32: they cross no cut and are not rounded.

#include <cstdint>
#include <span>

#include "training/executor.hpp"
#include "training/model/arena.hpp"

namespace tequio::training {

/// Room for the rows of at most `step_tokens` tokens. `holds_rows`: at the embedding, which keeps
/// rows and their gradients; `batch_tokens` come at a time.
struct embedding_share_plan {
    embedding_share_plan() = default;
    embedding_share_plan(std::uint64_t vocabulary, std::uint64_t width, std::uint64_t step_tokens,
                         std::uint64_t batch_tokens, bool holds_rows, arena_plan& plan);

    std::uint64_t width = 0;
    arena_slice slots;            ///< (vocabulary): row of a token
    arena_slice tokens;           ///< (most rows): token of a row
    arena_slice rows, gradients;  ///< (most rows, width)
    arena_slice batch;            ///< (batch_tokens)
};

/// Not thread-safe. The arena outlives it.
class embedding_share {
public:
    embedding_share(const embedding_share_plan& plan, const arena& memory);

    /// Both sides, before a step (or a batch of validation): which rows there are. The rows'
    /// gradients are +0 then. Ensures that no more were planned.
    void begin(std::span<const std::uint32_t> step_tokens);
    /// Floats of a message of rows, or of gradients.
    std::uint64_t message_floats() const { return touched_ * width_; }

    /// At the embedding: (touched, width), to be filled with the rows.
    std::span<float> rows() const { return rows_.first(message_floats()); }
    std::span<const float> gradients() const { return gradients_.first(message_floats()); }
    /// The rows that these tokens have; valid until the next call.
    std::span<const std::uint32_t> rows_of(std::span<const std::uint32_t> tokens) const;
    /// row[tokens[p]] += dx[p] for p ascending, as `embedding_use::add`. dx: (tokens, width).
    void add(std::span<const std::uint32_t> tokens, const float* dx, executor& run);

    /// At the head: copies the rows out of the table. out: (touched, width).
    void read_rows(const float* table, std::span<float> out) const;
    /// table = flush(row + table) for every row, touched or not, as `embedding_use::add_to`.
    void add_rows(std::span<const float> rows, float* table, executor& run) const;

private:
    std::uint64_t width_;
    std::span<std::uint32_t> slots_, tokens_, batch_;
    std::span<float> rows_, gradients_;
    std::uint64_t touched_ = 0;
};

}  // namespace tequio::training
