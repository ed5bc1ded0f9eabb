#include "node/cli/openblas.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace tequio::node {
namespace {

// cblas.h's values (row-major order, operand as it is, operand transposed).
constexpr int row_major = 101;
constexpr int as_stored = 111;
constexpr int transposed = 112;

/// OpenBLAS's cores whose SGEMM uses AVX-512, and those that use AVX2.
constexpr std::array<std::string_view, 3> avx512_cores{"SkylakeX", "Cooperlake", "SapphireRapids"};
constexpr std::array<std::string_view, 3> avx2_cores{"Haswell", "Zen", "Excavator"};

bool is_one_of(const auto& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

base::error absent(std::string_view what) {
    return ends_with(exit_code::failure,
                     "no OpenBLAS to compare with (" + std::string(what) +
                         "); Debian's package libopenblas0-pthread gives this yardstick");
}

template <class Function>
bool find(void* library, const char* name, Function& out) {
    out = reinterpret_cast<Function>(::dlsym(library, name));
    return out != nullptr;
}

}  // namespace

base::result<openblas> openblas::load() {
    ::setenv("OPENBLAS_THREAD_TIMEOUT", "22", 0);  // log2 of the processor's clock ticks
    void* library = ::dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return absent(::dlerror());
    openblas out;
    if (!find(library, "cblas_sgemm", out.sgemm_) ||
        !find(library, "openblas_set_num_threads", out.set_num_threads_) ||
        !find(library, "openblas_get_corename", out.get_corename_)) {
        return absent("libopenblas.so.0 lacks a function of OpenBLAS's");
    }
    return out;
}

void openblas::set_threads(unsigned threads) const {
    set_num_threads_(static_cast<int>(threads));
}

std::string openblas::core() const {
    return get_corename_();
}

void openblas::multiply(training::product_form form, std::size_t m, std::size_t n, std::size_t k,
                        const float* a, const float* b, float* c) const {
    const bool tn = form == training::product_form::tn;
    const bool nt = form == training::product_form::nt;
    const auto size = [](std::size_t x) { return static_cast<int>(x); };
    sgemm_(row_major, tn ? transposed : as_stored, nt ? transposed : as_stored, size(m), size(n),
           size(k), 1.0F, a, size(tn ? m : k), b, size(nt ? k : n), 0.0F, c, size(n));
}

std::optional<openblas> find_openblas(const cli_context& context, unsigned threads,
                                      const std::string& target) {
    auto found = openblas::load();
    if (!found) {
        context.say(found.error().message());
        return std::nullopt;
    }
    found->set_threads(threads);
    const auto core = found->core();
    const bool enough = is_one_of(avx512_cores, core) ||
                        (target != "avx512" && is_one_of(avx2_cores, core)) || target == "neon";
    if (!enough) {
        context.say("OpenBLAS uses its " + core + " kernels here, and ours use " + target +
                    "; OPENBLAS_CORETYPE=" + (target == "avx512" ? "SkylakeX" : "Haswell") +
                    " names a fair match");
    }
    return *found;
}

}  // namespace tequio::node
