// Our matrix product beside OpenBLAS, one thread each, interleaved, medians of processor time.
// Prints a table; gates nothing. Usage: gemm_bench [repeats]. OpenBLAS 0.3.21 does not know newer
// processors: OPENBLAS_CORETYPE=SkylakeX or Cooperlake names its kernels; TEQUIO_SIMD restricts
// ours.

#include <cblas.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "training/numerics/gemm.hpp"
#include "training/numerics/target.hpp"

extern "C" void openblas_set_num_threads(int);
extern "C" char* openblas_get_corename(void);

namespace {

namespace numerics = tequio::training::numerics;

struct bench_case {
    const char* name;
    numerics::gemm_form form;
    std::size_t m, n, k;
};

/// Processor time of this thread: what else the machine does counts less.
double now() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double seconds(auto body) {
    const double start = now();
    body();
    return now() - start;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                     values.end());
    return values[values.size() / 2];
}

std::vector<float> numbers(std::size_t n) {
    std::vector<float> out(n);
    std::uint32_t state = 12345;
    for (float& x : out) {
        state = state * 1664525U + 1013904223U;
        x = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
    }
    return out;
}

void run_case(const bench_case& one, int repeats) {
    using numerics::gemm_form;
    const auto [name, form, m, n, k] = one;
    const std::vector<float> a = numbers(m * k);
    const std::vector<float> b = numbers(k * n);
    std::vector<float> c(m * n);
    const std::size_t a_stride = form == gemm_form::tn ? m : k;
    const std::size_t b_stride = form == gemm_form::nt ? k : n;
    std::vector<std::byte> workspace(numerics::gemm_workspace_bytes({m, n, k}, 1));
    tequio::training::serial_executor serial;
    std::vector<double> ours;
    std::vector<double> theirs;
    const double flops =
        2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    const int inner = std::max(1, static_cast<int>(5e8 / flops));
    for (int i = 0; i < repeats; ++i) {
        ours.push_back(seconds([&] {
            for (int j = 0; j < inner; ++j) {
                numerics::gemm({.form = form}, {m, n, k}, {a.data(), a_stride},
                               {b.data(), b_stride}, {c.data(), n}, workspace, serial);
            }
        }));
        theirs.push_back(seconds([&] {
            for (int j = 0; j < inner; ++j) {
                cblas_sgemm(CblasRowMajor, form == gemm_form::tn ? CblasTrans : CblasNoTrans,
                            form == gemm_form::nt ? CblasTrans : CblasNoTrans, static_cast<int>(m),
                            static_cast<int>(n), static_cast<int>(k), 1.0F, a.data(),
                            static_cast<int>(a_stride), b.data(), static_cast<int>(b_stride), 0.0F,
                            c.data(), static_cast<int>(n));
            }
        }));
    }
    const double scale = flops * inner * 1e-9;
    const double best_ours = *std::min_element(ours.begin(), ours.end());
    const double best_theirs = *std::min_element(theirs.begin(), theirs.end());
    std::printf("%-16s %s %5zu %5zu %5zu  %6.1f  %6.1f  %5.2f   best %6.1f %6.1f %5.2f\n", name,
                form == gemm_form::nn   ? "nn"
                : form == gemm_form::nt ? "nt"
                                        : "tn",
                m, n, k, scale / median(ours), scale / median(theirs),
                median(theirs) / median(ours), scale / best_ours, scale / best_theirs,
                best_theirs / best_ours);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const int repeats = argc > 1 ? std::atoi(argv[1]) : 15;
    openblas_set_num_threads(1);
    std::printf("target %s, OpenBLAS core %s, GFLOP/s ours and theirs, ratio\n",
                std::string(numerics::target_name()).c_str(), openblas_get_corename());
    using enum numerics::gemm_form;
    const bench_case cases[] = {
        {"10m qkv", nn, 2048, 1152, 384},
        {"10m qkv dx", nt, 2048, 384, 1152},
        {"10m qkv dw", tn, 384, 1152, 2048},
        {"10m proj", nn, 2048, 384, 384},
        {"10m fc", nn, 2048, 1536, 384},
        {"10m fc dx", nt, 2048, 384, 1536},
        {"10m fc dw", tn, 384, 1536, 2048},
        {"10m out", nn, 2048, 384, 1536},
        {"10m out dx", nt, 2048, 1536, 384},
        {"10m out dw", tn, 1536, 384, 2048},
        {"10m fc 256", nn, 256, 1536, 384},
        {"10m fc dx 256", nt, 256, 384, 1536},
        {"10m fc dw 256", tn, 384, 1536, 256},
        {"10m logits", nt, 256, 65, 384},
        {"10m logits dx", nn, 256, 384, 65},
        {"10m logits dw", tn, 65, 384, 256},
        {"1m qkv", nn, 2048, 384, 128},
        {"1m fc", nn, 2048, 512, 128},
        {"1m fc dw", tn, 128, 512, 2048},
        {"1m logits", nt, 256, 256, 128},
        {"head qk", nt, 256, 256, 64},
        {"head pv", nn, 256, 64, 256},
        {"square", nn, 512, 512, 512},
        {"square", nt, 1024, 1024, 1024},
        {"row", nn, 1, 1024, 1024},
        {"row nt", nt, 1, 1024, 1024},
        {"column", nn, 1024, 1, 1024},
    };
    for (const bench_case& one : cases) run_case(one, repeats);
    return 0;
}
