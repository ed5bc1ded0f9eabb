#pragma once

/// `tequio bench codecs`: what contributions are encoded in, beside memcpy.

#include "base/result.hpp"
#include "node/cli/context.hpp"

namespace tequio::node {

/// Measures encoding, checking, adding and decoding in each codec on one thread, over arrays that
/// no cache holds, and prints GB/s beside those of memcpy over as many bytes in the same run. Bytes
/// are those that an operation must read and write. Errors: what the codecs refuse.
base::result<void> bench_codecs(cli_context& context);

}  // namespace tequio::node
