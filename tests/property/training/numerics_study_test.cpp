/// Arithmetics for studies: where they must agree with exact/1, and how far they may be from it.

#include <algorithm>
#include <cmath>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/study.hpp"

namespace tequio::tests {
namespace {

using namespace training::numerics;

struct study_product {
    gemm_shape shape{37, 41, 700};
    std::vector<float> a, b, c;

    explicit study_product(base::rng& rng)
        : a(shape.m * shape.k), b(shape.k * shape.n), c(shape.m * shape.n) {
        for (auto* values : {&a, &b, &c}) {
            for (std::size_t i = 0; i < values->size(); ++i) {
                (*values)[i] = hostile_number(hostile::mixed, rng, i);
            }
        }
    }
    matrix_in left(gemm_form form) const {
        return {a.data(), form == gemm_form::tn ? shape.m : shape.k};
    }
    matrix_in right(gemm_form form) const {
        return {b.data(), form == gemm_form::nt ? shape.k : shape.n};
    }
};

/// The definition with panels of any length.
std::vector<float> plain(const study_product& p, gemm_form form, std::size_t panel) {
    auto out = p.c;
    const auto a = p.left(form);
    const auto b = p.right(form);
    for (std::size_t i = 0; i < p.shape.m; ++i) {
        for (std::size_t j = 0; j < p.shape.n; ++j) {
            float& cell = out[i * p.shape.n + j];
            for (std::size_t first = 0; first < p.shape.k; first += panel) {
                float acc = 0.0F;
                for (std::size_t k = first; k < std::min(p.shape.k, first + panel); ++k) {
                    const float x =
                        form == gemm_form::tn ? a.data[k * a.stride + i] : a.data[i * a.stride + k];
                    const float y =
                        form == gemm_form::nt ? b.data[j * b.stride + k] : b.data[k * b.stride + j];
                    acc = std::fma(x, y, acc);
                }
                cell = cell + acc;
            }
        }
    }
    return out;
}

struct usual_arithmetic {
    ~usual_arithmetic() { set_study({}); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_study)

BOOST_AUTO_TEST_CASE(panels_of_other_lengths_follow_the_same_rule) {
    const usual_arithmetic at_the_end;
    auto rng = numerics_rng("study_panels");
    const study_product p(rng);
    thread_pool pool(2);
    std::vector<std::byte> workspace(gemm_workspace_bytes(p.shape, pool.threads()));
    for (const auto form : {gemm_form::nn, gemm_form::nt, gemm_form::tn}) {
        for (const std::size_t panel : {32U, 64U, 256U, 512U, 65536U}) {
            set_study({panel, false});
            auto c = p.c;
            gemm({.form = form, .accumulate = true}, p.shape, p.left(form), p.right(form),
                 {c.data(), p.shape.n}, workspace, pool);
            BOOST_TEST(c == plain(p, form, panel), boost::test_tools::per_element());
        }
    }
}

BOOST_AUTO_TEST_CASE(one_pass_attention_is_close_and_not_the_same) {
    auto rng = numerics_rng("study_attention");
    const attention_shape shape{
        .sequences = 2, .time = 150, .heads = 4, .head_width = 16, .group = 2};
    const std::size_t width = 64, stride = 3 * width;
    std::vector<float> qkv(shape.sequences * shape.time * stride);
    for (std::size_t i = 0; i < qkv.size(); ++i)
        qkv[i] = 2.0F * hostile_number(hostile::plain, rng, i);
    const attention_inputs in{qkv.data(), qkv.data() + width, qkv.data() + 2 * width, stride};
    const std::size_t tokens = shape.sequences * shape.time;
    std::vector<float> two(tokens * width), one(two.size());
    std::vector<float> m2(tokens * shape.heads), l2(m2.size()), m1(m2.size()), l1(m2.size());
    attention_forward_reference(shape, in, two.data(), {m2.data(), l2.data()});
    training::serial_executor run;
    study_attention_forward(shape, in, one.data(), {m1.data(), l1.data()}, run);
    BOOST_TEST(m1 == m2, boost::test_tools::per_element());
    float worst = 0;
    for (std::size_t i = 0; i < one.size(); ++i) worst = std::max(worst, std::abs(one[i] - two[i]));
    // Rounding alone: a few units in the last place of values below 2.
    BOOST_TEST(worst < 4e-6F);
    BOOST_TEST(worst > 0.0F);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
