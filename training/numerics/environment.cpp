#include "training/numerics/environment.hpp"

#include <cmath>

#include "training/numerics/float_bits.hpp"
#if defined(__x86_64__)
#include <xmmintrin.h>
#elif !defined(__aarch64__)
#error "exact numerics are for x86-64 and AArch64"
#endif

namespace tequio::training::numerics {

namespace {

class numerics_category final : public boost::system::error_category {
public:
    const char* name() const noexcept override { return "tequio.numerics"; }
    std::string message(int value) const override {
        return value == static_cast<int>(errc::bad_environment)
                   ? "this process or processor does not compute as exact/1 says"
                   : "unknown numerics error";
    }
};

#if defined(__x86_64__)
// All exceptions masked, round to nearest, FTZ and DAZ off; the low six bits are sticky flags.
constexpr unsigned wanted_control = 0x1f80;
constexpr unsigned control_mask = 0xffc0;

unsigned control_word() {
    return _mm_getcsr();
}
void write_control_word(unsigned word) {
    _mm_setcsr(word);
}
#else
// FPCR: round to nearest, no flushing (FZ, FZ16), no default NaN, no trapping.
constexpr unsigned long wanted_control = 0;
constexpr unsigned long control_mask = 0x07ff9f07;

unsigned long control_word() {
    unsigned long word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
}
void write_control_word(unsigned long word) {
    asm volatile("msr fpcr, %0" : : "r"(word));
}
#endif

}  // namespace

boost::system::error_code make_error_code(errc e) {
    static const numerics_category category;
    return {static_cast<int>(e), category};
}

void set_float_environment() {
    write_control_word(wanted_control);
}

bool float_environment_ok() {
    return (control_word() & control_mask) == wanted_control;
}

base::result<void> probe_float_environment() {
    const auto bad = [](const char* what) {
        return base::fail(errc::bad_environment,
                          std::string(what) + "; this process takes no exact work");
    };
    if (!float_environment_ok()) return bad("the rounding or subnormal mode is changed");
    // volatile: the compiler may not compute these beforehand.
    volatile float near_one = 0x1.000002p0F;
    volatile float square = 0x1.000004p0F;
    volatile float tiny = 0x1p-126F;
    volatile float half = 0.5F;
    const float a = near_one;
    // a * a = square + 2^-46: a separate product loses that bit, a fused one keeps it.
    if (a * a - square != 0.0F) return bad("a product and a sum were contracted");
    if (fused(a, a, -square) != 0x1p-46F) return bad("a fused multiply-add is not fused");
    const float subnormal = tiny * half;
    if (subnormal != 0x1p-127F) return bad("subnormal results become zero");
    if (subnormal * 2.0F != 0x1p-126F) return bad("subnormal operands become zero");
    volatile float tie = 0x1p-24F;
    if (1.0F + tie != 1.0F || near_one + tie != 0x1.000004p0F) {
        return bad("rounding is not to nearest even");
    }
    volatile float two = 2.0F;
    if (std::sqrt(two) != 0x1.6a09e6p0F) return bad("a square root is not correctly rounded");
    return {};
}

}  // namespace tequio::training::numerics
