#include <algorithm>
#include <array>
#include <cmath>

#include "base/ensure.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/reduce.hpp"

namespace tequio::training::numerics {

namespace {

constexpr std::size_t ways = 32;
constexpr std::size_t norm_chunk = 65536;

/// The end of the 32-way rule.
template <class Real>
Real fold(std::array<Real, ways>& s) {
    for (std::size_t half = ways / 2; half > 1; half /= 2) {
        for (std::size_t j = 0; j < half; ++j) s[j] = s[j] + s[j + half];
    }
    return (s[0] + s[1]) + Real{0};
}

}  // namespace

float sum_reference(std::span<const float> x) {
    std::array<float, ways> s{};
    const std::size_t padded = (x.size() + ways - 1) / ways * ways;
    for (std::size_t i = 0; i < padded; ++i)
        s[i % ways] = s[i % ways] + (i < x.size() ? x[i] : 0.0F);
    return fold(s);
}

float dot_reference(std::span<const float> x, std::span<const float> y) {
    base::ensure(x.size() == y.size(), "dot takes two arrays of one size");
    std::array<float, ways> s{};
    const std::size_t padded = (x.size() + ways - 1) / ways * ways;
    for (std::size_t i = 0; i < padded; ++i) {
        const bool inside = i < x.size();
        s[i % ways] = fused(inside ? x[i] : 0.0F, inside ? y[i] : 0.0F, s[i % ways]);
    }
    return fold(s);
}

double wide_sum(std::span<const float> x) {
    std::array<double, ways> s{};
    for (std::size_t i = 0; i < x.size(); ++i) s[i % ways] = s[i % ways] + double{x[i]};
    return fold(s);
}

double square_sum_reference(std::span<const float> x) {
    double total = 0.0;
    for (std::size_t chunk = 0; chunk < x.size(); chunk += norm_chunk) {
        const std::size_t n = std::min(norm_chunk, x.size() - chunk);
        std::array<double, ways> s{};
        for (std::size_t i = 0; i < n; ++i) {
            const double value = double{x[chunk + i]};
            s[i % ways] = s[i % ways] + value * value;
        }
        total = total + fold(s);
    }
    return total;
}

void column_sums_reference(matrix_in x, std::size_t rows, std::size_t columns, bool accumulate,
                           float* out) {
    for (std::size_t j = 0; j < columns; ++j) {
        float total = accumulate ? out[j] : 0.0F;
        for (std::size_t panel = 0; panel < rows; panel += panel_length) {
            const std::size_t end = std::min(rows, panel + panel_length);
            float acc = 0.0F;
            for (std::size_t i = panel; i < end; ++i) acc = acc + x.data[i * x.stride + j];
            total = total + acc;
        }
        out[j] = total;
    }
}

}  // namespace tequio::training::numerics
