#include "tests/support/assist_meter.hpp"

#if defined(__x86_64__)
#include <signal.h>
#include <ucontext.h>
#include <xmmintrin.h>
#endif

namespace tequio::tests {

#if defined(__x86_64__)
namespace {

constexpr unsigned all_masked = 0x1f80;
constexpr unsigned counting = all_masked & ~0x0900U;  // denormal operand 0x100, underflow 0x800
constexpr greg_t single_step = 0x100;

// Written by handlers of signals that this thread's own instructions raise.
volatile std::uint64_t counted = 0;
volatile std::uint64_t most_counted = 0;

/// The opcode of an SSE, VEX or EVEX instruction of the first map (0F); 0 for another map's.
unsigned first_map_opcode(const std::uint8_t* at) {
    while (*at == 0x66 || *at == 0xf2 || *at == 0xf3 || (*at & 0xf0) == 0x40) ++at;
    if (at[0] == 0xc5) return at[2];
    if (at[0] == 0xc4) return (at[1] & 0x1f) == 1 ? at[3] : 0;
    if (at[0] == 0x62) return (at[1] & 0x07) == 1 ? at[4] : 0;
    return at[0] == 0x0f ? at[1] : 0;
}

bool is_assisted(const std::uint8_t* at) {
    switch (first_map_opcode(at)) {
        case 0xc2:  // cmp
        case 0x2e:  // ucomi
        case 0x2f:  // comi
        case 0x5d:  // min
        case 0x5f:  // max
        case 0x58:  // add
        case 0x5c:  // sub
            return false;
        default:
            return true;
    }
}

void on_exception(int, siginfo_t*, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    const auto at = static_cast<std::uintptr_t>(machine.gregs[REG_RIP]);
    if (is_assisted(reinterpret_cast<const std::uint8_t*>(at))) counted = counted + 1;
    machine.fpregs->mxcsr = all_masked;
    machine.gregs[REG_EFL] |= single_step;
}

void on_step(int, siginfo_t*, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    machine.fpregs->mxcsr = counted < most_counted ? counting : all_masked;
    machine.gregs[REG_EFL] &= ~single_step;
}

struct sigaction kept_exception, kept_step;

void handle(int signal, void (*handler)(int, siginfo_t*, void*), struct sigaction* kept) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaction(signal, &action, kept);
}

}  // namespace

bool assist_meter_works() {
    return true;
}

void start_assist_meter(std::uint64_t most) {
    counted = 0;
    most_counted = most;
    handle(SIGFPE, on_exception, &kept_exception);
    handle(SIGTRAP, on_step, &kept_step);
    if (most > 0) _mm_setcsr(counting);
}

std::uint64_t stop_assist_meter() {
    _mm_setcsr(all_masked);
    sigaction(SIGFPE, &kept_exception, nullptr);
    sigaction(SIGTRAP, &kept_step, nullptr);
    return counted;
}
#else
bool assist_meter_works() {
    return false;
}
void start_assist_meter(std::uint64_t) {}
std::uint64_t stop_assist_meter() {
    return 0;
}
#endif

}  // namespace tequio::tests
