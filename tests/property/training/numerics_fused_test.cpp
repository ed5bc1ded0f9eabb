// Kernels that do the work of several in one pass, bit for bit against their definitions: what the
// several would give.

#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/adamw.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/layernorm.hpp"

namespace tequio::tests {
namespace {

constexpr std::size_t widths[] = {1, 7, 16, 31, 32, 33, 64, 100, 130};

/// A workspace of exactly that size whose old contents must not matter.
std::vector<std::byte> spoilt_workspace(std::size_t bytes) {
    return std::vector<std::byte>(bytes, std::byte{0xff});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_fused)

BOOST_AUTO_TEST_CASE(residual_and_layernorm_match_the_reference) {
    base::rng rng = numerics_rng("residual_layernorm");
    for (const hostile kind : all_hostile) {
        for (const std::size_t width : widths) {
            const std::size_t rows = 1 + rng.below(11);
            const std::size_t all = rows * width;
            const auto x = hostile_numbers(kind, rng, all);
            const auto residual = hostile_numbers(kind, rng, all);
            const auto bias = hostile_numbers(hostile::mixed, rng, width);
            const auto gain = hostile_numbers(hostile::mixed, rng, width);
            const auto offset = hostile_numbers(hostile::plain, rng, width);
            std::vector<float> sum(all), out(all), mean(rows), deviation(rows);
            numerics::residual_layernorm_forward_reference(
                x.data(), bias.data(), residual.data(), sum.data(), gain.data(), offset.data(),
                out.data(), mean.data(), deviation.data(), rows, width);
            everywhere([&](training::executor& run) {
                fenced in(x, 1), other(residual, 2), found(all, 3), norm(all, 1), m(rows, 0),
                    r(rows, 2);
                numerics::residual_layernorm_forward(
                    in.data(), bias.data(), other.data(), found.data(), gain.data(), offset.data(),
                    norm.data(), m.data(), r.data(), rows, width, run);
                require_same("sum", found.span(), sum);
                require_same("norm", norm.span(), out);
                require_same("mean", m.span(), mean);
                require_same("deviation", r.span(), deviation);
                numerics::residual_layernorm_forward(
                    in.data(), bias.data(), other.data(), other.data(), gain.data(), offset.data(),
                    norm.data(), m.data(), r.data(), rows, width, run);
                require_same("sum in place of the residual", other.span(), sum);
                require_same("norm of a sum in place", norm.span(), out);
                BOOST_REQUIRE(found.intact() && norm.intact() && other.intact());
            });
        }
    }
}

BOOST_AUTO_TEST_CASE(layernorm_backward_and_its_sums_match_the_reference) {
    base::rng rng = numerics_rng("layernorm_sums");
    for (const std::size_t rows : {0U, 1U, 3U, 255U, 256U, 257U, 700U, 900U}) {
        const std::size_t width = widths[rng.below(std::size(widths))];
        const std::size_t all = rows * width;
        const hostile kind = all_hostile[rng.below(all_hostile.size())];
        const auto x = hostile_numbers(kind, rng, all);
        const auto gain = hostile_numbers(hostile::mixed, rng, width);
        const auto dout = hostile_numbers(hostile::mixed, rng, all);
        const auto residual = hostile_numbers(hostile::plain, rng, all);
        const auto mean = hostile_numbers(hostile::plain, rng, rows);
        const auto deviation = hostile_numbers(hostile::mixed, rng, rows);
        const auto old = hostile_numbers(hostile::plain, rng, width);
        for (const bool accumulate : {false, true}) {
            const bool with_residual = rng.below(2) == 0;
            const bool with_sums = rng.below(3) != 0;
            std::vector<float> dx(all), dgain = old, doffset = old, sums = old;
            numerics::layernorm_backward_and_sums_reference(
                x.data(), gain.data(), mean.data(), deviation.data(), dout.data(),
                with_residual ? residual.data() : nullptr, dx.data(),
                {dgain.data(), doffset.data(), with_sums ? sums.data() : nullptr, accumulate}, rows,
                width);
            everywhere([&](training::executor& run) {
                // In place of the residual, or of dout when there is none.
                fenced place(with_residual ? residual : dout, 3), my_gain(old, 1),
                    my_offset(old, 2), my_sums(old, 3);
                auto workspace = spoilt_workspace(numerics::layernorm_workspace_bytes(rows, width));
                numerics::layernorm_backward_and_sums(
                    x.data(), gain.data(), mean.data(), deviation.data(),
                    with_residual ? dout.data() : place.data(),
                    with_residual ? place.data() : nullptr, place.data(),
                    {my_gain.data(), my_offset.data(), with_sums ? my_sums.data() : nullptr,
                     accumulate},
                    rows, width, workspace, run);
                require_same("dx", place.span(), dx);
                require_same("dgain", my_gain.span(), dgain);
                require_same("doffset", my_offset.span(), doffset);
                require_same("dx sums", my_sums.span(), sums);
                BOOST_REQUIRE(place.intact() && my_gain.intact() && my_sums.intact());
            });
        }
    }
}

BOOST_AUTO_TEST_CASE(gelu_backward_with_its_bias_matches_the_reference) {
    base::rng rng = numerics_rng("gelu_bias");
    for (const std::size_t rows : {0U, 1U, 255U, 256U, 600U, 800U}) {
        const std::size_t columns =
            rows == 255 ? 400 : widths[rng.below(std::size(widths))];  // several blocks of columns
        const hostile kind = all_hostile[rng.below(all_hostile.size())];
        const auto x = hostile_numbers(kind, rng, rows * columns);
        const auto bias = hostile_numbers(kind, rng, columns);
        const auto dout = hostile_numbers(hostile::mixed, rng, rows * columns);
        const auto old = hostile_numbers(hostile::plain, rng, columns);
        for (const bool accumulate : {false, true}) {
            std::vector<float> dx(rows * columns), dbias = old;
            numerics::bias_gelu_backward_reference(
                x.data(), bias.data(), {dout.data(), dx.data(), dbias.data(), accumulate}, rows,
                columns);
            everywhere([&](training::executor& run) {
                fenced place(dout, 1), my_bias(old, 2);
                auto workspace =
                    spoilt_workspace(numerics::bias_gelu_workspace_bytes(rows, columns));
                numerics::bias_gelu_backward(
                    x.data(), bias.data(), {place.data(), place.data(), my_bias.data(), accumulate},
                    rows, columns, workspace, run);
                require_same("dx", place.span(), dx);
                require_same("dbias", my_bias.span(), dbias);
                BOOST_REQUIRE(place.intact() && my_bias.intact());
            });
        }
    }
}

BOOST_AUTO_TEST_CASE(sparse_rows_match_the_reference) {
    base::rng rng = numerics_rng("sparse_rows");
    for (const hostile kind : all_hostile) {
        for (const std::size_t width : widths) {
            const std::size_t vocabulary = 40;
            const std::size_t touched = 13;
            std::vector<std::uint32_t> slots(vocabulary, numerics::no_row);
            for (std::uint32_t row = 0; row < touched; ++row) slots[3 * row] = row;
            const auto rows = hostile_numbers(kind, rng, touched * width);
            const auto table = hostile_numbers(kind, rng, vocabulary * width);
            std::vector<float> sums = table;
            numerics::add_sparse_rows_reference(slots, rows.data(), sums.data(), width);
            for (training::executor* run : executors()) {
                fenced found(table, 1);
                numerics::add_sparse_rows(slots, rows.data(), found.data(), width, *run);
                require_same("add_sparse_rows", found.span(), sums);
                BOOST_REQUIRE(found.intact());
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(adamw_says_whether_new_weights_are_finite) {
    const auto scalars = numerics::adamw_step({}, 3e-4, 1, 1.0F);
    const float infinity = std::numeric_limits<float>::infinity();
    for (const std::size_t n : {5U, 32U, 40U, 70'000U}) {
        for (const std::size_t bad : {n, std::size_t{0}, n / 2, n - 1}) {
            for (const float value : {infinity, -infinity, std::nanf("")}) {
                std::vector<float> weight(n, 1.0F);
                std::vector<float> gradient(n, 0.5F);
                if (bad < n) gradient[bad] = value;
                everywhere([&](training::executor& run) {
                    std::vector<float> w = weight, m(n), v(n);
                    const bool found = numerics::adamw_update(
                        scalars, true, w.data(), gradient.data(), m.data(), v.data(), n, run);
                    // An infinite gradient makes infinity / infinity of its moments.
                    BOOST_REQUIRE(found == (bad == n));
                });
            }
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
