#pragma once

/// Whether this program on this machine computes as the profile says, and under which name
/// (NUMERICS.md, introduction).

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "training/executor.hpp"

namespace tequio::training {

/// "exact/1:" and the SHA-256 of the golden vectors that this program was built with. Stands in the
/// hello, the task and, through the task, in every receipt; nodes of different identities never
/// share a crew. Frozen (tests/vectors/README.md): a changed rule makes another profile.
std::string exactness_identity();

/// Names of the instruction sets whose kernels this machine can run, slowest first; empty when it
/// has no fused multiply-add, and then it takes no exact work.
std::vector<std::string> exact_targets();
/// The one in use (TEQUIO_SIMD restricts it).
std::string active_target();

/// What a self-test went through.
struct self_test_report {
    std::vector<std::string> targets;   ///< "reference" where it was tested, then `exact_targets()`
    std::vector<std::string> families;  ///< of models: a lane of each on every target
};

/// What a self-test goes through.
enum class self_test_scope : std::uint8_t {
    dispatched,  ///< the targets that lanes can be computed on; some 50 ms
    everything,  ///< the plain reference too, which nobody's lanes use; a second and a half
};

/// The short form of the conformance tests: the floating-point environment (set first for the
/// calling thread; other threads of `run` have theirs), and a short lane of each family on each
/// target of `scope`, compared with the profile's own digests. Not to be called while kernels run.
/// Errors: `errc::environment_changed`, naming what differs.
base::result<self_test_report> exactness_self_test(executor& run, self_test_scope scope);

}  // namespace tequio::training
