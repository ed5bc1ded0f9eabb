// Our own functions: error bounds against long double, special values, equal bits on every target.

#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/math.hpp"
#include "training/numerics/math64.hpp"

namespace tequio::tests {
namespace {

/// |found - wanted| in units in the last place of float32 at `wanted`.
long double ulps(float found, long double wanted) {
    const int exponent = std::max(std::ilogb(wanted), -126);
    return std::fabs(static_cast<long double>(found) - wanted) / std::scalbn(1.0L, exponent - 23);
}

long double ulps64(double found, long double wanted) {
    const int exponent = std::max(std::ilogb(wanted), -1022);
    return std::fabs(static_cast<long double>(found) - wanted) / std::scalbn(1.0L, exponent - 52);
}

/// `count` floats from low to high, evenly spaced in their bits (same sign).
std::vector<float> dense(float low, float high, std::size_t count) {
    const auto first = std::bit_cast<std::uint32_t>(std::min(std::fabs(low), std::fabs(high)));
    const auto last = std::bit_cast<std::uint32_t>(std::max(std::fabs(low), std::fabs(high)));
    std::vector<float> out;
    const double step = static_cast<double>(last - first) / static_cast<double>(count);
    for (std::size_t i = 0; i <= count; ++i) {
        const float x =
            std::bit_cast<float>(first + static_cast<std::uint32_t>(step * static_cast<double>(i)));
        out.push_back(low < 0.0F ? -x : x);
    }
    return out;
}

using vector_form = void (*)(std::span<const float>, std::span<float>);
using scalar_form = float (*)(float);

void same_on_every_target(const char* name, const std::vector<float>& x, scalar_form scalar,
                          vector_form vector) {
    std::vector<float> wanted(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) wanted[i] = scalar(x[i]);
    on_every_target([&] {
        std::vector<float> found(x.size());
        vector(x, found);
        require_same(name, found, wanted);
    });
}

/// Checks the bound on dense samples and the bits on every target; prints the largest error.
void check(const char* name, const std::vector<float>& x, scalar_form scalar, vector_form vector,
           long double (*exact)(long double), long double bound) {
    long double worst = 0.0L;
    for (const float value : x) {
        const long double error = ulps(scalar(value), exact(static_cast<long double>(value)));
        if (error > worst) worst = error;
    }
    std::printf("%s: %zu samples, at most %.3Lf ulp\n", name, x.size(), worst);
    BOOST_TEST(worst <= bound);
    same_on_every_target(name, x, scalar, vector);
}

constexpr float infinity = std::numeric_limits<float>::infinity();

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_math)

BOOST_AUTO_TEST_CASE(exp_keeps_its_bound) {
    check("exp, negative", dense(-87.0F, -0x1p-30F, 200'000), numerics::exp_reference,
          numerics::exp, expl, 1.1L);
    check("exp, positive", dense(0x1p-30F, 88.7F, 200'000), numerics::exp_reference, numerics::exp,
          expl, 1.1L);
    check("softmax_exp", dense(-40.0F, -0x1p-20F, 100'000), numerics::softmax_exp_reference,
          numerics::softmax_exp, expl, 1.1L);
}

BOOST_AUTO_TEST_CASE(log_keeps_its_bound) {
    check("log", dense(0x1p-126F, 0x1.fffffep127F, 200'000), numerics::log_reference, numerics::log,
          logl, 1.5L);
    check("log near one", dense(0.5F, 2.0F, 200'000), numerics::log_reference, numerics::log, logl,
          1.5L);
}

BOOST_AUTO_TEST_CASE(tanh_keeps_its_bound) {
    check("tanh, positive", dense(0x1p-60F, 30.0F, 300'000), numerics::tanh_reference,
          numerics::tanh, tanhl, 2.0L);
    check("tanh, negative", dense(-30.0F, -0x1p-60F, 100'000), numerics::tanh_reference,
          numerics::tanh, tanhl, 2.0L);
}

BOOST_AUTO_TEST_CASE(special_values_are_what_the_headers_say) {
    using namespace numerics;
    BOOST_TEST(exp_reference(0.0F) == 1.0F);
    BOOST_TEST(exp_reference(-87.1F) == 0.0F);
    BOOST_TEST(exp_reference(89.0F) == infinity);
    BOOST_TEST(exp_reference(-infinity) == 0.0F);
    BOOST_TEST(std::isnan(exp_reference(std::nanf(""))));
    BOOST_TEST(softmax_exp_reference(-40.0F) > 0.0F);
    BOOST_TEST(softmax_exp_reference(std::nextafter(-40.0F, -41.0F)) == 0.0F);
    BOOST_TEST(log_reference(1.0F) == 0.0F);
    BOOST_TEST(log_reference(0.0F) == -infinity);
    BOOST_TEST(log_reference(infinity) == infinity);
    BOOST_TEST(std::isnan(log_reference(-1.0F)));
    BOOST_TEST(tanh_reference(infinity) == 1.0F);
    BOOST_TEST(tanh_reference(-infinity) == -1.0F);
    BOOST_TEST(std::signbit(tanh_reference(-0.0F)));
    const std::vector<float> odd = {0.0F,      -0.0F,   0x1p-149F, -0x1p-149F, 0x1p-126F, infinity,
                                    -infinity, -87.0F,  -87.01F,   88.72F,     88.73F,    -40.0F,
                                    -40.001F,  -1.0F,   1.0F,      0.625F,     0.624F,    20.0F,
                                    20.1F,     1000.0F, -1000.0F,  0x1p-127F};
    same_on_every_target("exp", odd, exp_reference, numerics::exp);
    same_on_every_target(
        "log", odd, [](float x) { return x < 0.0F ? 0.0F : log_reference(x); },
        [](std::span<const float> x, std::span<float> out) {
            numerics::log(x, out);
            // The bits of a NaN are not promised.
            for (std::size_t i = 0; i < x.size(); ++i) {
                if (x[i] < 0.0F) out[i] = std::isnan(out[i]) ? 0.0F : 1.0F;
            }
        });
    same_on_every_target("tanh", odd, tanh_reference, numerics::tanh);
    on_every_target([&] {
        const std::vector<float> in(20, std::nanf(""));
        std::vector<float> out(20);
        for (const vector_form f :
             {numerics::exp, numerics::softmax_exp, numerics::log, numerics::tanh}) {
            f(in, out);
            for (const float x : out) BOOST_REQUIRE(std::isnan(x));
        }
    });
}

BOOST_AUTO_TEST_CASE(float64_functions_keep_their_bounds) {
    long double worst_exp = 0.0L, worst_log = 0.0L, worst_cos = 0.0L;
    base::rng rng = numerics_rng("math64");
    for (int i = 0; i < 100'000; ++i) {
        const double unit = static_cast<double>(rng.next() >> 11) * 0x1p-53;
        const double x = unit * 1400.0 - 700.0;
        worst_exp =
            std::max(worst_exp, ulps64(numerics::exp64(x), expl(static_cast<long double>(x))));
        const double y = std::scalbn(0.5 + unit, static_cast<int>(rng.below(200)) - 100);
        worst_log =
            std::max(worst_log, ulps64(numerics::log64(y), logl(static_cast<long double>(y))));
        const double z = 0.5 + unit;
        worst_log =
            std::max(worst_log, ulps64(numerics::log64(z), logl(static_cast<long double>(z))));
        const long double exact =
            cosl(3.14159265358979323846264338328L * static_cast<long double>(unit));
        worst_cos = std::max(worst_cos,
                             std::fabs(static_cast<long double>(numerics::cos_pi64(unit)) - exact));
    }
    std::printf("exp64 %.3Lf ulp, log64 %.3Lf ulp, cos_pi64 %.3Lg absolute\n", worst_exp, worst_log,
                worst_cos);
    BOOST_TEST(worst_exp <= 1.0L);
    BOOST_TEST(worst_log <= 1.5L);
    BOOST_TEST(worst_cos <= 0x1p-52L);
    BOOST_TEST(numerics::cos_pi64(0.0) == 1.0);
    BOOST_TEST(numerics::cos_pi64(0.5) == 0.0);
    BOOST_TEST(numerics::cos_pi64(1.0) == -1.0);
    BOOST_TEST(numerics::power64(0.5, 10) == 0x1p-10);
    BOOST_TEST(numerics::power64(0.9, 0) == 1.0);
}

BOOST_AUTO_TEST_CASE(sine_and_cosine_keep_their_bound) {
    long double worst = 0.0L;
    const auto see = [&](double x) {
        const auto found = numerics::sin_cos64(x);
        const auto exact = static_cast<long double>(x);
        worst = std::max({worst, std::fabs(static_cast<long double>(found.sine) - sinl(exact)),
                          std::fabs(static_cast<long double>(found.cosine) - cosl(exact))});
    };
    base::rng rng = numerics_rng("sin_cos64");
    for (int i = 0; i < 100'000; ++i) {
        const double unit = static_cast<double>(rng.next() >> 11) * 0x1p-53;
        see(unit);
        see(unit * 0x1p10);
        see(unit * 0x1p20);
        // Near the borders of the quadrants, where the reduction has most to lose.
        const double border = static_cast<double>(rng.below(667'544)) * 1.5707963267948966;
        see(border);
        see(std::nextafter(border, 0.0));
        see(border * (1.0 + 0x1p-40 * unit));
    }
    std::printf("sin_cos64 %.3Lg absolute\n", worst);
    BOOST_TEST(worst <= 0x1p-52L);
    BOOST_TEST(numerics::sin_cos64(0.0).sine == 0.0);
    BOOST_TEST(numerics::sin_cos64(0.0).cosine == 1.0);
}

BOOST_AUTO_TEST_CASE(inverse_normal_inverts_the_distribution) {
    const auto below = [](long double z) { return 0.5L * erfcl(-z / sqrtl(2.0L)); };
    for (int i = 1; i < 4000; ++i) {
        for (const double p :
             {i / 4000.0, std::scalbn(1.0, -33) * (2 * i + 1), 1.0 - std::scalbn(i, -32)}) {
            const double z = numerics::inverse_normal64(p);
            const long double density = expl(-0.5L * z * z) / sqrtl(2.0L * 3.14159265358979323846L);
            const long double error = (below(z) - static_cast<long double>(p)) / density;
            BOOST_REQUIRE(std::fabs(error) <=
                          1e-14L * std::max(1.0L, std::fabs(static_cast<long double>(z))));
        }
    }
    BOOST_TEST(numerics::inverse_normal64(0.5) == 0.0);
    BOOST_TEST(numerics::inverse_normal64(0x1p-33) == -numerics::inverse_normal64(1.0 - 0x1p-33));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
