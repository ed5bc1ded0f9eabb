// The matrix product on every target and thread count, bit for bit against its definition.

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/gemm_serial.hpp"

namespace tequio::tests {
namespace {

using numerics::gemm_form;

constexpr std::array forms = {gemm_form::nn, gemm_form::nt, gemm_form::tn};

/// One product and its inputs.
struct product {
    numerics::gemm_options options;
    numerics::gemm_shape shape;
    std::vector<float> a, b, c, bias;
    std::size_t a_stride, b_stride, c_stride, shift;

    product(base::rng& rng, gemm_form form, numerics::gemm_shape s, hostile kind) : shape(s) {
        options.form = form;
        options.accumulate = rng.below(2) != 0;
        options.flush = rng.below(2) != 0;
        shift = rng.below(4);
        const bool tn = form == gemm_form::tn;
        const bool nt = form == gemm_form::nt;
        a_stride = (tn ? s.m : s.k) + rng.below(5);
        b_stride = (nt ? s.k : s.n) + rng.below(5);
        c_stride = s.n + rng.below(5);
        a = hostile_numbers(kind, rng, (tn ? s.k : s.m) * a_stride);
        b = hostile_numbers(kind, rng, (nt ? s.n : s.k) * b_stride);
        c = hostile_numbers(hostile::plain, rng, s.m * c_stride);
        bias = hostile_numbers(kind, rng, s.n);
        if (rng.below(2) != 0) options.bias = bias.data();
    }

    std::string name() const {
        return "form " + std::to_string(static_cast<int>(options.form)) + " " +
               std::to_string(shape.m) + " x " + std::to_string(shape.n) + " x " +
               std::to_string(shape.k);
    }

    void check() const {
        fenced wanted(c, shift);
        numerics::gemm_reference(options, shape, {a.data(), a_stride}, {b.data(), b_stride},
                                 {wanted.data(), c_stride});
        everywhere([&](training::executor& run) {
            fenced my_a(a, shift);
            fenced my_b(b, (shift + 1) % 4);
            fenced found(c, shift);
            std::vector<std::byte> workspace(numerics::gemm_workspace_bytes(shape, run.threads()) +
                                             1);
            numerics::gemm(options, shape, {my_a.data(), a_stride}, {my_b.data(), b_stride},
                           {found.data(), c_stride}, std::span(workspace).subspan(shift % 2), run);
            // Between rows of C nothing may change either: the whole arrays are compared.
            require_same(name(), found.span(), wanted.span());
            BOOST_REQUIRE_MESSAGE(found.intact(), name() + " writes beside C");
        });
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(numerics_gemm)

BOOST_AUTO_TEST_CASE(odd_shapes_and_hostile_numbers_match_the_reference) {
    base::rng rng = numerics_rng("gemm_shapes");
    constexpr std::size_t sides[] = {1,  2,  3,  4,  5,  8,  11, 12, 13, 16,
                                     17, 24, 25, 31, 32, 33, 48, 49, 65};
    constexpr std::size_t depths[] = {0, 1, 2, 3, 4, 5, 31, 64, 255, 256, 257, 300, 513};
    for (int i = 0; i < 150; ++i) {
        const numerics::gemm_shape shape{sides[rng.below(std::size(sides))],
                                         sides[rng.below(std::size(sides))],
                                         depths[rng.below(std::size(depths))]};
        product(rng, forms[rng.below(3)], shape, all_hostile[rng.below(all_hostile.size())])
            .check();
    }
}

BOOST_AUTO_TEST_CASE(shapes_beyond_one_block_match_the_reference) {
    base::rng rng = numerics_rng("gemm_blocks");
    for (const gemm_form form : forms) {
        product(rng, form, {203, 70, 300}, hostile::mixed).check();
        product(rng, form, {21, 1003, 130}, hostile::cancelling).check();
        product(rng, form, {1, 700, 520}, hostile::plain).check();
        product(rng, form, {700, 1, 520}, hostile::plain).check();
    }
}

BOOST_AUTO_TEST_CASE(transposed_storage_gives_the_same_bits) {
    base::rng rng = numerics_rng("gemm_forms");
    const std::size_t m = 37, n = 41, k = 270;
    const auto a = hostile_numbers(hostile::mixed, rng, m * k);
    const auto b = hostile_numbers(hostile::mixed, rng, k * n);
    const auto turned = [](const std::vector<float>& x, std::size_t rows, std::size_t columns) {
        std::vector<float> out(x.size());
        for (std::size_t i = 0; i < rows; ++i) {
            for (std::size_t j = 0; j < columns; ++j) out[j * rows + i] = x[i * columns + j];
        }
        return out;
    };
    const auto at = turned(a, m, k);
    const auto bt = turned(b, k, n);
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes({m, n, k}, 3));
    everywhere([&](training::executor& run) {
        std::vector<float> nn(m * n), nt(m * n), tn(m * n);
        numerics::gemm({}, {m, n, k}, {a.data(), k}, {b.data(), n}, {nn.data(), n}, workspace, run);
        numerics::gemm({.form = gemm_form::nt}, {m, n, k}, {a.data(), k}, {bt.data(), k},
                       {nt.data(), n}, workspace, run);
        numerics::gemm({.form = gemm_form::tn}, {m, n, k}, {at.data(), m}, {b.data(), n},
                       {tn.data(), n}, workspace, run);
        require_same("nt", nt, nn);
        require_same("tn", tn, nn);
    });
}

BOOST_AUTO_TEST_CASE(micro_batches_of_whole_panels_give_the_bits_of_one_call) {
    base::rng rng = numerics_rng("gemm_micro_batches");
    const std::size_t m = 30, n = 50, k = 1100;
    const auto a = hostile_numbers(hostile::mixed, rng, k * m);
    const auto b = hostile_numbers(hostile::cancelling, rng, k * n);
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes({m, n, k}, 3));
    everywhere([&](training::executor& run) {
        std::vector<float> whole(m * n), parts(m * n);
        numerics::gemm({.form = gemm_form::tn}, {m, n, k}, {a.data(), m}, {b.data(), n},
                       {whole.data(), n}, workspace, run);
        for (std::size_t p = 0; p < k;) {
            const std::size_t length = std::min<std::size_t>(k - p, p == 0 ? 256 : 512);
            numerics::gemm({.form = gemm_form::tn, .accumulate = true}, {m, n, length},
                           {a.data() + p * m, m}, {b.data() + p * n, n}, {parts.data(), n},
                           workspace, run);
            p += length;
        }
        require_same("micro-batches", parts, whole);
    });
}

BOOST_AUTO_TEST_CASE(zero_products_at_the_end_change_no_bit) {
    base::rng rng = numerics_rng("gemm_padding");
    for (const hostile kind : all_hostile) {
        const std::size_t m = 14, n = 33, k = 250, padded = 290;
        auto a = hostile_numbers(kind, rng, m * padded);
        const auto b = hostile_numbers(kind, rng, padded * n);
        for (std::size_t i = 0; i < m; ++i) {
            for (std::size_t p = k; p < padded; ++p) a[i * padded + p] = 0.0F;
        }
        std::vector<std::byte> workspace(numerics::gemm_workspace_bytes({m, n, padded}, 3));
        everywhere([&](training::executor& run) {
            std::vector<float> plain(m * n), longer(m * n);
            numerics::gemm({}, {m, n, k}, {a.data(), padded}, {b.data(), n}, {plain.data(), n},
                           workspace, run);
            numerics::gemm({}, {m, n, padded}, {a.data(), padded}, {b.data(), n},
                           {longer.data(), n}, workspace, run);
            require_same("padding", longer, plain);
            for (const float x : plain) {
                BOOST_REQUIRE(std::bit_cast<std::uint32_t>(x) != 0x80000000U);
            }
        });
    }
}

BOOST_AUTO_TEST_CASE(batches_are_single_products) {
    base::rng rng = numerics_rng("gemm_batched");
    const numerics::gemm_shape shape{19, 23, 40};
    const numerics::gemm_batch batch{5, 19 * 40 + 3, 23 * 40, 19 * 23 + 7};
    const auto a = hostile_numbers(hostile::mixed, rng, batch.count * batch.a_step);
    const auto b = hostile_numbers(hostile::mixed, rng, batch.count * batch.b_step);
    const numerics::gemm_options options{.form = gemm_form::nt, .flush = true};
    std::vector<float> wanted(batch.count * batch.c_step, poison);
    for (std::size_t i = 0; i < batch.count; ++i) {
        numerics::gemm_reference(options, shape, {a.data() + i * batch.a_step, 40},
                                 {b.data() + i * batch.b_step, 40},
                                 {wanted.data() + i * batch.c_step, 23});
    }
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes(shape, 3));
    everywhere([&](training::executor& run) {
        std::vector<float> found(wanted.size(), poison);
        numerics::gemm_batched(options, shape, batch, {a.data(), 40}, {b.data(), 40},
                               {found.data(), 23}, workspace, run);
        require_same("batch", found, wanted);
    });
}

BOOST_AUTO_TEST_CASE(packed_and_resumed_products_match_the_reference) {
    base::rng rng = numerics_rng("gemm_packed");
    const std::size_t m = 29, n = 75, k = 300, used_n = 50, used_k = 280;
    const auto a = hostile_numbers(hostile::mixed, rng, m * k);
    const auto b = hostile_numbers(hostile::mixed, rng, k * n);
    std::vector<float> wanted(m * used_n);
    numerics::gemm_reference({}, {m, used_n, used_k}, {a.data(), k}, {b.data(), n},
                             {wanted.data(), used_n});
    std::vector<float> first(m * n);
    numerics::gemm_reference({}, {m, n, 256}, {a.data(), k}, {b.data(), n}, {first.data(), n});
    on_every_target([&] {
        std::vector<float> room(numerics::packed_floats(n, k) + 16);
        std::vector<float> scratch(numerics::serial_gemm_floats({m, n, k}));
        std::vector<float> found(m * used_n);
        const auto packed = numerics::pack_matrix(gemm_form::nn, n, k, {b.data(), n}, room.data());
        numerics::gemm_packed({}, {m, used_n, used_k}, {a.data(), k}, packed,
                              {found.data(), used_n}, scratch.data());
        require_same("packed", found, wanted);
        // A panel in two parts: the second goes on from the first's acc, which started at +0.
        std::vector<float> acc(m * n);
        const numerics::serial_gemm_options go_on{.resume = true};
        numerics::gemm_serial(go_on, {m, n, 100}, {a.data(), k}, {b.data(), n}, {acc.data(), n},
                              scratch.data());
        numerics::gemm_serial(go_on, {m, n, 156}, {a.data() + 100, k}, {b.data() + 100 * n, n},
                              {acc.data(), n}, scratch.data());
        for (float& x : acc) x = 0.0F + x;
        require_same("resumed", acc, first);
    });
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
