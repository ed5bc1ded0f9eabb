// The program that the worker tests start: the real worker, or one forbidden deed tried from inside
// the finished sandbox. Ends with 0 if the deed was refused, 1 if it succeeded, 2 if the set-up
// failed, 77 if this build's sandbox does not cover it.

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "node/worker/compute_pool.hpp"
#include "node/worker/sandbox.hpp"
#include "node/worker/shared_memory.hpp"
#include "node/worker/worker_main.hpp"

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

bool opens_socket() {
    return ::socket(AF_INET, SOCK_STREAM, 0) >= 0 || ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ||
           ::socket(AF_NETLINK, SOCK_RAW, 0) >= 0;
}

bool pairs_sockets() {
    int ends[2];
    return ::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0;
}

bool opens_file() {
    return ::open("/etc/passwd", O_RDONLY) >= 0 ||
           ::open("/tmp/tequio-probe", O_CREAT | O_WRONLY, 0600) >= 0;
}

bool looks_at_file() {
    struct stat info {};
    return ::stat("/etc/passwd", &info) == 0 || ::access("/etc/passwd", F_OK) == 0;
}

bool forks() {
    const auto child = ::fork();
    if (child == 0) ::_exit(0);
    return child > 0;
}

bool makes_thread() {
    // As pthread_create does, without its stack: the kernel looks at the flags first.
    const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    static std::array<char, 16384> stack;
    const auto child = ::syscall(SYS_clone, flags, stack.data() + stack.size(), 0, 0, 0);
    if (child == 0) ::syscall(SYS_exit, 0);
    return child > 0;
}

bool runs_program() {
    // Nothing of this program goes on if this works: say so by the code that means success.
    char name[] = "/bin/sh", option[] = "-c", line[] = "exit 1";
    char* arguments[] = {name, option, line, nullptr};
    ::execve(name, arguments, nullptr);
    return false;
}

bool signals_parent() {
    return ::kill(::getppid(), 0) == 0 || ::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0) == 0;
}

bool traces_parent() {
    return ::ptrace(PTRACE_SEIZE, ::getppid(), nullptr, nullptr) == 0;
}

bool makes_code() {
    auto* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) return true;
    page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED || ::mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0;
}

bool gives_file_to_descriptor() {
    return ::dup2(STDERR_FILENO, 40) >= 0 || ::fcntl(STDERR_FILENO, F_DUPFD, 40) >= 0;
}

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
    {"socket", {opens_socket, true}},
    {"socketpair", {pairs_sockets, false}},
    {"open", {opens_file, false}},
    {"stat", {looks_at_file, false}},
    {"fork", {forks, false}},
    {"thread", {makes_thread, false}},
    {"execve", {runs_program, true}},
    {"kill", {signals_parent, false}},
    {"ptrace", {traces_parent, true}},
    {"code", {makes_code, false}},
    {"descriptor", {gives_file_to_descriptor, false}},
    {"memory", {takes_too_much_memory, false}},
    {"memory_file", {makes_large_memory_file, false}},
    {"core", {dumps_core, true}},
    {"compute", {cannot_compute, true}},
};

int try_probe(const std::string& name) {
    const auto found = probes.find(name);
    if (found == probes.end()) return 2;
    if (sandbox_is_relaxed() && !found->second.covered_when_relaxed) return 77;
    compute_pool pool(2);
    if (!limit_resources({memory_limit, 2})) return 2;
    rlimit core{};
    if (::getrlimit(RLIMIT_CORE, &core) == 0) core_limit = core.rlim_max;
    if (!enter_sandbox()) return 2;
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

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments.size() == 2 && arguments[0] == "probe") return try_probe(arguments[1]);
    worker_settings settings;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (arguments[i] == "--threads") settings.threads = std::stoul(arguments[i + 1]) & 0xfff;
        if (arguments[i] == "--memory") settings.memory_bytes = std::stoull(arguments[i + 1]);
        if (arguments[i] == "--usual-priority") settings.low_priority = false;
    }
    return worker_main(settings);
}
