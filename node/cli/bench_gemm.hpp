#pragma once

/// `tequio bench gemm`: matrix products beside OpenBLAS and beside their definition.

#include "base/result.hpp"
#include "node/cli/context.hpp"

namespace tequio::node {

/// What the command line chose.
struct gemm_bench_options {
    unsigned threads = 1;
    bool thin = false;  ///< few rows (m = 1 to 16) instead of the shapes of a training step
};

/// Measures and prints. Errors: `verification_failed` if a product has other bits than its
/// definition.
base::result<void> bench_gemm(cli_context& context, const gemm_bench_options& options);

}  // namespace tequio::node
