// The layers that llama adds, on every target and thread count, bit for bit against their
// definitions.

#include <cmath>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/numerics/rmsnorm.hpp"
#include "training/numerics/rope.hpp"
#include "training/numerics/swiglu.hpp"

namespace tequio::tests {
namespace {

float epsilon_of(base::rng& rng) {
    constexpr float all[] = {1e-5F, 1e-6F, 1e-30F, 1.0F};
    return all[rng.below(std::size(all))];
}

/// A rotation of hostile numbers, there and back, against the reference.
void check_rope(base::rng& rng, numerics::rope_rows rows, hostile kind) {
    const std::size_t half = rows.head_width / 2;
    const std::size_t size = rows.tokens * rows.stride;
    const auto x = hostile_numbers(kind, rng, size);
    std::vector<float> cosine(rows.time * half), sine(rows.time * half);
    numerics::fill_rope_table(rows.time, rows.head_width, 10000.0, cosine.data(), sine.data());
    const numerics::rope_table table{cosine.data(), sine.data()};
    for (const auto turn : {numerics::rope_turn::forward, numerics::rope_turn::backward}) {
        auto wanted = x;
        rows.data = wanted.data();
        numerics::rope_reference(rows, table, turn);
        for (std::size_t p = 0; p < rows.tokens; ++p) {
            const auto turned = std::span(wanted).subspan(p * rows.stride);
            BOOST_REQUIRE(no_flushable(turned.first(rows.heads * rows.head_width)));
        }
        everywhere([&](training::executor& run) {
            fenced found(x, rng.below(4)), my_cosine(cosine, 1), my_sine(sine, 3);
            auto mine = rows;
            mine.data = found.data();
            numerics::rope(mine, {my_cosine.data(), my_sine.data()}, turn, run);
            require_same("rope of width " + std::to_string(rows.head_width), found.span(), wanted);
            BOOST_REQUIRE(found.intact());
        });
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_llama)

BOOST_AUTO_TEST_CASE(rmsnorm_matches_the_reference) {
    base::rng rng = numerics_rng("rmsnorm");
    over_lengths([&](hostile kind, std::size_t width) {
        const std::size_t rows = 5;
        const std::size_t n = rows * width;
        const float epsilon = epsilon_of(rng);
        const auto x = hostile_numbers(kind, rng, n);
        const auto gain = hostile_numbers(hostile::mixed, rng, width);
        const auto residual = hostile_numbers(hostile::plain, rng, n);
        std::vector<float> out(n), r(rows), sum(n), joined(n), joined_r(rows);
        numerics::rmsnorm_forward_reference(x.data(), gain.data(), epsilon, out.data(), r.data(),
                                            rows, width);
        numerics::residual_rmsnorm_forward_reference(x.data(), residual.data(), sum.data(),
                                                     gain.data(), epsilon, joined.data(),
                                                     joined_r.data(), rows, width);
        BOOST_REQUIRE(no_flushable(out) && no_flushable(sum) && no_flushable(joined));
        everywhere([&](training::executor& run) {
            fenced found(n, 1), in(x, 2), found_r(rows, 0), place(residual, 3);
            numerics::rmsnorm_forward(in.data(), gain.data(), epsilon, found.data(), found_r.data(),
                                      rows, width, run);
            require_same("rmsnorm out", found.span(), out);
            require_same("rmsnorm inverse", found_r.span(), r);
            numerics::residual_rmsnorm_forward(in.data(), place.data(), place.data(), gain.data(),
                                               epsilon, found.data(), found_r.data(), rows, width,
                                               run);
            require_same("residual_rmsnorm sum", place.span(), sum);
            require_same("residual_rmsnorm out", found.span(), joined);
            require_same("residual_rmsnorm inverse", found_r.span(), joined_r);
            numerics::rmsnorm_forward(in.data(), gain.data(), epsilon, in.data(), found_r.data(),
                                      rows, width, run);
            require_same("rmsnorm in place", in.span(), out);
            BOOST_REQUIRE(found.intact() && in.intact() && place.intact() && found_r.intact());
        });
    });
}

BOOST_AUTO_TEST_CASE(rmsnorm_backward_matches_the_reference) {
    base::rng rng = numerics_rng("rmsnorm_backward");
    for (const std::size_t width : {1U, 7U, 16U, 32U, 65U, 130U, 200U}) {
        for (const std::size_t rows : {0U, 1U, 5U, 255U, 256U, 257U, 700U}) {
            const hostile kind = all_hostile[rng.below(all_hostile.size())];
            const std::size_t n = rows * width;
            const auto x = hostile_numbers(kind, rng, n);
            const auto gain = hostile_numbers(hostile::mixed, rng, width);
            const auto r = hostile_numbers(hostile::mixed, rng, rows);
            const auto dy = hostile_numbers(hostile::mixed, rng, n);
            const auto residual = hostile_numbers(kind, rng, n);
            const auto old = hostile_numbers(hostile::plain, rng, width);
            for (const bool accumulate : {false, true}) {
                std::vector<float> dx(n), alone(n), dgain = old, dgain_alone = old;
                numerics::rmsnorm_inputs in{x.data(),        gain.data(), r.data(), dy.data(),
                                            residual.data(), rows,        width};
                numerics::rmsnorm_backward_reference(in, dx.data(), dgain.data(), accumulate);
                in.residual = nullptr;
                numerics::rmsnorm_backward_reference(in, alone.data(), dgain_alone.data(),
                                                     accumulate);
                require_same("dgain does not depend on the residual", dgain_alone, dgain);
                BOOST_REQUIRE(no_flushable(dx) && no_flushable(alone));
                everywhere([&](training::executor& run) {
                    std::vector<std::byte> workspace(numerics::rmsnorm_workspace_bytes(rows, width),
                                                     std::byte{0xff});
                    fenced mine(x, 2), place(residual, 3), in_place(dy, 1), my_gain(old, 1);
                    numerics::rmsnorm_backward(
                        {mine.data(), gain.data(), r.data(), dy.data(), place.data(), rows, width},
                        place.data(), my_gain.data(), accumulate, workspace, run);
                    require_same("dx in place of the residual", place.span(), dx);
                    require_same("dgain", my_gain.span(), dgain);
                    fenced gain_again(old, 3);
                    numerics::rmsnorm_backward(
                        {mine.data(), gain.data(), r.data(), in_place.data(), nullptr, rows, width},
                        in_place.data(), gain_again.data(), accumulate, workspace, run);
                    require_same("dx in place of dout", in_place.span(), alone);
                    require_same("dgain of dout in place", gain_again.span(), dgain);
                    BOOST_REQUIRE(place.intact() && in_place.intact() && my_gain.intact() &&
                                  gain_again.intact());
                });
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(swiglu_matches_the_reference) {
    base::rng rng = numerics_rng("swiglu");
    over_lengths([&](hostile kind, std::size_t n) {
        auto gate = hostile_numbers(kind, rng, n);
        // Both ends of the sigmoid, its clamp, and what lies beyond.
        constexpr float ends[] = {80.0F, -80.0F, -80.5F, 87.5F, -87.5F, 1e30F, -1e30F};
        if (n > 20) std::copy(std::begin(ends), std::end(ends), gate.begin() + 5);
        const auto up = hostile_numbers(hostile::mixed, rng, n);
        const auto dy = hostile_numbers(kind, rng, n);
        std::vector<float> out(n), dg(n), du(n);
        numerics::swiglu_forward_reference(gate.data(), up.data(), out.data(), n);
        numerics::swiglu_backward_reference(gate.data(), up.data(), dy.data(), dg.data(), du.data(),
                                            n);
        BOOST_REQUIRE(no_flushable(out) && no_flushable(dg) && no_flushable(du));
        everywhere([&](training::executor& run) {
            fenced found(n, 1), g(gate, 2), u(up, 3), d(dy, 1);
            numerics::swiglu_forward(g.data(), u.data(), found.data(), n, run);
            require_same("swiglu_forward", found.span(), out);
            numerics::swiglu_backward(g.data(), u.data(), d.data(), found.data(), d.data(), n, run);
            require_same("swiglu_backward gate", found.span(), dg);
            require_same("swiglu_backward up in place of dout", d.span(), du);
            numerics::swiglu_backward(g.data(), u.data(), dy.data(), g.data(), u.data(), n, run);
            require_same("swiglu_backward gate in place", g.span(), dg);
            require_same("swiglu_backward up in place", u.span(), du);
            BOOST_REQUIRE(found.intact() && g.intact() && u.intact() && d.intact());
        });
    });
}

BOOST_AUTO_TEST_CASE(long_ranges_match_the_reference) {
    base::rng rng = numerics_rng("llama_long");
    const std::size_t n = 100'003;
    const auto gate = hostile_numbers(hostile::mixed, rng, n);
    const auto up = hostile_numbers(hostile::plain, rng, n);
    const auto dy = hostile_numbers(hostile::plain, rng, n);
    std::vector<float> out(n), dg(n), du(n);
    numerics::swiglu_forward_reference(gate.data(), up.data(), out.data(), n);
    numerics::swiglu_backward_reference(gate.data(), up.data(), dy.data(), dg.data(), du.data(), n);
    everywhere([&](training::executor& run) {
        std::vector<float> found(n), found_up(n);
        numerics::swiglu_forward(gate.data(), up.data(), found.data(), n, run);
        require_same("swiglu_forward", found, out);
        numerics::swiglu_backward(gate.data(), up.data(), dy.data(), found.data(), found_up.data(),
                                  n, run);
        require_same("swiglu_backward gate", found, dg);
        require_same("swiglu_backward up", found_up, du);
    });
}

BOOST_AUTO_TEST_CASE(not_a_number_passes_through_swiglu) {
    training::serial_executor run;
    on_every_target([&] {
        for (const int place : {0, 1, 2}) {
            std::vector<float> in[3] = {std::vector<float>(20, 1.0F), std::vector<float>(20, 1.0F),
                                        std::vector<float>(20, 1.0F)};
            for (const std::size_t i : {2U, 18U}) in[place][i] = std::nanf("");
            std::vector<float> out(20), dg(20), du(20);
            numerics::swiglu_forward(in[0].data(), in[1].data(), out.data(), 20, run);
            numerics::swiglu_backward(in[0].data(), in[1].data(), in[2].data(), dg.data(),
                                      du.data(), 20, run);
            for (const std::size_t i : {2U, 18U}) {
                BOOST_TEST(std::isnan(out[i]) == (place < 2));
                BOOST_TEST(std::isnan(dg[i]));
                BOOST_TEST(std::isnan(du[i]) == (place != 1));
            }
            BOOST_TEST(!std::isnan(out[3]));
        }
    });
}

BOOST_AUTO_TEST_CASE(rope_matches_the_reference) {
    base::rng rng = numerics_rng("rope");
    for (const hostile kind : all_hostile) {
        for (const std::size_t width : {2U, 6U, 16U, 30U, 32U, 34U, 64U, 80U, 256U}) {
            const std::size_t heads = 1 + rng.below(4);
            const std::size_t time = 1 + rng.below(20);
            check_rope(rng,
                       {nullptr, heads * width + rng.below(40), time * (1 + rng.below(3)), time,
                        heads, width},
                       kind);
        }
    }
    check_rope(rng, {nullptr, 3 * 64, 1200, 600, 2, 64}, hostile::mixed);
}

BOOST_AUTO_TEST_CASE(the_rope_table_is_the_formula_rounded_once) {
    for (const double theta : {1.0, 10000.0, 500000.0, 1e12}) {
        const std::size_t width = 64, half = 32, positions = 3000;
        std::vector<float> cosine(positions * half), sine(positions * half);
        numerics::fill_rope_table(positions, width, theta, cosine.data(), sine.data());
        // Half a unit in the last place of a number below 1, and the error of the double in hand.
        const long double limit = 0x1p-25L + 1e-12L;
        for (std::size_t p = 0; p < positions; p += 7) {
            for (std::size_t i = 0; i < half; ++i) {
                const long double angle =
                    static_cast<long double>(p) *
                    powl(static_cast<long double>(theta),
                         -static_cast<long double>(2 * i) / static_cast<long double>(width));
                const std::size_t at = p * half + i;
                const auto distance = [](float found, long double exact) {
                    return std::fabs(static_cast<long double>(found) - exact);
                };
                BOOST_REQUIRE(distance(cosine[at], cosl(angle)) <= limit);
                BOOST_REQUIRE(distance(sine[at], sinl(angle)) <= limit);
            }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_turn_and_a_turn_back_end_where_they_began) {
    base::rng rng = numerics_rng("rope_back");
    const std::size_t time = 50, width = 48;
    std::vector<float> cosine(time * width / 2), sine(time * width / 2);
    numerics::fill_rope_table(time, width, 10000.0, cosine.data(), sine.data());
    const auto x = hostile_numbers(hostile::plain, rng, time * width);
    auto turned = x;
    training::serial_executor run;
    const numerics::rope_rows rows{turned.data(), width, time, time, 1, width};
    numerics::rope(rows, {cosine.data(), sine.data()}, numerics::rope_turn::forward, run);
    numerics::rope(rows, {cosine.data(), sine.data()}, numerics::rope_turn::backward, run);
    for (std::size_t i = 0; i < x.size(); ++i) BOOST_REQUIRE_SMALL(turned[i] - x[i], 1e-6F);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
