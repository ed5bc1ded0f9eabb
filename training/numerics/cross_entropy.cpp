#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/cross_entropy.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstring>

#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

/// The largest of x[0..n), n > 0.
float row_max(const float* x, std::size_t n) {
    const float_tag d;
    vector m = hn::Set(d, x[0]);
    std::size_t i = 0;
    for (; i + lanes <= n; i += lanes) {
        const vector a = hn::LoadU(d, x + i);
        m = hn::IfThenElse(hn::Gt(a, m), a, m);
    }
    HWY_ALIGN float buffer[lanes];
    hn::Store(m, d, buffer);
    float best = buffer[0];
    for (std::size_t j = 1; j < lanes; ++j) best = buffer[j] > best ? buffer[j] : best;
    for (; i < n; ++i) best = x[i] > best ? x[i] : best;
    return best + 0.0F;
}

/// x = softmax_exp(x - m); returns the sum.
float row_exp(float* x, std::size_t n, float m) {
    const vector top = hn::Set(float_tag(), m);
    const auto exp_below = [top](const auto& a) HWY_ATTR {
        return softmax_exp(each([top](vector s) HWY_ATTR { return hn::Sub(s, top); }, a));
    };
    constexpr std::size_t wide = std::max(side_by_side, partial_sums::count);
    constexpr std::size_t step = wide * lanes;
    partial_sums sums;
    std::size_t i = 0;
    for (; i + step <= n; i += step) {
        const auto e = exp_below(load_bundle<wide>(x + i));
        store_bundle(e, x + i);
        sums.add(e);
    }
    HWY_ALIGN float rest[step] = {};
    map_bundles(n - i, x + i, exp_below, x + i);
    std::memcpy(rest, x + i, (n - i) * sizeof(float));
    sums.add(load_bundle<wide>(rest));
    return sums.fold();
}

/// x = flush((x * inverse - 0) * scale): every column but the target's.
void row_gradient(float* x, std::size_t n, float inverse, float scale) {
    const float_tag d;
    const vector i = hn::Set(d, inverse);
    const vector f = hn::Set(d, scale);
    map(
        n, x, [=](vector a) HWY_ATTR { return flushed(product(product(a, i), f)); }, x);
}

void cross_entropy_row(float* x, std::uint32_t target, std::size_t vocabulary, float scale,
                       float* loss, bool gradient) {
    const float m = row_max(x, vocabulary);
    const float gap = m - x[target];
    const float l = row_exp(x, vocabulary, m);
    *loss = gap + log_reference(l);
    if (!gradient) return;
    const float inverse = 1.0F / l;
    const float at_target = flush((x[target] * inverse - 1.0F) * scale);
    row_gradient(x, vocabulary, inverse, scale);
    x[target] = at_target;
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

void cross_entropy_row(float* x, std::uint32_t target, std::size_t vocabulary, float scale,
                       float* loss, bool gradient) {
    if (target != ignored_target) {
        TEQUIO_RETURN_VECTOR(cross_entropy_row(x, target, vocabulary, scale, loss, gradient));
    }
    cross_entropy_reference(x, vocabulary, {&target, 1}, vocabulary, scale, loss, gradient);
}

}  // namespace

void cross_entropy(float* logits, std::size_t stride, std::span<const std::uint32_t> targets,
                   std::size_t vocabulary, float scale, float* losses, bool gradient,
                   executor& run) {
    const std::size_t logits_count = targets.size() * vocabulary;
    run.note({"cross entropy", 29 * logits_count, 8 * logits_count});
    for_pieces(targets.size(), row_grain(vocabulary), run, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            cross_entropy_row(logits + i * stride, targets[i], vocabulary, scale, losses + i,
                              gradient);
        }
    });
}

}  // namespace tequio::training::numerics
#endif
