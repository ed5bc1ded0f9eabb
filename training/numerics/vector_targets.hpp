#pragma once

/// Included first by every file with vector code, before Highway. Restricts Highway to targets that
/// have a fused multiply-add and that we test: AVX2, AVX-512 (HWY_AVX3) and NEON. Highway always
/// compiles a static target too (EMU128 here, whose multiply-add is not fused): such files guard
/// their vector part with TEQUIO_VECTOR_TARGET, so that it stays empty there.

#define HWY_DISABLED_TARGETS \
    (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)

#define TEQUIO_VECTOR_TARGET \
    (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON)

#include "training/numerics/target.hpp"

/// TEQUIO_RETURN_VECTOR(f(x)); returns f(x) of the active target's namespace; falls through to what
/// follows, the reference, if none is active. Namespaces N_AVX2 and so on must be visible.
#if defined(__x86_64__)
#define TEQUIO_RETURN_VECTOR(call)                              \
    switch (::tequio::training::numerics::active_target()) {    \
        case ::tequio::training::numerics::simd_target::avx2:   \
            return N_AVX2::call;                                \
        case ::tequio::training::numerics::simd_target::avx512: \
            return N_AVX3::call;                                \
        default:                                                \
            break;                                              \
    }                                                           \
    static_assert(true)
#else
#define TEQUIO_RETURN_VECTOR(call)                            \
    switch (::tequio::training::numerics::active_target()) {  \
        case ::tequio::training::numerics::simd_target::neon: \
            return N_NEON::call;                              \
        default:                                              \
            break;                                            \
    }                                                         \
    static_assert(true)
#endif
