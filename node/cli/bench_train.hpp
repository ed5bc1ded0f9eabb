#pragma once

/// `tequio bench train` and `bench lane`: a whole training step, and a whole lane, of the model of
/// a preset, beside OpenBLAS's rate of multiplying in the same run, with a table of kernels.

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "node/cli/context.hpp"

namespace tequio::node {

/// What the command line chose.
struct train_bench_options {
    std::string preset = "small-10m";
    unsigned threads = 1;
    std::uint64_t batch = 0;    ///< 0: the preset's
    std::uint64_t context = 0;  ///< 0: the preset's
    std::uint64_t steps = 8;    ///< of a lane
    // Of `--slices`, which measures lanes (bench_slices.hpp).
    std::uint64_t slices = 1;
    std::uint64_t micro_batches = 8;
    std::uint64_t pairs = 5;
    std::uint64_t cut = 0;  ///< the only one; 0: before every layer
};

/// Forward, backward, clipping and AdamW over one batch. Errors: `ends_with(usage)` for an unknown
/// preset; `errc::out_of_memory`.
base::result<void> bench_train(cli_context& context, const train_bench_options& options);

/// A lane from its start to its contribution, the trace included. Errors: the same.
base::result<void> bench_lane(cli_context& context, const train_bench_options& options);

}  // namespace tequio::node
