#include "training/numerics/target.hpp"

#include <hwy/targets.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>

#include "base/ensure.hpp"

namespace tequio::training::numerics {

namespace {

struct target_list {
    std::array<simd_target, 3> items{};
    std::size_t count = 0;
};

target_list detect() {
    target_list list;
#if HWY_ARCH_X86
    const std::int64_t supported = hwy::SupportedTargets();
    const auto add = [&](std::int64_t bit, simd_target target) {
        if ((supported & bit) != 0) list.items[list.count++] = target;
    };
    add(HWY_AVX2, simd_target::avx2);
    add(HWY_AVX3, simd_target::avx512);
#elif HWY_ARCH_ARM_A64
    // Every 64-bit Arm has Advanced SIMD with a fused multiply-add; Highway's bit also asks for
    // AES.
    list.items[list.count++] = simd_target::neon;
#endif
    return list;
}

simd_target choose() {
    const auto targets = available_targets();
    const simd_target best = targets.empty() ? simd_target::reference : targets.back();
    const char* wanted = std::getenv("TEQUIO_SIMD");
    if (wanted == nullptr || *wanted == '\0') return best;
    if (target_name(simd_target::reference) == wanted) return simd_target::reference;
    for (const simd_target target : targets) {
        if (target_name(target) == wanted) return target;
    }
    std::fprintf(stderr, "TEQUIO_SIMD=%s: this processor has no such target; using %s\n", wanted,
                 target_name(best).data());
    return best;
}

std::atomic<simd_target>& chosen() {
    static std::atomic<simd_target> target{choose()};
    return target;
}

}  // namespace

std::span<const simd_target> available_targets() {
    static const target_list list = detect();
    return {list.items.data(), list.count};
}

bool exact_work_possible() {
    return !available_targets().empty();
}

simd_target active_target() {
    return chosen().load(std::memory_order_relaxed);
}

void set_target(simd_target target) {
    const auto targets = available_targets();
    base::ensure(target == simd_target::reference ||
                     std::find(targets.begin(), targets.end(), target) != targets.end(),
                 "a target is set only where the processor has it");
    chosen().store(target, std::memory_order_relaxed);
}

std::string_view target_name(simd_target target) {
    switch (target) {
        case simd_target::reference:
            return "reference";
        case simd_target::neon:
            return "neon";
        case simd_target::avx2:
            return "avx2";
        case simd_target::avx512:
            return "avx512";
    }
    return "unknown";
}

}  // namespace tequio::training::numerics
