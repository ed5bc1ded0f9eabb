#pragma once

/// The arithmetic as its users see it: threads that are fit for it, a choice of kernels, and single
/// products to measure.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "training/executor.hpp"

namespace tequio::training {

/// Sets the calling thread's floating-point environment (NUMERICS.md, ground rule 1). Each thread
/// of an executor calls it first, and so does the thread that calls `executor::run`.
void prepare_compute_thread();

/// True while the calling thread's environment is what `prepare_compute_thread` set. Cost: some
/// nanoseconds.
bool compute_thread_is_fit();

/// Computes with run-time values what a wrong build gets wrong (ground rule 3). Errors:
/// `numerics::errc::bad_environment`, naming the check.
base::result<void> probe_arithmetic();

/// Uses other kernels for the length of a scope: a name of `exact_targets()`, or "reference", the
/// plain definition. They give the same bits. Ensures that this machine has them. Not while kernels
/// run; one at a time in a process.
class kernel_choice {
public:
    explicit kernel_choice(std::string_view target);
    /// Back to what was used before.
    ~kernel_choice();
    kernel_choice(const kernel_choice&) = delete;
    kernel_choice& operator=(const kernel_choice&) = delete;

private:
    int before_;
};

/// How the operands of a product are stored.
enum class product_form {
    nn,  ///< (m, k) and (k, n)
    nt,  ///< (m, k) and (n, k)
    tn,  ///< (k, m) and (k, n)
};

/// How much of a product was compared with the definition, and whether it has its bits.
struct product_check {
    bool same = true;
    std::size_t rows = 0;     ///< whole rows of C compared
    std::size_t columns = 0;  ///< whole columns of C compared
};

/// One matrix product (m, n) over k, over and over, for a caller with a clock.
class product_bench {
public:
    /// Operands are small floats of both signs, the same every time. `run` outlives the object.
    product_bench(product_form form, std::size_t m, std::size_t n, std::size_t k, executor& run);
    ~product_bench();
    product_bench(const product_bench&) = delete;
    product_bench& operator=(const product_bench&) = delete;

    /// Computes the product with the kernels in use.
    void once();
    /// Compares the last product with the definition, bit for bit: all rows if that takes at most
    /// `multiply_adds_max` multiply-adds, else the first, the last and scattered rows and columns
    /// of about that cost. Cost: some nanoseconds each.
    product_check check(std::uint64_t multiply_adds_max) const;
    /// The operands, dense and stored as the form says, for another implementation to
    /// compute the same product. Valid while the object lives.
    const float* left() const;
    const float* right() const;
    /// Operations of one product: 2 m n k.
    double flops() const;

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace tequio::training
