#pragma once

/// Which instruction set the fast kernels use. All give the same bits; this exists for speed, for
/// tests, and to find a processor that does not keep to the rule.

#include <span>
#include <string_view>

namespace tequio::training::numerics {

/// Where a kernel runs. `reference` is the plain scalar code: the definition, and the judge of last
/// resort.
enum class simd_target { reference, neon, avx2, avx512 };

/// The vector targets this processor has, slowest first; empty if it has no fused multiply-add.
/// Never contains `reference`.
std::span<const simd_target> available_targets();

/// True if this processor has a target above: others take no exact work.
bool exact_work_possible();

/// The target in use: the last of `available_targets()`, unless the environment variable
/// TEQUIO_SIMD=reference|neon|avx2|avx512 named another available one when this was first asked;
/// `reference` if there is none. A name that is unknown or unavailable is ignored with a line on
/// standard error.
simd_target active_target();

/// Makes `target` the active one in every thread. `target` must be `reference` or available. Not
/// to be called while kernels run; meant for tests and `doctor`.
void set_target(simd_target target);

/// "reference", "neon", "avx2" or "avx512".
std::string_view target_name(simd_target target);
/// The name of the active target.
inline std::string_view target_name() {
    return target_name(active_target());
}

}  // namespace tequio::training::numerics
