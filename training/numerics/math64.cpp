#include "training/numerics/math64.hpp"

#include <bit>
#include <cmath>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::training::numerics {

namespace {

/// c[0] + c[1] x + ... , by Horner.
template <std::size_t N>
double polynomial(const double (&c)[N], double x) {
    double y = c[N - 1];
    for (std::size_t i = N - 1; i-- > 0;) y = fused(y, x, c[i]);
    return y;
}

/// sin(y) and cos(y) by Taylor for |y| <= pi / 4; the rest is below 2^-62.
double near_sine(double y) {
    constexpr double c[] = {-1.0 / 6,
                            1.0 / 120,
                            -1.0 / 5040,
                            1.0 / 362880,
                            -1.0 / 39916800,
                            1.0 / 6227020800.0,
                            -1.0 / 1307674368000.0,
                            1.0 / 355687428096000.0};
    return fused(y * (y * y), polynomial(c, y * y), y);
}
double near_cosine(double y) {
    constexpr double c[] = {-1.0 / 2,
                            1.0 / 24,
                            -1.0 / 720,
                            1.0 / 40320,
                            -1.0 / 3628800,
                            1.0 / 479001600,
                            -1.0 / 87178291200.0,
                            1.0 / 20922789888000.0,
                            -1.0 / 6402373705728000.0};
    return fused(y * y, polynomial(c, y * y), 1.0);
}

constexpr double ln2_high = 6.93147180369123816490e-01;  // fdlibm's split
constexpr double ln2_low = 1.90821492927058770002e-10;

}  // namespace

double exp64(double x) {
    base::ensure(x >= -700.0 && x <= 700.0, "exp64 takes [-700, 700]");
    constexpr double magic = 0x1.8p52;
    const double shifted = fused(x, 1.44269504088896338700, magic);
    const double n = shifted - magic;
    const double r = fused(n, -ln2_low, fused(n, -ln2_high, x));
    // Taylor to r^13; the rest is below 5e-18 for |r| <= ln 2 / 2.
    constexpr double c[] = {1.0 / 2,       1.0 / 6,        1.0 / 24,        1.0 / 120,
                            1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                            1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};
    const double p = fused(r * r, polynomial(c, r), r) + 1.0;
    return std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) +
                                 (std::bit_cast<std::uint64_t>(shifted) << 52));
}

double log64(double x) {
    base::ensure(x >= 0x1p-1022 && x <= 0x1.fffffffffffffp1023, "log64 takes positive normals");
    const auto bits = std::bit_cast<std::uint64_t>(x);
    auto exponent = static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1022);
    double mantissa = std::bit_cast<double>((bits & 0x000fffffffffffffULL) | 0x3fe0000000000000ULL);
    if (mantissa < 0.70710678118654752440) {
        exponent = exponent - 1.0;
        mantissa = mantissa + mantissa;
    }
    // fdlibm e_log.c: log(1 + f) = f - (f^2 / 2 - s (f^2 / 2 + R)), s = f / (2 + f).
    constexpr double c[] = {6.666666666666735130e-01, 3.999999999940941908e-01,
                            2.857142874366239149e-01, 2.222219843214978396e-01,
                            1.818357216161805012e-01, 1.531383769920937332e-01,
                            1.479819860511658591e-01};
    const double f = mantissa - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
    const double rest = z * polynomial(c, z);
    const double half = 0.5 * f * f;
    return exponent * ln2_high - ((half - (s * (half + rest) + exponent * ln2_low)) - f);
}

double cos_pi64(double x) {
    base::ensure(x >= 0.0 && x <= 1.0, "cos_pi64 takes [0, 1]");
    if (x > 0.5) return -cos_pi64(1.0 - x);
    constexpr double pi = 3.14159265358979311600;
    return x > 0.25 ? near_sine((0.5 - x) * pi) : near_cosine(x * pi);
}

sine_cosine sin_cos64(double x) {
    base::ensure(x >= 0.0 && x <= 0x1p20, "sin_cos64 takes [0, 2^20]");
    // x = n pi/2 + y, |y| <= pi/4, with pi/2 in two parts; the third would be below 2^-87 here.
    constexpr double half_pi_high = 1.57079632679489655800;
    constexpr double half_pi_low = 6.12323399573676603587e-17;
    constexpr double magic = 0x1.8p52;
    const double shifted = fused(x, 0.636619772367581343076, magic);
    const double n = shifted - magic;
    const double y = fused(n, -half_pi_low, fused(n, -half_pi_high, x));
    const double sine = near_sine(y);
    const double cosine = near_cosine(y);
    switch (std::bit_cast<std::uint64_t>(shifted) & 3) {
        case 0:
            return {sine, cosine};
        case 1:
            return {cosine, -sine};
        case 2:
            return {-sine, -cosine};
        default:
            return {-cosine, sine};
    }
}

double power64(double base, std::uint64_t exponent) {
    double y = 1.0;
    for (std::uint64_t i = 0; i < exponent; ++i) y = y * base;
    return y;
}

double inverse_normal64(double p) {
    base::ensure(p > 0.0 && p < 1.0, "inverse_normal64 takes (0, 1)");
    constexpr double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                            1.9715909503065514427e+3, 1.3731693765509461125e+4,
                            4.5921953931549871457e+4, 6.7265770927008700853e+4,
                            3.3430575583588128105e+4, 2.5090809287301226727e+3};
    constexpr double b[] = {1.0,
                            4.2313330701600911252e+1,
                            6.8718700749205790830e+2,
                            5.3941960214247511077e+3,
                            2.1213794301586595867e+4,
                            3.9307895800092710610e+4,
                            2.8729085735721942674e+4,
                            5.2264952788528545610e+3};
    constexpr double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                            5.76949722146069140550e0,  3.64784832476320460504e0,
                            1.27045825245236838258e0,  2.41780725177450611770e-1,
                            2.27238449892691845833e-2, 7.74545014278341407640e-4};
    constexpr double d[] = {1.0,
                            2.05319162663775882187e0,
                            1.67638483018380384940e0,
                            6.89767334985100004550e-1,
                            1.48103976427480074590e-1,
                            1.51986665636164571966e-2,
                            5.47593808499534494600e-4,
                            1.05075007164441684324e-9};
    constexpr double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                            1.78482653991729133580e0,  2.96560571828504891230e-1,
                            2.65321895265761230930e-2, 1.24266094738807843860e-3,
                            2.71155556874348757815e-5, 2.01033439929228813265e-7};
    constexpr double f[] = {1.0,
                            5.99832206555887937690e-1,
                            1.36929880922735805310e-1,
                            1.48753612908506148525e-2,
                            7.86869131145613259100e-4,
                            1.84631831751005468180e-5,
                            1.42151175831644588870e-7,
                            2.04426310338993978564e-15};
    const double q = p - 0.5;
    if (q <= 0.425 && q >= -0.425) {
        const double r = 0.180625 - q * q;
        return q * polynomial(a, r) / polynomial(b, r);
    }
    const double r = std::sqrt(-log64(q < 0.0 ? p : 1.0 - p));
    const double z = r <= 5.0 ? polynomial(c, r - 1.6) / polynomial(d, r - 1.6)
                              : polynomial(e, r - 5.0) / polynomial(f, r - 5.0);
    return q < 0.0 ? -z : z;
}

}  // namespace tequio::training::numerics
