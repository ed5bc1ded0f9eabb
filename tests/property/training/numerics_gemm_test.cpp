// The matrix product on every target and thread count, bit for bit against its definition.

#include <algorithm>

#include "tests/property/training/numerics_support.hpp"
#include "training/numerics/gemm.hpp"
#include "training/numerics/gemm_serial.hpp"
#include "training/numerics/gemm_shares.hpp"
#include "training/numerics/gemm_tiles.hpp"

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

    /// Storage rows further apart, the same numbers elsewhere.
    void spread(base::rng& rng, hostile kind, std::size_t a_row, std::size_t b_row) {
        a_stride = a_row;
        b_stride = b_row;
        a = hostile_numbers(kind, rng, (options.form == gemm_form::tn ? shape.k : shape.m) * a_row);
        b = hostile_numbers(kind, rng, (options.form == gemm_form::nt ? shape.n : shape.k) * b_row);
    }

    fenced reference() const {
        fenced wanted(c, shift);
        numerics::gemm_reference(options, shape, {a.data(), a_stride}, {b.data(), b_stride},
                                 {wanted.data(), c_stride});
        return wanted;
    }

    fenced compute(training::executor& run) const {
        fenced my_a(a, shift);
        fenced my_b(b, (shift + 1) % 4);
        fenced found(c, shift);
        std::vector<std::byte> workspace(numerics::gemm_workspace_bytes(shape, run.threads()) + 1);
        numerics::gemm(options, shape, {my_a.data(), a_stride}, {my_b.data(), b_stride},
                       {found.data(), c_stride}, std::span(workspace).subspan(shift % 2), run);
        BOOST_REQUIRE_MESSAGE(found.intact(), name() + " writes beside C");
        return found;
    }

    /// On the target in use. Between rows of C nothing may change either: the whole arrays are
    /// compared.
    void compare(fenced& wanted, training::executor& run) const {
        fenced found = compute(run);
        require_same(name(), found.span(), wanted.span());
    }

    void check() const {
        fenced wanted = reference();
        everywhere([&](training::executor& run) { compare(wanted, run); });
    }
};

/// Runs tasks last to first, all on one thread of several: the one that was late, or the only one
/// that came.
class lopsided_executor final : public training::executor {
public:
    lopsided_executor(unsigned threads, unsigned thread) : threads_(threads), thread_(thread) {}
    unsigned threads() const override { return threads_; }
    void run(std::size_t tasks, training::task_ref body) override {
        for (std::size_t task = tasks; task > 0; --task) body(task - 1, thread_);
    }

private:
    unsigned threads_, thread_;
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

BOOST_AUTO_TEST_CASE(columns_beside_whole_vectors_match_the_reference) {
    base::rng rng = numerics_rng("gemm_odd_columns");
    constexpr std::size_t widths[] = {17, 18, 19, 20, 33, 34, 35, 65, 66, 67, 97, 131};
    constexpr std::size_t depths[] = {1, 5, 16, 23, 255, 261, 384};
    for (std::size_t m = 1; m <= 16; ++m) {
        for (const std::size_t n : widths) {
            const numerics::gemm_shape shape{m, n, depths[rng.below(std::size(depths))]};
            product(rng, gemm_form::nt, shape, all_hostile[rng.below(all_hostile.size())]).check();
        }
    }
    // A B that fits no cache.
    product(rng, gemm_form::nt, {11, 65, 66000}, hostile::mixed).check();
}

BOOST_AUTO_TEST_CASE(few_rows_match_the_reference) {
    base::rng rng = numerics_rng("gemm_few_rows");
    // Around the vectors and windows of every target, and around whole squares of k.
    constexpr std::size_t widths[] = {1,  3,  4,  7,  8,  9,  15, 16, 17, 31, 32,
                                      33, 47, 48, 49, 63, 65, 95, 96, 97, 130};
    constexpr std::size_t depths[] = {1, 3, 4, 6, 8, 13, 16, 17, 31, 67, 256, 259, 300};
    for (std::size_t m = 1; m <= 18; ++m) {
        for (const gemm_form form : forms) {
            for (int i = 0; i < 3; ++i) {
                const numerics::gemm_shape shape{m, widths[rng.below(std::size(widths))],
                                                 depths[rng.below(std::size(depths))]};
                product(rng, form, shape, all_hostile[rng.below(all_hostile.size())]).check();
            }
        }
    }
    for (const std::size_t m : {23, 24, 25, 47, 48, 49}) {
        product(rng, gemm_form::nn, {m, 101, 270}, hostile::mixed).check();
        product(rng, gemm_form::tn, {m, 49, 259}, hostile::cancelling).check();
    }
}

BOOST_AUTO_TEST_CASE(rows_that_share_places_in_a_cache_match_the_reference) {
    base::rng rng = numerics_rng("gemm_collisions");
    for (const gemm_form form : forms) {
        for (const std::size_t m : {1, 3, 5, 9, 14, 40}) {
            product one(rng, form, {m, 100, 290}, hostile::mixed);
            one.spread(rng, hostile::mixed, 1024, 512);
            one.check();
        }
    }
}

BOOST_AUTO_TEST_CASE(up_to_eight_threads_match_the_reference) {
    base::rng rng = numerics_rng("gemm_threads");
    std::vector<std::unique_ptr<thread_pool>> pools;
    for (unsigned threads = 2; threads <= 8; ++threads) {
        pools.push_back(std::make_unique<thread_pool>(threads));
    }
    for (const gemm_form form : forms) {
        // Few rows; blocks of rows; blocks of columns (of its own for each of a few threads, or
        // shared); few columns, with rows read where they lie; several groups of panels.
        for (const numerics::gemm_shape shape :
             {numerics::gemm_shape{7, 1001, 300}, numerics::gemm_shape{131, 600, 70},
              numerics::gemm_shape{601, 130, 70}, numerics::gemm_shape{603, 65, 130},
              numerics::gemm_shape{90, 150, 1301}}) {
            const product one(rng, form, shape, hostile::mixed);
            fenced wanted = one.reference();
            on_every_target([&] {
                for (const auto& pool : pools) one.compare(wanted, *pool);
                for (unsigned threads = 2; threads <= 6; threads += 2) {
                    lopsided_executor last(threads, threads - 1);
                    one.compare(wanted, last);
                }
            });
        }
    }
}

BOOST_AUTO_TEST_CASE(products_of_several_blocks_match_the_reference) {
    base::rng rng = numerics_rng("gemm_large");
    thread_pool two(2);
    thread_pool six(6);
    training::serial_executor one_thread;
    for (const gemm_form form : forms) {
        // Both sides exceed a block, by a little; k has two groups.
        product one(rng, form, {1093, 1171, 1031}, hostile::mixed);
        one.options.bias = one.bias.data();
        fenced first = one.compute(one_thread);
        on_every_target([&] {
            for (training::executor* run : std::initializer_list<training::executor*>{&two, &six}) {
                one.compare(first, *run);
            }
            one.compare(first, one_thread);
        });
        // The definition takes seconds: some rows and some columns of it, the last ones among them.
        for (int i = 0; i < 4; ++i) {
            const std::size_t row = i == 0 ? one.shape.m - 1 : rng.below(one.shape.m);
            const std::size_t column = i == 0 ? one.shape.n - 1 : rng.below(one.shape.n);
            const bool tn = form == gemm_form::tn;
            const bool nt = form == gemm_form::nt;
            const numerics::matrix_in a{one.a.data(), one.a_stride}, b{one.b.data(), one.b_stride};
            auto of_row = std::vector(one.c.begin() + row * one.c_stride,
                                      one.c.begin() + row * one.c_stride + one.shape.n);
            numerics::gemm_reference(one.options, {1, one.shape.n, one.shape.k},
                                     {a.data + (tn ? row : row * a.stride), a.stride}, b,
                                     {of_row.data(), one.shape.n});
            require_same("a row of " + one.name(),
                         first.span().subspan(row * one.c_stride, one.shape.n), of_row);
            std::vector<float> of_column(one.shape.m), found(one.shape.m);
            for (std::size_t r = 0; r < one.shape.m; ++r) {
                of_column[r] = one.c[r * one.c_stride + column];
                found[r] = first.span()[r * one.c_stride + column];
            }
            auto options = one.options;
            options.bias += column;
            numerics::gemm_reference(options, {one.shape.m, 1, one.shape.k}, a,
                                     {b.data + (nt ? column * b.stride : column), b.stride},
                                     {of_column.data(), 1});
            require_same("a column of " + one.name(), found, of_column);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_product_serves_with_the_workspace_of_a_larger_one) {
    base::rng rng = numerics_rng("gemm_workspace");
    for (int i = 0; i < 300; ++i) {
        const numerics::gemm_shape large{1 + rng.below(3000), 1 + rng.below(3000),
                                         1 + rng.below(3000)};
        const numerics::gemm_shape small{1 + rng.below(large.m), 1 + rng.below(large.n),
                                         1 + rng.below(large.k)};
        const unsigned threads = 1 + static_cast<unsigned>(rng.below(9));
        BOOST_TEST(numerics::gemm_workspace_bytes(small, threads) <=
                   numerics::gemm_workspace_bytes(large, threads));
        BOOST_TEST(numerics::gemm_workspace_bytes(large, threads) <=
                   numerics::gemm_workspace_bytes(large, threads + 1));
        BOOST_TEST(numerics::gemm_workspace_bytes(large, threads) <= threads * (7U << 20));
    }
}

BOOST_AUTO_TEST_CASE(pieces_are_all_units_once) {
    base::rng rng = numerics_rng("gemm_pieces");
    for (int i = 0; i < 2000; ++i) {
        const numerics::piece_cut cut{rng.below(200), 1 + static_cast<unsigned>(rng.below(9)),
                                      1 + rng.below(20), 1 + rng.below(6)};
        std::size_t at = 0;
        for (unsigned thread = 0; thread < cut.threads; ++thread) {
            for (std::size_t p = 0; p < cut.count(thread); ++p) {
                const numerics::unit_range piece = cut.piece(thread, p);
                BOOST_REQUIRE(piece.begin == at && piece.end > at);
                BOOST_REQUIRE(piece.size() <= std::max(cut.most, cut.least));
                at = piece.end;
            }
            BOOST_REQUIRE(cut.piece(thread, cut.count(thread)).size() == 0);
        }
        BOOST_REQUIRE(at == cut.units);
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

namespace {

/// A stored as the form says: nn gives (m, k), tn (k, m).
std::vector<float> stored(gemm_form form, const std::vector<float>& a, std::size_t m,
                          std::size_t k) {
    if (form != gemm_form::tn) return a;
    std::vector<float> out(a.size());
    for (std::size_t i = 0; i < m; ++i) {
        for (std::size_t p = 0; p < k; ++p) out[p * m + i] = a[i * k + p];
    }
    return out;
}

}  // namespace

BOOST_AUTO_TEST_CASE(resumed_panels_match_the_reference) {
    base::rng rng = numerics_rng("gemm_resumed");
    const std::size_t k = 256, part = 100;
    for (const gemm_form form : {gemm_form::nn, gemm_form::tn}) {
        for (const auto& [m, n] :
             {std::pair<std::size_t, std::size_t>{29, 75}, {109, 64}, {5, 130}, {100, 17}}) {
            const auto a = stored(form, hostile_numbers(hostile::mixed, rng, m * k), m, k);
            const std::size_t a_stride = form == gemm_form::tn ? m : k;
            const auto b = hostile_numbers(hostile::mixed, rng, k * n);
            std::vector<float> wanted(m * n);
            numerics::gemm_reference({.form = form}, {m, n, k}, {a.data(), a_stride}, {b.data(), n},
                                     {wanted.data(), n});
            on_every_target([&] {
                std::vector<float> scratch(numerics::serial_gemm_floats({m, n, k}));
                // The second part goes on from the first's acc, which started at +0.
                std::vector<float> acc(m * n);
                const numerics::serial_gemm_options go_on{.form = form, .resume = true};
                numerics::gemm_serial(go_on, {m, n, part}, {a.data(), a_stride}, {b.data(), n},
                                      {acc.data(), n}, scratch.data());
                const float* rest = a.data() + part * (form == gemm_form::tn ? m : 1);
                numerics::gemm_serial(go_on, {m, n, k - part}, {rest, a_stride},
                                      {b.data() + part * n, n}, {acc.data(), n}, scratch.data());
                for (float& x : acc) x = 0.0F + x;
                require_same("resumed", acc, wanted);
            });
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace tequio::tests
