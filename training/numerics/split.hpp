#pragma once

/// How kernels cut their outputs into tasks, and their workspaces into aligned parts.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/ensure.hpp"
#include "training/executor.hpp"
#include "training/numerics/gemm.hpp"

namespace tequio::training::numerics {

/// The next multiple of `step`.
constexpr std::size_t round_up(std::size_t n, std::size_t step) {
    return (n + step - 1) / step * step;
}

/// Elements, and columns, of a task.
inline constexpr std::size_t element_grain = 32768;
inline constexpr std::size_t column_grain = 64;

/// Rows of a task of about `element_grain` elements.
inline std::size_t row_grain(std::size_t columns) {
    return std::max<std::size_t>(1, element_grain / std::max<std::size_t>(1, columns));
}

/// Calls body(begin, end) over [0, n) in pieces of `grain` (the last may be shorter), or once on
/// the caller's thread if that is all there is to do.
template <class Body>
void for_pieces(std::size_t n, std::size_t grain, executor& run, Body body) {
    const std::size_t pieces = (n + grain - 1) / grain;
    if (pieces == 0) return;
    if (pieces == 1 || run.threads() == 1) return body(std::size_t{0}, n);
    run.run(pieces, [&](std::size_t piece, unsigned) {
        body(piece * grain, std::min(n, (piece + 1) * grain));
    });
}

/// Bytes that `aligned_part` may skip.
inline constexpr std::size_t part_alignment = 64;

/// Part `thread` of a workspace that holds a part of `floats` floats for each thread. The size
/// asked for is threads * floats * 4 + part_alignment bytes; floats is a multiple of 16.
inline float* aligned_part(std::span<std::byte> workspace, std::size_t floats, unsigned thread) {
    const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
    const std::size_t skip = (part_alignment - address % part_alignment) % part_alignment;
    const std::size_t begin = skip + thread * floats * sizeof(float);
    base::ensure(begin + floats * sizeof(float) <= workspace.size(), "a workspace is large enough");
    return reinterpret_cast<float*>(workspace.data() + begin);
}

/// Panels along a sum over `rows` rows.
constexpr std::size_t panels_of(std::size_t rows) {
    return (rows + panel_length - 1) / panel_length;
}

/// The end of column sums whose panels were summed apart: out[j] (+)= sums[j], sums[step + j], ...
/// ascending.
inline void add_panels(const float* sums, std::size_t panels, std::size_t step, bool accumulate,
                       float* out, std::size_t columns) {
    for (std::size_t j = 0; j < columns; ++j) {
        float total = accumulate ? out[j] : 0.0F;
        for (std::size_t p = 0; p < panels; ++p) total = total + sums[p * step + j];
        out[j] = total;
    }
}

}  // namespace tequio::training::numerics
