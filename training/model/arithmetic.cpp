#include "training/arithmetic.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/ensure.hpp"
#include "training/numerics/environment.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/target.hpp"

namespace tequio::training {
namespace {

numerics::simd_target target_called(std::string_view name) {
    if (name == numerics::target_name(numerics::simd_target::reference)) {
        return numerics::simd_target::reference;
    }
    const auto all = numerics::available_targets();
    const auto found = std::find_if(all.begin(), all.end(), [&](numerics::simd_target target) {
        return numerics::target_name(target) == name;
    });
    base::ensure(found != all.end(), "kernels are chosen that this machine has");
    return *found;
}

/// A linear congruential generator (Numerical Recipes' constants), scaled to below 1/2.
std::vector<float> operand(std::size_t size, std::uint32_t x) {
    std::vector<float> out(size);
    for (auto& value : out) {
        x = x * 1664525u + 1013904223u;
        value = static_cast<float>(static_cast<std::int32_t>(x >> 8) - (1 << 23)) * 0x1p-24f;
    }
    return out;
}

bool same_bits(float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
}

/// The first, the last and up to `count` in all of [0, n), scattered so that every place in a tile
/// has its turn; n > 0.
std::vector<std::size_t> sample(std::size_t n, std::size_t count) {
    std::vector<std::size_t> out{0};
    if (n > 1) out.push_back(n - 1);
    std::uint32_t x = 3;
    while (out.size() < std::min(n, count)) {
        x = x * 1664525u + 1013904223u;
        out.push_back(x % n);
    }
    return out;
}

}  // namespace

void prepare_compute_thread() {
    numerics::set_float_environment();
}

bool compute_thread_is_fit() {
    return numerics::float_environment_ok();
}

base::result<void> probe_arithmetic() {
    return numerics::probe_float_environment();
}

kernel_choice::kernel_choice(std::string_view target)
    : before_(static_cast<int>(numerics::active_target())) {
    numerics::set_target(target_called(target));
}

kernel_choice::~kernel_choice() {
    numerics::set_target(static_cast<numerics::simd_target>(before_));
}

struct product_bench::parts {
    numerics::gemm_options options;
    numerics::gemm_shape shape;
    executor& run;
    std::vector<float> a, b, c;
    std::vector<std::byte> workspace;

    numerics::matrix_in left() const {
        return {a.data(), options.form == numerics::gemm_form::tn ? shape.m : shape.k};
    }
    numerics::matrix_in right() const {
        return {b.data(), options.form == numerics::gemm_form::nt ? shape.k : shape.n};
    }
    bool row_is_same(std::size_t i) const {
        auto row = left();
        row.data += options.form == numerics::gemm_form::tn ? i : i * row.stride;
        std::vector<float> plain(shape.n);
        numerics::gemm_reference(options, {1, shape.n, shape.k}, row, right(),
                                 {plain.data(), shape.n});
        return std::equal(plain.begin(), plain.end(), c.begin() + i * shape.n, same_bits);
    }
    bool column_is_same(std::size_t j) const {
        auto column = right();
        column.data += options.form == numerics::gemm_form::nt ? j * column.stride : j;
        std::vector<float> plain(shape.m);
        numerics::gemm_reference(options, {shape.m, 1, shape.k}, left(), column, {plain.data(), 1});
        for (std::size_t i = 0; i < shape.m; ++i) {
            if (!same_bits(plain[i], c[i * shape.n + j])) return false;
        }
        return true;
    }
};

product_bench::product_bench(product_form form, std::size_t m, std::size_t n, std::size_t k,
                             executor& run) {
    const auto kernel_form = form == product_form::nn   ? numerics::gemm_form::nn
                             : form == product_form::nt ? numerics::gemm_form::nt
                                                        : numerics::gemm_form::tn;
    numerics::gemm_options options;
    options.form = kernel_form;
    const numerics::gemm_shape shape{m, n, k};
    const auto workspace = numerics::gemm_workspace_bytes(shape, run.threads());
    parts_.reset(new parts{options, shape, run, operand(m * k, 1), operand(k * n, 2),
                           std::vector<float>(m * n), std::vector<std::byte>(workspace)});
}

product_bench::~product_bench() = default;

void product_bench::once() {
    auto& p = *parts_;
    numerics::gemm(p.options, p.shape, p.left(), p.right(), {p.c.data(), p.shape.n}, p.workspace,
                   p.run);
}

product_check product_bench::check(std::uint64_t multiply_adds_max) const {
    const auto& p = *parts_;
    const auto row_cost = std::max<std::size_t>(1, p.shape.n * p.shape.k);
    const auto column_cost = std::max<std::size_t>(1, p.shape.m * p.shape.k);
    product_check out;
    if (p.shape.m <= multiply_adds_max / row_cost) {
        out.rows = p.shape.m;
        for (std::size_t i = 0; i < p.shape.m; ++i) out.same = out.same && p.row_is_same(i);
        return out;
    }
    const auto rows = sample(p.shape.m, multiply_adds_max / 2 / row_cost);
    const auto columns = sample(p.shape.n, multiply_adds_max / 2 / column_cost);
    for (const std::size_t i : rows) out.same = out.same && p.row_is_same(i);
    for (const std::size_t j : columns) out.same = out.same && p.column_is_same(j);
    out.rows = rows.size();
    out.columns = columns.size();
    return out;
}

const float* product_bench::left() const {
    return parts_->a.data();
}

const float* product_bench::right() const {
    return parts_->b.data();
}

double product_bench::flops() const {
    const auto& shape = parts_->shape;
    return 2.0 * static_cast<double>(shape.m) * static_cast<double>(shape.n) *
           static_cast<double>(shape.k);
}

}  // namespace tequio::training
