#include "node/cli/bench_gemm.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <cstdio>

#include "node/cli/measure.hpp"
#include "node/cli/openblas.hpp"
#include "node/worker/compute_pool.hpp"
#include "training/arithmetic.hpp"
#include "training/exactness.hpp"

namespace tequio::node {
namespace {

namespace json = boost::json;
using training::product_form;

/// Multiply-adds of a comparison with the definition: about a tenth of a second.
constexpr std::uint64_t check_cost = 20'000'000;
constexpr unsigned samples_usual = 7;
constexpr unsigned samples_thin = 5;
constexpr std::chrono::microseconds sample_time_usual{20'000};
constexpr std::chrono::microseconds sample_time_thin{3'000};
constexpr std::size_t thin_rows_max = 16;

struct gemm_case {
    std::size_t m, n, k;
    product_form form;
};

const char* form_name(product_form form) {
    return form == product_form::nn ? "nn" : form == product_form::nt ? "nt" : "tn";
}

/// What decides the products of a step of a GPT-2.
struct model_sizes {
    std::size_t tokens, width, vocabulary;
    std::size_t head_rows;  ///< tokens whose logits are computed at a time
};

/// The presets gpt2-124m and small-10m of `bench train` with their batches.
constexpr std::array<model_sizes, 2> models{
    {{.tokens = 1024, .width = 768, .vocabulary = 50257, .head_rows = 256},
     {.tokens = 2048, .width = 384, .vocabulary = 65, .head_rows = 2048}}};

/// A linear layer over `rows` tokens, weights (in, out): forward, and backward to its input and to
/// its weights.
void add_layer(std::vector<gemm_case>& out, std::size_t rows, std::size_t in, std::size_t to) {
    out.push_back({rows, to, in, product_form::nn});
    out.push_back({rows, in, to, product_form::nt});
    out.push_back({in, to, rows, product_form::tn});
}

std::vector<gemm_case> step_cases() {
    std::vector<gemm_case> out;
    for (const auto& m : models) {
        for (const std::size_t wide : {3 * m.width, m.width, 4 * m.width}) {
            add_layer(out, m.tokens, m.width, wide);
        }
        add_layer(out, m.tokens, 4 * m.width, m.width);
        // The head's weights are the embedding, (vocabulary, width).
        out.push_back({m.head_rows, m.vocabulary, m.width, product_form::nt});
        out.push_back({m.head_rows, m.width, m.vocabulary, product_form::nn});
        out.push_back({m.vocabulary, m.width, m.head_rows, product_form::tn});
    }
    return out;
}

/// The same n, k and form with few rows.
std::vector<gemm_case> thin_cases() {
    std::vector<gemm_case> out;
    for (const auto& c : step_cases()) {
        for (std::size_t m = 1; m <= thin_rows_max; ++m) out.push_back({m, c.n, c.k, c.form});
    }
    return out;
}

struct gemm_row {
    gemm_case what;
    double gflops = 0;
    double openblas_gflops = 0;  ///< 0: there is none
    training::product_check check;

    double ratio() const { return gflops / openblas_gflops; }
};

gemm_row measure_row(const gemm_case& c, bool thin, const std::optional<openblas>& yardstick,
                     training::executor& run) {
    training::product_bench product(c.form, c.m, c.n, c.k, run);
    std::vector<float> theirs(yardstick ? c.m * c.n : 0);
    std::vector<std::function<void()>> bodies{[&] { product.once(); }};
    if (yardstick) {
        bodies.push_back([&] {
            yardstick->multiply(c.form, c.m, c.n, c.k, product.left(), product.right(),
                                theirs.data());
        });
    }
    const auto seconds = measure_in_turn(bodies, thin ? samples_thin : samples_usual,
                                         thin ? sample_time_thin : sample_time_usual);
    gemm_row row{.what = c, .gflops = product.flops() / seconds[0] / 1e9, .check = {}};
    if (yardstick) row.openblas_gflops = product.flops() / seconds[1] / 1e9;
    row.check = product.check(check_cost);
    return row;
}

/// Geometric mean and minimum of the ratios.
struct ratio_summary {
    double mean = 0;
    double least = 0;
};

ratio_summary summarise(const std::vector<gemm_row>& rows) {
    double logarithms = 0;
    double least = rows.front().ratio();
    for (const auto& row : rows) {
        logarithms += std::log(row.ratio());
        least = std::min(least, row.ratio());
    }
    return {std::exp(logarithms / static_cast<double>(rows.size())), least};
}

json::value number_or_null(bool there, double value) {
    return there ? json::value(value) : json::value(nullptr);
}

json::object as_json(const gemm_row& row, const std::string& target) {
    const bool compared = row.openblas_gflops > 0;
    return {{"m", row.what.m},
            {"n", row.what.n},
            {"k", row.what.k},
            {"trans", form_name(row.what.form)},
            {"target", target},
            {"gflops", row.gflops},
            {"openblas_gflops", number_or_null(compared, row.openblas_gflops)},
            {"ratio", number_or_null(compared, compared ? row.ratio() : 0)},
            {"exact", row.check.same},
            {"rows_checked", row.check.rows},
            {"columns_checked", row.check.columns}};
}

void print_row(const gemm_row& row) {
    std::printf("%5zu %5zu %5zu %5s %9.1f", row.what.m, row.what.n, row.what.k,
                form_name(row.what.form), row.gflops);
    if (row.openblas_gflops > 0) {
        std::printf(" %9.1f %6.2f", row.openblas_gflops, row.ratio());
    } else {
        std::printf(" %9s %6s", "-", "-");
    }
    std::printf(" %6s  %zu rows, %zu columns\n", row.check.same ? "yes" : "NO", row.check.rows,
                row.check.columns);
    std::fflush(stdout);
}

}  // namespace

base::result<void> bench_gemm(cli_context& context, const gemm_bench_options& options) {
    const std::string target = training::active_target();
    const auto yardstick = find_openblas(context, options.threads, target);
    compute_pool pool(options.threads);
    const std::string core = yardstick ? yardstick->core() : "none";
    context.say("threads: " + std::to_string(options.threads) + ", our kernels: " + target +
                ", OpenBLAS's: " + core);
    if (!context.json) {
        std::printf("    m     n     k trans   GFLOP/s  OpenBLAS  ratio  exact  (compared)\n");
    }
    std::vector<gemm_row> rows;
    for (const auto& c : options.thin ? thin_cases() : step_cases()) {
        rows.push_back(measure_row(c, options.thin, yardstick, pool));
        if (!context.json) print_row(rows.back());
    }
    const auto summary = yardstick ? summarise(rows) : ratio_summary{};
    if (context.json) {
        json::array out;
        for (const auto& row : rows) out.push_back(as_json(row, target));
        context.print_json("bench-gemm",
                           {{"threads", options.threads},
                            {"openblas_core", yardstick ? json::value(core) : json::value(nullptr)},
                            {"rows", std::move(out)},
                            {"ratio_mean", number_or_null(yardstick.has_value(), summary.mean)},
                            {"ratio_least", number_or_null(yardstick.has_value(), summary.least)}});
    } else if (yardstick) {
        std::printf("ratio: geometric mean %.3f, least %.3f (%s beside OpenBLAS %s, %u threads)\n",
                    summary.mean, summary.least, target.c_str(), core.c_str(), options.threads);
    }
    if (std::all_of(rows.begin(), rows.end(), [](const auto& row) { return row.check.same; })) {
        return {};
    }
    return ends_with(exit_code::verification_failed,
                     "a kernel of this machine differs from its definition; run `tequio doctor`");
}

}  // namespace tequio::node
