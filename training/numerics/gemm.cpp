#include "training/numerics/gemm.hpp"

#include <algorithm>

#include "training/numerics/gemm_serial.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/study.hpp"

namespace tequio::training::numerics {

namespace {

/// Below this many multiply-adds a task is not worth handing to another thread.
constexpr std::size_t task_least = std::size_t{1} << 18;

/// Tasks along m and along n.
struct grid {
    std::size_t rows, columns;
};

/// As many tasks as threads; of the ways to arrange them, the one that packs least: a task packs
/// its rows of A and its columns of B itself.
grid choose_grid(gemm_shape shape, unsigned threads) {
    const std::size_t work = shape.m * shape.n * std::max<std::size_t>(shape.k, 1);
    const std::size_t tasks = std::clamp<std::size_t>(work / task_least, 1, threads);
    grid best{1, tasks};
    std::size_t best_cost = static_cast<std::size_t>(-1);
    for (std::size_t rows = 1; rows <= tasks; ++rows) {
        if (tasks % rows != 0) continue;
        const std::size_t columns = tasks / rows;
        const bool fits = shape.m / rows >= 16 && shape.n / columns >= 64;
        const std::size_t cost = shape.m * columns + shape.n * rows;
        if ((fits || rows * columns == 1) && cost < best_cost) {
            best = {rows, columns};
            best_cost = cost;
        }
    }
    if (best_cost == static_cast<std::size_t>(-1)) {
        // Thin: cut the long side, whatever its length.
        best = shape.m > shape.n ? grid{tasks, 1} : grid{1, tasks};
    }
    return best;
}

matrix_in rows_of_a(gemm_form form, matrix_in a, std::size_t row) {
    return {a.data + (form == gemm_form::tn ? row : row * a.stride), a.stride};
}

matrix_in columns_of_b(gemm_form form, matrix_in b, std::size_t column) {
    return {b.data + (form == gemm_form::nt ? column * b.stride : column), b.stride};
}

}  // namespace

void gemm(const gemm_options& options, gemm_shape shape, matrix_in a, matrix_in b, matrix_out c,
          std::span<std::byte> workspace, executor& run) {
    if (active_study().panel != panel_length) return study_gemm(options, shape, a, b, c, run);
    const serial_gemm_options serial{options.form, options.accumulate, options.flush, false,
                                     options.bias};
    const std::size_t floats = serial_gemm_floats(shape);
    const grid cut = choose_grid(shape, run.threads());
    if (cut.rows * cut.columns == 1) {
        return gemm_serial(serial, shape, a, b, c, aligned_part(workspace, floats, 0));
    }
    const std::size_t task_rows = round_up((shape.m + cut.rows - 1) / cut.rows, 12);
    const std::size_t task_columns = round_up((shape.n + cut.columns - 1) / cut.columns, 16);
    run.run(cut.rows * cut.columns, [&](std::size_t task, unsigned thread) {
        const std::size_t row = task / cut.columns * task_rows;
        const std::size_t column = task % cut.columns * task_columns;
        if (row >= shape.m || column >= shape.n) return;
        serial_gemm_options mine = serial;
        if (mine.bias != nullptr) mine.bias += column;
        gemm_serial(
            mine,
            {std::min(task_rows, shape.m - row), std::min(task_columns, shape.n - column), shape.k},
            rows_of_a(options.form, a, row), columns_of_b(options.form, b, column),
            {c.data + row * c.stride + column, c.stride}, aligned_part(workspace, floats, thread));
    });
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
    return threads * serial_gemm_floats(shape) * sizeof(float) + part_alignment;
}

}  // namespace tequio::training::numerics
