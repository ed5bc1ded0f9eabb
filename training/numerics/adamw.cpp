#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/adamw.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <atomic>

#include "training/numerics/adamw.hpp"
#include "training/numerics/split.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

bool adamw_range(const adamw_scalars& scalars, bool decay, float* weight, const float* gradient,
                 float* first, float* second, std::size_t n) {
    const float_tag d;
    const std::size_t whole = n / lanes * lanes;
    const vector keep = hn::Set(d, scalars.keep);
    const vector rate = hn::Set(d, 0.0F - scalars.rate);
    // Zero times a number is zero, times infinity or NaN it is NaN: stays zero while all is finite.
    vector check = hn::Zero(d);
    for (std::size_t i = 0; i < whole; i += lanes) {
        const vector g = flushed(product(hn::LoadU(d, gradient + i), hn::Set(d, scalars.clip)));
        const vector m =
            subnormal_flushed(hn::MulAdd(hn::Set(d, scalars.beta1), hn::LoadU(d, first + i),
                                         product(hn::Set(d, scalars.one_minus_beta1), g)));
        const vector g2 = product(hn::Set(d, scalars.one_minus_beta2), product(g, g));
        const vector v =
            subnormal_flushed(hn::MulAdd(hn::Set(d, scalars.beta2), hn::LoadU(d, second + i), g2));
        const vector root = hn::Sqrt(product(v, hn::Set(d, scalars.correction2)));
        const vector u = hn::Div(product(m, hn::Set(d, scalars.correction1)),
                                 hn::Add(root, hn::Set(d, scalars.epsilon)));
        vector w = hn::LoadU(d, weight + i);
        if (decay) w = product(w, keep);
        hn::StoreU(m, d, first + i);
        hn::StoreU(v, d, second + i);
        w = flushed(hn::MulAdd(rate, u, w));
        check = hn::MulAdd(w, hn::Zero(d), check);
        hn::StoreU(w, d, weight + i);
    }
    const bool rest = adamw_update_reference(scalars, decay, weight + whole, gradient + whole,
                                             first + whole, second + whole, n - whole);
    return rest && hn::AllTrue(d, hn::Eq(check, hn::Zero(d)));
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

namespace {

bool adamw_range(const adamw_scalars& scalars, bool decay, float* weight, const float* gradient,
                 float* first, float* second, std::size_t n) {
    TEQUIO_RETURN_VECTOR(adamw_range(scalars, decay, weight, gradient, first, second, n));
    return adamw_update_reference(scalars, decay, weight, gradient, first, second, n);
}

}  // namespace

bool adamw_update(const adamw_scalars& scalars, bool decay, float* weight, const float* gradient,
                  float* first, float* second, std::size_t n, executor& run) {
    run.note({"adamw", 17 * n, 28 * n});
    std::atomic<bool> all{true};
    for_pieces(n, element_grain, run, [&](std::size_t begin, std::size_t end) {
        if (!adamw_range(scalars, decay, weight + begin, gradient + begin, first + begin,
                         second + begin, end - begin)) {
            all.store(false, std::memory_order_relaxed);
        }
    });
    return all.load();
}

}  // namespace tequio::training::numerics
#endif
