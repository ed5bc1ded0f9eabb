#include "training/numerics/gemm.hpp"

#include <algorithm>

#include "training/numerics/gemm_blocked.hpp"
#include "training/numerics/gemm_serial.hpp"
#include "training/numerics/gemm_shares.hpp"
#include "training/numerics/gemm_thin.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/study.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training::numerics {

namespace {

/// Columns of a thin product that go to a thread together: whole windows of every target.
constexpr std::size_t thin_columns = 96;
/// As many pieces a thread, for when the others are slower.
constexpr std::size_t thin_pieces = 4;

/// Floats of a part of `gemm`'s workspace, 64 bytes aligned.
std::size_t gemm_floats(gemm_shape shape, unsigned threads) {
    return round_up(std::max(threads * serial_gemm_floats(shape), blocked_floats(shape, threads)),
                    16);
}

void thin_on_threads(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b,
                     matrix_out c, float* workspace, executor& run) {
    piece_runner pieces(run, workspace);
    const std::size_t units = (shape.n + thin_columns - 1) / thin_columns;
    const std::size_t most = std::max<std::size_t>(1, units / (thin_pieces * run.threads()));
    pieces.each(units, most, 1, shape.m * thin_columns * shape.k, [&](const piece_turn& turn) {
        multiply_thin(options, shape, a, b, c, turn.piece.begin * thin_columns,
                      std::min(shape.n, turn.piece.end * thin_columns));
    });
}

}  // namespace

void gemm(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b, matrix_out c,
          std::span<std::byte> workspace, executor& run) {
    if (active_study().panel != panel_length) return study_gemm(options, shape, a, b, c, run);
    if (shape.m == 0 || shape.n == 0) return;
    if (shape.k == 0 || active_target() == simd_target::reference) {
        return gemm_reference(options, shape, a, b, c);
    }
    float* room = aligned_part(workspace, gemm_floats(shape, run.threads()), 0);
    if (is_thin(options.form, shape)) {
        return thin_on_threads(options, shape, a, b, c, room, run);
    }
    multiply_blocked(options, shape, a, b, c, room, run);
}

void gemm_batched(const gemm_options& options, gemm_shape shape, gemm_batch batch, matrix_in a,
                  matrix_in b, matrix_out c, std::span<std::byte> workspace, executor& run) {
    const serial_gemm_options serial{options.form, options.accumulate, options.flush, false,
                                     options.bias};
    const std::size_t floats = serial_gemm_floats(shape);
    run.run(batch.count, [&](std::size_t i, unsigned thread) {
        gemm_serial(serial, shape, {a.data + i * batch.a_step, a.stride},
                    {b.data + i * batch.b_step, b.stride}, {c.data + i * batch.c_step, c.stride},
                    aligned_part(workspace, floats, thread));
    });
}

std::size_t gemm_workspace_bytes(gemm_shape shape, unsigned threads) {
    return gemm_floats(shape, threads) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
