// Elementwise, norm, embedding, loss, reduction and optimizer kernels on every target and thread
// count, bit for bit against their definitions.

#include <cmath>
#include <limits>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/adamw.hpp"
#include "training/numerics/cross_entropy.hpp"
#include "training/numerics/elementwise.hpp"
#include "training/numerics/embedding.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/gelu.hpp"
#include "training/numerics/layernorm.hpp"
#include "training/numerics/reduce.hpp"
#include "training/numerics/relu.hpp"

namespace tequio::tests {
BOOST_AUTO_TEST_SUITE(numerics_kernels)

BOOST_AUTO_TEST_CASE(flush_turns_what_is_small_and_negative_zero_into_zero) {
    struct row {
        float x, operand, other;  // flush, flush_subnormal
    };
    const row rows[] = {{-0.0F, 0, 0},
                        {-0x1p-149F, 0, 0},
                        {0x1.fffffcp-127F, 0, 0},
                        {0x1p-126F, 0, 0x1p-126F},
                        {-0x1.fffffep-49F, 0, -0x1.fffffep-49F},
                        {0x1p-48F, 0x1p-48F, 0x1p-48F},
                        {-0x1p-48F, -0x1p-48F, -0x1p-48F},
                        {1, 1, 1}};
    const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
    for (const auto& r : rows) {
        BOOST_TEST(bits(numerics::flush(r.x)) == bits(r.operand), r.x);
        BOOST_TEST(bits(numerics::flush_subnormal(r.x)) == bits(r.other), r.x);
    }
    BOOST_TEST(std::isnan(numerics::flush(std::nanf(""))));
}

BOOST_AUTO_TEST_CASE(elementwise_kernels_match_the_reference) {
    base::rng rng = numerics_rng("elementwise");
    over_lengths([&](hostile kind, std::size_t n) {
        const std::size_t rows = 3;
        const std::size_t all = rows * n;
        const auto x = hostile_numbers(kind, rng, all);
        const auto y = hostile_numbers(kind, rng, all);
        const auto bias = hostile_numbers(kind, rng, n);
        std::vector<float> sum(all), biased(all), joined(all), scaled(all);
        numerics::add_reference(x.data(), y.data(), sum.data(), all);
        numerics::add_bias_reference(x.data(), bias.data(), biased.data(), rows, n);
        numerics::add_bias_residual_reference(x.data(), bias.data(), y.data(), joined.data(), rows,
                                              n);
        numerics::scale_reference(x.data(), 0x1.8p-3F, scaled.data(), all);
        BOOST_REQUIRE(no_flushable(sum) && no_flushable(biased) && no_flushable(joined) &&
                      no_flushable(scaled));
        const std::size_t shift = rng.below(4);
        everywhere([&](training::executor& run) {
            fenced in(x, shift), other(y, 0), out(all, shift);
            numerics::add(in.data(), other.data(), out.data(), all, run);
            require_same("add", out.span(), sum);
            numerics::add_bias(in.data(), bias.data(), out.data(), rows, n, run);
            require_same("add_bias", out.span(), biased);
            numerics::add_bias_residual(in.data(), bias.data(), other.data(), out.data(), rows, n,
                                        run);
            require_same("add_bias_residual", out.span(), joined);
            numerics::flush_copy(in.data(), out.data(), all, run);
            BOOST_REQUIRE(no_flushable(out.span()));
            numerics::scale(in.data(), 0x1.8p-3F, in.data(), all, run);
            require_same("scale in place", in.span(), scaled);
            BOOST_REQUIRE(out.intact() && in.intact());
        });
    });
}

BOOST_AUTO_TEST_CASE(ranges_longer_than_a_task_match_the_reference) {
    base::rng rng = numerics_rng("long_ranges");
    const std::size_t n = 100'003;
    const auto x = hostile_numbers(hostile::mixed, rng, n);
    const auto y = hostile_numbers(hostile::plain, rng, n);
    std::vector<float> sum(n), gelu(n);
    numerics::add_reference(x.data(), y.data(), sum.data(), n);
    numerics::gelu_forward_reference(y.data(), gelu.data(), n);
    const double squares = numerics::square_sum_reference(x);
    everywhere([&](training::executor& run) {
        std::vector<float> out(n);
        numerics::add(x.data(), y.data(), out.data(), n, run);
        require_same("add", out, sum);
        numerics::gelu_forward(y.data(), out.data(), n, run);
        require_same("gelu", out, gelu);
        BOOST_REQUIRE(numerics::square_sum(x, run) == squares);
    });
}

BOOST_AUTO_TEST_CASE(gelu_matches_the_reference) {
    base::rng rng = numerics_rng("gelu");
    over_lengths([&](hostile kind, std::size_t n) {
        const auto x = hostile_numbers(kind, rng, 2 * n);
        const auto dy = hostile_numbers(hostile::mixed, rng, 2 * n);
        const auto bias = hostile_numbers(kind, rng, n);
        std::vector<float> out(2 * n), pre(2 * n), biased(2 * n), dx(2 * n);
        numerics::gelu_forward_reference(x.data(), out.data(), 2 * n);
        numerics::add_bias_reference(x.data(), bias.data(), pre.data(), 2, n);
        numerics::gelu_forward_reference(pre.data(), biased.data(), 2 * n);
        numerics::gelu_backward_reference(x.data(), dy.data(), dx.data(), 2 * n);
        BOOST_REQUIRE(no_flushable(out) && no_flushable(biased) && no_flushable(dx));
        everywhere([&](training::executor& run) {
            fenced found(2 * n, 1), in(x, 3);
            numerics::gelu_forward(x.data(), found.data(), 2 * n, run);
            require_same("gelu_forward", found.span(), out);
            numerics::bias_gelu_forward(in.data(), bias.data(), in.data(), 2, n, run);
            require_same("bias_gelu_forward", in.span(), biased);
            fenced gradient(dy, 2);
            numerics::gelu_backward(x.data(), gradient.data(), gradient.data(), 2 * n, run);
            require_same("gelu_backward", gradient.span(), dx);
            BOOST_REQUIRE(found.intact() && in.intact() && gradient.intact());
        });
    });
}

BOOST_AUTO_TEST_CASE(relu_matches_the_reference) {
    base::rng rng = numerics_rng("relu");
    over_lengths([&](hostile kind, std::size_t n) {
        const auto x = hostile_numbers(kind, rng, 3 * n);
        const auto dy = hostile_numbers(hostile::mixed, rng, 3 * n);
        const auto bias = hostile_numbers(kind, rng, n);
        std::vector<float> out(3 * n), dx(3 * n);
        numerics::bias_relu_forward_reference(x.data(), bias.data(), out.data(), 3, n);
        numerics::relu_backward_reference(out.data(), dy.data(), dx.data(), 3 * n);
        BOOST_REQUIRE(no_flushable(out) && no_flushable(dx));
        everywhere([&](training::executor& run) {
            fenced found(3 * n, 1), in_place(x, 2), gradient(dy, 3);
            numerics::bias_relu_forward(x.data(), bias.data(), found.data(), 3, n, run);
            require_same("bias_relu_forward", found.span(), out);
            numerics::bias_relu_forward(in_place.data(), bias.data(), in_place.data(), 3, n, run);
            require_same("bias_relu_forward in place", in_place.span(), out);
            numerics::relu_backward(found.data(), gradient.data(), gradient.data(), 3 * n, run);
            require_same("relu_backward", gradient.span(), dx);
            BOOST_REQUIRE(found.intact() && in_place.intact() && gradient.intact());
        });
    });
}

BOOST_AUTO_TEST_CASE(relu_is_zero_up_to_zero_and_lets_not_a_number_pass) {
    const float infinity = std::numeric_limits<float>::infinity();
    const std::vector<float> x{-1, -0.0F,    0,         0x1p-49F,     0x1p-48F,
                               2,  infinity, -infinity, std::nanf("")};
    const std::vector<float> bias(x.size(), 0.0F);
    const std::vector<float> wanted{0, 0, 0, 0, 0x1p-48F, 2, infinity, 0};
    const std::vector<float> ones(x.size(), 1.0F);
    const std::vector<float> slopes{0, 0, 0, 0, 1, 1, 1, 0};
    const auto check = [&](std::span<const float> out, std::span<const float> dx) {
        require_same("relu", out.first(wanted.size()), wanted);
        BOOST_TEST(std::isnan(out.back()));
        require_same("slope of relu", dx.first(slopes.size()), slopes);
    };
    std::vector<float> out(x.size()), dx(x.size());
    numerics::bias_relu_forward_reference(x.data(), bias.data(), out.data(), 1, x.size());
    numerics::relu_backward_reference(out.data(), ones.data(), dx.data(), x.size());
    check(out, dx);
    everywhere([&](training::executor& run) {
        numerics::bias_relu_forward(x.data(), bias.data(), out.data(), 1, x.size(), run);
        numerics::relu_backward(out.data(), ones.data(), dx.data(), x.size(), run);
        check(out, dx);
    });
}

BOOST_AUTO_TEST_CASE(layernorm_matches_the_reference) {
    base::rng rng = numerics_rng("layernorm");
    over_lengths([&](hostile kind, std::size_t width) {
        const std::size_t rows = 5;
        const auto x = hostile_numbers(kind, rng, rows * width);
        const auto gain = hostile_numbers(hostile::mixed, rng, width);
        const auto offset = hostile_numbers(hostile::plain, rng, width);
        const auto dy = hostile_numbers(hostile::mixed, rng, rows * width);
        const auto residual = hostile_numbers(hostile::plain, rng, rows * width);
        std::vector<float> out(rows * width), mean(rows), deviation(rows), dx(rows * width),
            alone(rows * width);
        numerics::layernorm_forward_reference(x.data(), gain.data(), offset.data(), out.data(),
                                              mean.data(), deviation.data(), rows, width);
        numerics::layernorm_backward_reference(x.data(), gain.data(), mean.data(), deviation.data(),
                                               dy.data(), residual.data(), dx.data(), rows, width);
        numerics::layernorm_backward_reference(x.data(), gain.data(), mean.data(), deviation.data(),
                                               dy.data(), nullptr, alone.data(), rows, width);
        everywhere([&](training::executor& run) {
            fenced found(rows * width, 1), in(x, 2), m(rows, 0), r(rows, 0), gradient(residual, 3);
            numerics::layernorm_forward(in.data(), gain.data(), offset.data(), found.data(),
                                        m.data(), r.data(), rows, width, run);
            require_same("layernorm out", found.span(), out);
            require_same("layernorm mean", m.span(), mean);
            require_same("layernorm deviation", r.span(), deviation);
            numerics::layernorm_backward(in.data(), gain.data(), m.data(), r.data(), dy.data(),
                                         gradient.data(), gradient.data(), rows, width, run);
            require_same("layernorm_backward", gradient.span(), dx);
            fenced in_place(dy, 1);
            numerics::layernorm_backward(in.data(), gain.data(), m.data(), r.data(),
                                         in_place.data(), nullptr, in_place.data(), rows, width,
                                         run);
            require_same("layernorm_backward without residual", in_place.span(), alone);
            BOOST_REQUIRE(found.intact() && gradient.intact() && in_place.intact());
        });
    });
}

BOOST_AUTO_TEST_CASE(column_sums_and_norm_gradients_match_the_reference) {
    base::rng rng = numerics_rng("columns");
    for (const std::size_t width : {1U, 7U, 16U, 65U, 130U, 200U}) {
        for (const std::size_t rows : {0U, 1U, 255U, 256U, 257U, 700U}) {
            const hostile kind = all_hostile[rng.below(all_hostile.size())];
            const auto x = hostile_numbers(kind, rng, rows * width);
            const auto dy = hostile_numbers(hostile::mixed, rng, rows * width);
            const auto mean = hostile_numbers(hostile::plain, rng, rows);
            const auto deviation = hostile_numbers(hostile::mixed, rng, rows);
            const auto old = hostile_numbers(hostile::plain, rng, width);
            for (const bool accumulate : {false, true}) {
                std::vector<float> sums = old, gain = old, offset = old;
                numerics::column_sums_reference({x.data(), width}, rows, width, accumulate,
                                                sums.data());
                numerics::layernorm_parameter_gradients_reference(
                    x.data(), mean.data(), deviation.data(), dy.data(), gain.data(), offset.data(),
                    rows, width, accumulate);
                everywhere([&](training::executor& run) {
                    fenced found(old, 1), my_gain(old, 2), my_offset(old, 3);
                    numerics::column_sums({x.data(), width}, rows, width, accumulate, found.data(),
                                          run);
                    require_same("column_sums", found.span(), sums);
                    numerics::layernorm_parameter_gradients(
                        x.data(), mean.data(), deviation.data(), dy.data(), my_gain.data(),
                        my_offset.data(), rows, width, accumulate, run);
                    require_same("dgain", my_gain.span(), gain);
                    require_same("doffset", my_offset.span(), offset);
                    BOOST_REQUIRE(found.intact() && my_gain.intact() && my_offset.intact());
                });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(sums_and_dots_match_the_reference) {
    base::rng rng = numerics_rng("sums");
    over_lengths([&](hostile kind, std::size_t n) {
        const auto x = hostile_numbers(kind, rng, n);
        const auto y = hostile_numbers(kind, rng, n);
        const float total = numerics::sum_reference(x);
        const float product = numerics::dot_reference(x, y);
        const double squares = numerics::square_sum_reference(x);
        on_every_target([&] {
            fenced in(x, 1), other(y, 3);
            training::serial_executor run;
            require_same("sum", std::array{numerics::sum(in.span())}, std::array{total});
            require_same("dot", std::array{numerics::dot(in.span(), other.span())},
                         std::array{product});
            BOOST_REQUIRE(numerics::square_sum(in.span(), run) == squares);
        });
    });
    BOOST_TEST(std::bit_cast<std::uint32_t>(numerics::sum({})) == 0U);
}

BOOST_AUTO_TEST_CASE(square_sums_of_many_chunks_add_in_order) {
    base::rng rng = numerics_rng("chunks");
    const auto x = hostile_numbers(hostile::mixed, rng, 65 * 65536 + 1234);
    const double wanted = numerics::square_sum_reference(x);
    everywhere(
        [&](training::executor& run) { BOOST_REQUIRE(numerics::square_sum(x, run) == wanted); });
}

BOOST_AUTO_TEST_CASE(embeddings_match_the_reference) {
    base::rng rng = numerics_rng("embedding");
    for (const std::size_t width : {1U, 15U, 64U, 131U}) {
        const std::size_t vocabulary = 11, time = 7, count = 21;
        std::vector<std::uint32_t> tokens(count);
        for (auto& token : tokens) token = static_cast<std::uint32_t>(rng.below(vocabulary));
        const auto table = hostile_numbers(hostile::subnormal, rng, vocabulary * width);
        const auto positions = hostile_numbers(hostile::subnormal, rng, time * width);
        const auto dx = hostile_numbers(hostile::mixed, rng, count * width);
        std::vector<float> out(count * width), plain(count * width);
        std::vector<float> dtable(vocabulary * width), dpositions(time * width);
        numerics::embed_reference(tokens, time, table.data(), positions.data(), out.data(), width);
        numerics::embed_reference(tokens, time, table.data(), nullptr, plain.data(), width);
        numerics::embed_backward_reference(tokens, dx.data(), dtable.data(), width);
        numerics::position_backward_reference(dx.data(), count, time, dpositions.data(), width);
        BOOST_REQUIRE(no_flushable(out) && no_flushable(plain));
        for (training::executor* run : executors()) {
            std::vector<float> found(count * width), table2(vocabulary * width),
                positions2(time * width);
            numerics::embed(tokens, time, table.data(), positions.data(), found.data(), width,
                            *run);
            require_same("embed", found, out);
            numerics::embed(tokens, time, table.data(), nullptr, found.data(), width, *run);
            require_same("embed without positions", found, plain);
            // Two calls in order are one sum.
            numerics::embed_backward(std::span(tokens).first(8), dx.data(), table2.data(), width,
                                     *run);
            numerics::embed_backward(std::span(tokens).subspan(8), dx.data() + 8 * width,
                                     table2.data(), width, *run);
            require_same("embed_backward", table2, dtable);
            numerics::position_backward(dx.data(), count, time, positions2.data(), width, *run);
            require_same("position_backward", positions2, dpositions);
        }
    }
}

BOOST_AUTO_TEST_CASE(cross_entropy_matches_the_reference) {
    base::rng rng = numerics_rng("cross_entropy");
    over_lengths([&](hostile kind, std::size_t vocabulary) {
        const std::size_t rows = 6;
        const std::size_t stride = vocabulary + rng.below(3);
        const auto logits = hostile_numbers(kind, rng, rows * stride);
        std::vector<std::uint32_t> targets(rows);
        for (auto& target : targets) target = static_cast<std::uint32_t>(rng.below(vocabulary));
        targets[2] = numerics::ignored_target;
        std::vector<float> gradient = logits, losses(rows);
        numerics::cross_entropy_reference(gradient.data(), stride, targets, vocabulary, 0x1p-8F,
                                          losses.data(), true);
        everywhere([&](training::executor& run) {
            fenced found(logits, 1), found_losses(rows, 0);
            numerics::cross_entropy(found.data(), stride, targets, vocabulary, 0x1p-8F,
                                    found_losses.data(), true, run);
            require_same("cross_entropy gradient", found.span(), gradient);
            require_same("cross_entropy losses", found_losses.span(), losses);
            BOOST_REQUIRE(found.intact());
            std::vector<float> again = logits, only_losses(rows);
            numerics::cross_entropy(again.data(), stride, targets, vocabulary, 1.0F,
                                    only_losses.data(), false, run);
            require_same("cross_entropy losses alone", only_losses, losses);
        });
    });
}

BOOST_AUTO_TEST_CASE(not_a_number_in_logits_shows_in_the_loss) {
    training::serial_executor run;
    for (const std::size_t place : {0U, 20U, 39U}) {
        std::vector<float> logits(40, 1.0F);
        logits[place] = std::nanf("");
        const std::array<std::uint32_t, 1> target{3};
        on_every_target([&] {
            std::vector<float> x = logits;
            float loss = 0.0F;
            numerics::cross_entropy(x.data(), 40, target, 40, 1.0F, &loss, true, run);
            BOOST_TEST(std::isnan(loss));
        });
    }
}

BOOST_AUTO_TEST_CASE(adamw_matches_the_reference) {
    base::rng rng = numerics_rng("adamw");
    over_lengths([&](hostile kind, std::size_t n) {
        const auto weight = hostile_numbers(hostile::plain, rng, n);
        const auto gradient = hostile_numbers(kind, rng, n);
        const auto first = hostile_numbers(kind, rng, n);
        auto second = hostile_numbers(hostile::mixed, rng, n);
        for (float& x : second) x = numerics::flush(x < 0.0F ? -x : x);
        const auto scalars = numerics::adamw_step({}, 3e-4, 1 + rng.below(30), 0.37F);
        for (const bool decay : {false, true}) {
            std::vector<float> w = weight, m = first, v = second;
            numerics::adamw_update_reference(scalars, decay, w.data(), gradient.data(), m.data(),
                                             v.data(), n);
            BOOST_REQUIRE(no_flushable(w) && no_flushable(m) && no_flushable(v));
            everywhere([&](training::executor& run) {
                fenced w2(weight, 1), m2(first, 2), v2(second, 3);
                numerics::adamw_update(scalars, decay, w2.data(), gradient.data(), m2.data(),
                                       v2.data(), n, run);
                require_same("weight", w2.span(), w);
                require_same("first", m2.span(), m);
                require_same("second", v2.span(), v);
                BOOST_REQUIRE(w2.intact() && m2.intact() && v2.intact());
            });
        }
    });
}

BOOST_AUTO_TEST_CASE(clip_scale_cuts_only_above_the_limit) {
    BOOST_TEST(numerics::clip_scale(0.5, 1.0) == 1.0F);
    BOOST_TEST(numerics::clip_scale(1.0, 1.0) == 1.0F);
    BOOST_TEST(numerics::clip_scale(4.0, 1.0) == 0.25F);
    BOOST_TEST(numerics::clip_scale(4.0, 0.0) == 1.0F);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
