#include "training/numerics/vector_targets.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "training/numerics/math.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "base/ensure.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/vector_math_inl.hpp"

#if TEQUIO_VECTOR_TARGET
HWY_BEFORE_NAMESPACE();
namespace tequio::training::numerics::HWY_NAMESPACE {

void exp_range(const float* x, float* out, std::size_t n) {
    map(
        n, out, [](vector a) HWY_ATTR { return exp(a); }, x);
}
void softmax_exp_range(const float* x, float* out, std::size_t n) {
    map_bundles(
        n, out, [](const auto& a) HWY_ATTR { return softmax_exp(a); }, x);
}
void log_range(const float* x, float* out, std::size_t n) {
    map(
        n, out, [](vector a) HWY_ATTR { return log(a); }, x);
}
void tanh_range(const float* x, float* out, std::size_t n) {
    map(
        n, out, [](vector a) HWY_ATTR { return tanh(a); }, x);
}

}  // namespace tequio::training::numerics::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tequio::training::numerics {

void exp(std::span<const float> x, std::span<float> out) {
    base::ensure(x.size() == out.size(), "exp takes arrays of one size");
    TEQUIO_RETURN_VECTOR(exp_range(x.data(), out.data(), x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = exp_reference(x[i]);
}

void softmax_exp(std::span<const float> x, std::span<float> out) {
    base::ensure(x.size() == out.size(), "softmax_exp takes arrays of one size");
    TEQUIO_RETURN_VECTOR(softmax_exp_range(x.data(), out.data(), x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = softmax_exp_reference(x[i]);
}

void log(std::span<const float> x, std::span<float> out) {
    base::ensure(x.size() == out.size(), "log takes arrays of one size");
    TEQUIO_RETURN_VECTOR(log_range(x.data(), out.data(), x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = log_reference(x[i]);
}

void tanh(std::span<const float> x, std::span<float> out) {
    base::ensure(x.size() == out.size(), "tanh takes arrays of one size");
    TEQUIO_RETURN_VECTOR(tanh_range(x.data(), out.data(), x.size()));
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = tanh_reference(x[i]);
}

}  // namespace tequio::training::numerics
#endif
