#pragma once

/// Token and position embeddings.

#include <cstddef>
#include <cstdint>
#include <span>

#include "training/executor.hpp"

namespace tequio::training::numerics {

/// out[p] = flush(table[tokens[p]] + positions[p % time]). table: (vocabulary, width); positions:
/// (at least time, width), or null: out[p] = table[tokens[p]]; out: (tokens, width). Every token is
/// below the vocabulary: the caller has checked.
void embed(std::span<const std::uint32_t> tokens, std::size_t time, const float* table,
           const float* positions, float* out, std::size_t width, executor& run);
void embed_reference(std::span<const std::uint32_t> tokens, std::size_t time, const float* table,
                     const float* positions, float* out, std::size_t width);

/// dtable[tokens[p]] = dtable[tokens[p]] + dx[p] for p ascending. Rows start at +0 at the step's
/// start (the caller's work); calls in order of p continue the same sum. No flush.
void embed_backward(std::span<const std::uint32_t> tokens, const float* dx, float* dtable,
                    std::size_t width, executor& run);
void embed_backward_reference(std::span<const std::uint32_t> tokens, const float* dx, float* dtable,
                              std::size_t width);

/// dpositions[p % time] = dpositions[p % time] + dx[p] for p in [0, tokens) ascending. No flush.
void position_backward(const float* dx, std::size_t tokens, std::size_t time, float* dpositions,
                       std::size_t width, executor& run);
void position_backward_reference(const float* dx, std::size_t tokens, std::size_t time,
                                 float* dpositions, std::size_t width);

/// A row of the table that `add_sparse_rows` has no row to add to.
inline constexpr std::uint32_t no_row = 0xffffffff;

/// table[v] = flush(x[v] + table[v]) for each v, where x[v] = rows[slots[v]], or +0 for `no_row`.
/// slots: (vocabulary); table: (vocabulary, width). Where nothing changes nothing is written.
void add_sparse_rows(std::span<const std::uint32_t> slots, const float* rows, float* table,
                     std::size_t width, executor& run);
void add_sparse_rows_reference(std::span<const std::uint32_t> slots, const float* rows,
                               float* table, std::size_t width);

}  // namespace tequio::training::numerics
