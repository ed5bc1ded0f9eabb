// The program that the worker tests start: the real worker, or forbidden deeds tried from inside
// the finished sandbox. Ends with 0 if they were refused, 1 if one was not, 2 if the set-up failed,
// 77 if this build or this kernel does not cover it.

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "node/worker/compute_pool.hpp"
#include "node/worker/protection_probe.hpp"
#include "node/worker/sandbox.hpp"
#include "node/worker/shared_memory.hpp"
#include "node/worker/worker_main.hpp"
#include "tests/unit/node/forbidden_deeds.hpp"

// LeakSanitizer starts a thread and traces its own process when that ends, which the sandbox
// forbids. Asked for in builds with AddressSanitizer alone.
extern "C" const char* __asan_default_options();
extern "C" const char* __asan_default_options() {
    return "detect_leaks=0";
}

namespace {

using namespace tequio::node;

constexpr std::uint64_t memory_limit = 64 * 1024 * 1024;

/// True if the deed was done.
using deed = bool (*)();

#ifdef __x86_64__
/// The 32-bit entrance has call numbers of its own: 20 is getpid there and writev here.
bool enters_by_the_old_gate() {
    long answer = 20;
    asm volatile("int $0x80" : "+a"(answer) : : "memory", "r8", "r9", "r10", "r11");
    return true;
}

bool enters_as_x32() {
    constexpr long x32_bit = 0x40000000;
    return ::syscall(x32_bit | SYS_getpid) >= 0;
}
#endif

/// More private memory than the limit and its allowances (64 MiB and 8 MiB for each of two
/// threads).
bool takes_too_much_memory() {
    constexpr std::size_t step = 16 * 1024 * 1024;
    std::vector<void*> taken;
    for (std::size_t sum = 0; sum < memory_limit + (64 + 16 + 32) * 1024 * 1024; sum += step) {
        void* part = std::malloc(step);
        if (part == nullptr) return false;
        taken.push_back(part);
    }
    return true;
}

bool makes_large_memory_file() {
    return make_memory_file("large", 2 * memory_limit).has_value();
}

/// Read before the sandbox closes: asking is not allowed inside.
rlim_t core_limit = 1;

bool dumps_core() {
    return core_limit != 0;
}

/// Not forbidden: what computing does. "Refused" (false) would be the defect, so it is negated.
bool cannot_compute() {
    std::vector<std::uint8_t> bytes(4 * 1024 * 1024, 7);
    const auto file = make_sealed_file("result", bytes);
    if (!file || !check_sealed_file(file->get(), bytes.size())) return true;
    void* grown = std::realloc(std::malloc(1024 * 1024), 32 * 1024 * 1024);
    if (grown == nullptr) return true;
    std::free(grown);
    return false;
}

struct probe {
    deed what;
    bool covered_when_relaxed;
};

const std::map<std::string, probe> probes{
    {"memory", {takes_too_much_memory, false}},
    {"memory_file", {makes_large_memory_file, false}},
    {"core", {dumps_core, true}},
    {"compute", {cannot_compute, true}},
#ifdef __x86_64__
    {"old_gate", {enters_by_the_old_gate, false}},
    {"x32", {enters_as_x32, false}},
#endif
};

int try_probe(const std::string& name) {
    const auto found = probes.find(name);
    if (found == probes.end()) return 2;
    if (sandbox_is_relaxed() && !found->second.covered_when_relaxed) return 77;
    const auto landlock = forbid_opening();
    if (!landlock) return 2;
    compute_pool pool(2);
    if (!limit_resources({memory_limit, 2})) return 2;
    rlimit core{};
    if (::getrlimit(RLIMIT_CORE, &core) == 0) core_limit = core.rlim_max;
    if (!enter_sandbox(*landlock)) return 2;
    // Both threads try: the one that closed the sandbox, and one that was running already.
    std::atomic<bool> done{false};
    std::atomic<int> arrived{0};
    pool.run(2, [&](std::size_t, unsigned) {
        arrived.fetch_add(1);
        while (arrived.load() < 2) {
        }
        if (found->second.what()) done = true;
    });
    return done ? 1 : 0;
}

/// One line on stderr, by the one call that is left inside.
void say(const std::string& line) {
    const auto text = line + "\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.data(), text.size());
}

/// Tries every deed with the walls of `mode` ("sandbox", "landlock" alone, "free": none), in two
/// threads: the one that closed the sandbox, and one that was running already. Says which ended
/// otherwise than they must; 1 if any did.
int try_deeds(const std::string& mode, const std::string& folder) {
    const auto deeds = testing::forbidden_deeds(folder);
    const auto landlock = mode == "free" ? tequio::base::result<unsigned>(0u) : forbid_opening();
    if (!landlock) return 2;
    if (mode == "landlock" && *landlock == 0) return 77;
    compute_pool pool(2);
    if (mode == "sandbox" && !(limit_resources({memory_limit, 2}) && enter_sandbox(*landlock))) {
        return 2;
    }
    std::atomic<bool> wrong{false};
    std::atomic<int> arrived{0};
    pool.run(2, [&](std::size_t, unsigned thread) {
        arrived.fetch_add(1);
        while (arrived.load() < 2) {
        }
        for (const auto& d : deeds) {
            if (mode == "sandbox" && sandbox_is_relaxed() && !d.in_relaxed) continue;
            if (mode == "landlock" && (d.landlock == 0 || d.landlock > *landlock)) continue;
            // Outside, two threads would be in one another's way.
            if (mode == "free" && (d.needs_rights || thread != 0)) continue;
            const auto end = d.attempt();
            if ((end == testing::deed_end::refused) == (mode != "free")) continue;
            wrong = true;
            say(mode + ": \"" + d.name + "\" " +
                (end == testing::deed_end::done
                     ? "worked"
                     : std::string("ended with ") + std::strerror(errno)));
        }
    });
    return wrong ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() == 2 && arguments[0] == "probe") return try_probe(arguments[1]);
    if (arguments.size() == 3 && arguments[0] == "deeds") {
        return try_deeds(arguments[1], arguments[2]);
    }
    worker_settings settings;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (arguments[i] == "--threads") settings.threads = std::stoul(arguments[i + 1]) & 0xfff;
        if (arguments[i] == "--memory") settings.memory_bytes = std::stoull(arguments[i + 1]);
        if (arguments[i] == "--usual-priority") settings.low_priority = false;
        if (arguments[i] == "--group") settings.group = arguments[i + 1];
    }
    if (arguments.size() > 1 && arguments[1] == "--probe-protection") {
        return protection_probe_main(settings.group, probe_answer_descriptor);
    }
    return worker_main(settings);
}
