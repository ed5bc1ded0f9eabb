#pragma once

/// The yardstick of `bench`: OpenBLAS, looked for when a measurement starts. The program is never
/// linked with it and computes nothing that counts with it.
///
/// OpenBLAS chooses its kernels when it is loaded, and a version older than the processor chooses
/// by guess. The environment variable OPENBLAS_CORETYPE names others: Haswell or Zen for AVX2,
/// SkylakeX or Cooperlake for AVX-512. So whoever prints a figure prints `core()` beside it.

#include <cstddef>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "node/cli/context.hpp"
#include "training/arithmetic.hpp"

namespace tequio::node {

/// A loaded OpenBLAS. It stays loaded until the process ends. Copies are the same library. Not for
/// several threads at a time.
class openblas {
public:
    /// Loads libopenblas.so.0. Its idle threads would spin for some 30 ms and take the processor
    /// from ours; unless OPENBLAS_THREAD_TIMEOUT is set, they are told to sleep after 2 ms.
    /// Errors: `ends_with(failure)`: what the loader says, and the package to install.
    static base::result<openblas> load();

    /// How many threads a product may use, the caller's among them.
    void set_threads(unsigned threads) const;
    /// Whose kernels it chose: "Haswell", "SkylakeX", ...
    std::string core() const;
    /// c (m, n) = a b by cblas_sgemm, matrices dense and row-major, stored as `form` says. Sizes
    /// below 2^31.
    void multiply(training::product_form form, std::size_t m, std::size_t n, std::size_t k,
                  const float* a, const float* b, float* c) const;

private:
    using sgemm_function = void (*)(int order, int trans_a, int trans_b, int m, int n, int k,
                                    float alpha, const float* a, int lda, const float* b, int ldb,
                                    float beta, float* c, int ldc);
    openblas() = default;

    sgemm_function sgemm_ = nullptr;
    void (*set_num_threads_)(int) = nullptr;
    char* (*get_corename_)() = nullptr;
};

/// OpenBLAS with this many threads; absent, a line on stderr says which package gives it, and the
/// fields that need it become null. Also says so when it chose kernels for less than `target`, the
/// instruction set of ours (`training::active_target`), has: the comparison would flatter us.
std::optional<openblas> find_openblas(const cli_context& context, unsigned threads,
                                      const std::string& target);

}  // namespace tequio::node
