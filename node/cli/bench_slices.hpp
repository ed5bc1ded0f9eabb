#pragma once

/// `tequio bench train --slices N`: a lane by a team of N workers of one thread each, beside N such
/// workers that compute a whole lane each, in turn: what dividing a model costs on this machine.

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "node/cli/bench_train.hpp"
#include "node/cli/context.hpp"

namespace tequio::node {

/// Cuts stand before every layer, and those that balance the operations best are used; or the
/// options name the one there is, to find what balances the time. Errors: `ends_with(usage)` for an
/// unknown preset, or more slices than it has layers or cuts; those of the workers, in words.
base::result<void> bench_slices(cli_context& context, const train_bench_options& options);

}  // namespace tequio::node
