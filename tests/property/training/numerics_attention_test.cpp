// Attention on every target and thread count, bit for bit against its definition.

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/attention.hpp"
#include "training/numerics/float_bits.hpp"

namespace tequio::tests {
namespace {

/// kind: of q and k, and of v unless `tiny`; then v and dout are so small that gradients underflow.
void check_shape(base::rng& rng, const numerics::attention_shape& shape, hostile kind,
                 bool tiny = false) {
    const std::size_t width = shape.heads * shape.head_width;
    const std::size_t shared = width / shape.group;
    const std::size_t tokens = shape.sequences * shape.time;
    const std::size_t stride = width + 2 * shared;
    auto qkv = hostile_numbers(kind, rng, tokens * stride);
    auto dout = hostile_numbers(tiny ? hostile::underflowing : hostile::mixed, rng, tokens * width);
    for (std::size_t i = 0; tiny && i < qkv.size(); ++i) {
        if (i % stride >= width + shared) qkv[i] = hostile_number(hostile::underflowing, rng, i);
    }
    for (float& x : qkv) x = numerics::flush(x);
    for (float& x : dout) x = numerics::flush(x);
    const numerics::attention_inputs in{qkv.data(), qkv.data() + width, qkv.data() + width + shared,
                                        stride};
    const std::size_t rows = tokens * shape.heads;
    std::vector<float> out(tokens * width), top(rows), inverse(rows), gradients(tokens * stride);
    const auto parts = [&](float* data) {
        return numerics::attention_gradients{data, data + width, data + width + shared, stride};
    };
    numerics::attention_forward_reference(shape, in, out.data(), {top.data(), inverse.data()});
    numerics::attention_backward_reference(shape, in, out.data(), dout.data(),
                                           {top.data(), inverse.data()}, parts(gradients.data()));
    const std::string name = std::to_string(shape.sequences) + " x " + std::to_string(shape.time) +
                             " x " + std::to_string(shape.heads) + " x " +
                             std::to_string(shape.head_width) + " / " + std::to_string(shape.group);
    everywhere([&](training::executor& run) {
        fenced found(out.size(), 1), found_top(rows, 0), found_inverse(rows, 2),
            found_gradients(gradients.size(), 3);
        std::vector<std::byte> workspace(numerics::attention_workspace_bytes(shape, run.threads()));
        // What stood in the workspace before must not matter.
        for (std::size_t i = 0; i < workspace.size(); ++i) workspace[i] = std::byte{0xff};
        const numerics::attention_saved saved{found_top.data(), found_inverse.data()};
        numerics::attention_forward(shape, in, found.data(), saved, workspace, run);
        require_same(name + " out", found.span(), out);
        require_same(name + " row max", found_top.span(), top);
        require_same(name + " inverse sum", found_inverse.span(), inverse);
        for (std::size_t i = 0; i < workspace.size(); ++i) workspace[i] = std::byte{0xff};
        numerics::attention_backward(shape, in, out.data(), dout.data(), saved,
                                     parts(found_gradients.data()), workspace, run);
        require_same(name + " gradients", found_gradients.span(), gradients);
        BOOST_REQUIRE(found.intact() && found_gradients.intact());
    });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_attention)

BOOST_AUTO_TEST_CASE(short_sequences_match_the_reference) {
    base::rng rng = numerics_rng("attention_short");
    constexpr std::size_t times[] = {1, 2, 17, 31, 32, 33, 63, 64, 65, 100};
    constexpr std::size_t widths[] = {1, 8, 16, 24, 32, 33, 64, 80};
    for (int i = 0; i < 40; ++i) {
        check_shape(rng,
                    {1 + rng.below(2), times[rng.below(std::size(times))], 1 + rng.below(3),
                     widths[rng.below(std::size(widths))]},
                    all_hostile[rng.below(all_hostile.size())]);
    }
}

BOOST_AUTO_TEST_CASE(underflowing_gradients_match_the_reference) {
    base::rng rng = numerics_rng("attention_underflow");
    for (const std::size_t time : {5U, 40U, 70U}) {
        check_shape(rng, {1, time, 2, 24}, hostile::grid, true);
    }
}

BOOST_AUTO_TEST_CASE(heads_that_share_keys_and_values_match_the_reference) {
    base::rng rng = numerics_rng("attention_groups");
    constexpr std::size_t groupings[][2] = {{2, 2}, {4, 2}, {4, 4}, {6, 3}, {5, 5}};
    constexpr std::size_t times[] = {1, 7, 33, 64, 70};
    constexpr std::size_t widths[] = {2, 16, 24, 33, 64};
    for (const auto& [heads, group] : groupings) {
        for (const hostile kind : all_hostile) {
            check_shape(rng,
                        {1 + rng.below(3), times[rng.below(std::size(times))], heads,
                         widths[rng.below(std::size(widths))], group},
                        kind, rng.below(4) == 0);
        }
    }
    check_shape(rng, {1, 270, 4, 24, 2}, hostile::plain);
    check_shape(rng, {2, 40, 2, 24, 2}, hostile::grid, true);
}

BOOST_AUTO_TEST_CASE(sequences_beyond_a_panel_match_the_reference) {
    base::rng rng = numerics_rng("attention_long");
    check_shape(rng, {1, 256, 2, 32}, hostile::plain);
    check_shape(rng, {1, 300, 1, 32}, hostile::mixed);
    check_shape(rng, {1, 530, 1, 20}, hostile::plain);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
