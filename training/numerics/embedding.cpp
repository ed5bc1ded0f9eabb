#include "training/numerics/embedding.hpp"

#include <bit>

#include "training/numerics/elementwise.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/split.hpp"

// Memory sets the pace here, so the compiler's own vectors (every operation is an addition or a
// selection) are enough; threads take rows forward and columns backward.
namespace tequio::training::numerics {

namespace {

/// Columns of a task of `rows` additions of rows. Threads that share rows take each other's cache
/// lines: less than a million elements is faster done by one.
std::size_t backward_grain(std::size_t rows) {
    constexpr std::size_t elements = std::size_t{1} << 20;
    return round_up(elements / std::max<std::size_t>(rows, 1) + 1, column_grain);
}

}  // namespace

void embed(std::span<const std::uint32_t> tokens, std::size_t time, const float* table,
           const float* positions, float* out, std::size_t width, executor& run) {
    run.note({"embed", tokens.size() * width, 12 * tokens.size() * width});
    for_pieces(tokens.size(), row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) {
            const float* row = table + tokens[p] * width;
            float* place = out + p * width;
            if (positions == nullptr) {
                for (std::size_t j = 0; j < width; ++j) place[j] = flush(row[j]);
                continue;
            }
            const float* shift = positions + p % time * width;
            for (std::size_t j = 0; j < width; ++j) place[j] = flush(row[j] + shift[j]);
        }
    });
}

void embed_backward(std::span<const std::uint32_t> tokens, const float* dx, float* dtable,
                    std::size_t width, executor& run) {
    run.note({"embed backward", tokens.size() * width, 12 * tokens.size() * width});
    for_pieces(width, backward_grain(tokens.size()), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = 0; p < tokens.size(); ++p) {
            float* __restrict row = dtable + tokens[p] * width;
            const float* __restrict add = dx + p * width;
            for (std::size_t j = begin; j < end; ++j) row[j] = row[j] + add[j];
        }
    });
}

void position_backward(const float* dx, std::size_t tokens, std::size_t time, float* dpositions,
                       std::size_t width, executor& run) {
    run.note({"embed backward", tokens * width, 8 * tokens * width});
    for_pieces(width, backward_grain(tokens), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = 0; p < tokens; ++p) {
            float* __restrict row = dpositions + p % time * width;
            const float* __restrict add = dx + p * width;
            for (std::size_t j = begin; j < end; ++j) row[j] = row[j] + add[j];
        }
    });
}

namespace {

/// True if flush(x + 0) is another number than x for some x: magnitudes order as their bits do.
/// (Written so that compilers vectorise it.)
bool flushing_changes(const float* x, std::size_t n) {
    constexpr auto least = std::bit_cast<std::uint32_t>(smallest_operand);
    std::uint32_t changes = 0;
    for (std::size_t j = 0; j < n; ++j) {
        const auto bits = std::bit_cast<std::uint32_t>(x[j]);
        const std::uint32_t small = (bits & 0x7fffffffU) < least ? 1U : 0U;
        changes |= bits == 0 ? 0U : small;
    }
    return changes != 0;
}

}  // namespace

void add_sparse_rows(std::span<const std::uint32_t> slots, const float* rows, float* table,
                     std::size_t width, executor& run) {
    run.note({"embedding uses", slots.size() * width, 4 * slots.size() * width});
    for_pieces(slots.size(), row_grain(width), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            float* __restrict row = table + v * width;
            if (slots[v] != no_row) {
                const float* __restrict x = rows + slots[v] * width;
                for (std::size_t j = 0; j < width; ++j) row[j] = flush(x[j] + row[j]);
            } else if (flushing_changes(row, width)) {
                for (std::size_t j = 0; j < width; ++j) row[j] = flush(row[j]);
            }
        }
    });
}

}  // namespace tequio::training::numerics
