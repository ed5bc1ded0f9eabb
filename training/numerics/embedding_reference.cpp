#include "training/numerics/embedding.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::training::numerics {

void embed_reference(std::span<const std::uint32_t> tokens, std::size_t time, const float* table,
                     const float* positions, float* out, std::size_t width) {
    for (std::size_t p = 0; p < tokens.size(); ++p) {
        for (std::size_t j = 0; j < width; ++j) {
            const float value = table[tokens[p] * width + j];
            const float shift = positions != nullptr ? positions[p % time * width + j] : 0.0F;
            out[p * width + j] = flush(value + shift);
        }
    }
}

void embed_backward_reference(std::span<const std::uint32_t> tokens, const float* dx, float* dtable,
                              std::size_t width) {
    for (std::size_t p = 0; p < tokens.size(); ++p) {
        for (std::size_t j = 0; j < width; ++j) {
            float& cell = dtable[tokens[p] * width + j];
            cell = cell + dx[p * width + j];
        }
    }
}

void position_backward_reference(const float* dx, std::size_t tokens, std::size_t time,
                                 float* dpositions, std::size_t width) {
    for (std::size_t p = 0; p < tokens; ++p) {
        for (std::size_t j = 0; j < width; ++j) {
            float& cell = dpositions[p % time * width + j];
            cell = cell + dx[p * width + j];
        }
    }
}

void add_sparse_rows_reference(std::span<const std::uint32_t> slots, const float* rows,
                               float* table, std::size_t width) {
    for (std::size_t v = 0; v < slots.size(); ++v) {
        for (std::size_t j = 0; j < width; ++j) {
            const float x = slots[v] == no_row ? 0.0F : rows[slots[v] * width + j];
            table[v * width + j] = flush(x + table[v * width + j]);
        }
    }
}

}  // namespace tequio::training::numerics
