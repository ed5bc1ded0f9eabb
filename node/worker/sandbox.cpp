#include "node/worker/sandbox.hpp"

#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "node/worker/landlock.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEQUIO_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define TEQUIO_SANITIZED 1
#endif
#endif
#ifndef TEQUIO_SANITIZED
#define TEQUIO_SANITIZED 0
#endif

namespace tequio::node {
namespace {

/// The program's own writable pages, libraries' data, the allocator's slack (guess).
constexpr std::uint64_t program_bytes = 64 * 1024 * 1024;
/// glibc's default stack, which counts whole as soon as a thread starts.
constexpr std::uint64_t stack_bytes = 8 * 1024 * 1024;

constexpr int highest_descriptor = 64;

base::error sandbox_error(const char* what, int error_number) {
    return base::fail(base::errc::io_failure,
                      std::string("sandbox: cannot ") + what + ": " + std::strerror(error_number));
}

base::result<void> set_limit(int which, rlim_t value, const char* name) {
    const rlimit limit{value, value};
    if (::setrlimit(static_cast<__rlimit_resource>(which), &limit) != 0) {
        return sandbox_error(name, errno);
    }
    return {};
}

using filter = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

/// Collects rules; remembers the first failure.
class rule_list {
public:
    rule_list(scmp_filter_ctx context, std::uint32_t action) : context_(context), action_(action) {}

    template <class... Conditions>
    rule_list& add(const char* call, Conditions... conditions) {
        const int number = ::seccomp_syscall_resolve_name(call);
        // Negative: a call that this processor's kernels do not have (poll on Arm).
        if (number < 0 || failure_ != 0) return *this;
        const scmp_arg_cmp list[] = {conditions..., scmp_arg_cmp{}};
        failure_ = ::seccomp_rule_add_array(context_, action_, number, sizeof...(conditions), list);
        return *this;
    }
    int failure() const { return failure_; }

private:
    scmp_filter_ctx context_;
    std::uint32_t action_;
    int failure_ = 0;
};

scmp_arg_cmp equals(unsigned argument, std::uint64_t value) {
    return {argument, SCMP_CMP_EQ, value, 0};
}

scmp_arg_cmp has_no_bit(unsigned argument, std::uint64_t bits) {
    return {argument, SCMP_CMP_MASKED_EQ, bits, 0};
}

/// Everything that computing needs, and nothing else.
int allow_compute(scmp_filter_ctx context) {
    rule_list allow(context, SCMP_ACT_ALLOW);
    // Messages with the daemon: on sockets that exist already; none can be made.
    allow.add("recvmsg").add("sendmsg").add("poll").add("ppoll").add("close");
    // Memory, never executable.
    allow.add("mmap", has_no_bit(2, PROT_EXEC)).add("mprotect", has_no_bit(2, PROT_EXEC));
    allow.add("munmap").add("mremap").add("madvise").add("brk");
    // Memory files for results.
    allow.add("memfd_create").add("ftruncate").add("lseek");
    allow.add("fcntl", equals(1, F_ADD_SEALS)).add("fcntl", equals(1, F_GET_SEALS));
    // Threads that exist already.
    allow.add("futex").add("sched_yield").add("sched_getaffinity").add("set_robust_list");
    allow.add("rseq").add("exit").add("exit_group").add("restart_syscall");
    // Signals to ourselves: abort() after a failed ensure.
    const auto self = static_cast<std::uint64_t>(::getpid());
    allow.add("tgkill", equals(0, self)).add("getpid").add("gettid");
    allow.add("rt_sigreturn").add("rt_sigprocmask").add("rt_sigaction");
    // Last words on stderr.
    allow.add("write", equals(0, STDERR_FILENO)).add("writev", equals(0, STDERR_FILENO));
    // Clocks where the vDSO cannot answer; random bytes that seed the allocator's checks.
    allow.add("clock_gettime").add("gettimeofday").add("getrandom");
    return allow.failure();
}

/// What even a sanitizer build must not do.
int forbid_harm(scmp_filter_ctx context) {
    rule_list forbid(context, SCMP_ACT_ERRNO(EPERM));
    forbid.add("socket").add("connect").add("bind").add("listen").add("accept").add("accept4");
    forbid.add("execve").add("execveat").add("ptrace").add("kill").add("tkill");
    forbid.add("process_vm_readv").add("process_vm_writev").add("pidfd_open").add("pidfd_getfd");
    forbid.add("mount").add("umount2").add("unshare").add("setns").add("bpf").add("io_uring_setup");
    return forbid.failure();
}

}  // namespace

bool sandbox_is_relaxed() {
    return TEQUIO_SANITIZED != 0;
}

std::uint64_t worker_overhead_bytes(unsigned threads) {
    return program_bytes + threads * stack_bytes;
}

base::result<void> limit_resources(const sandbox_limits& limits) {
    TEQUIO_CHECK(set_limit(RLIMIT_CORE, 0, "forbid core dumps"));
    if (sandbox_is_relaxed()) return {};
    TEQUIO_CHECK(set_limit(RLIMIT_NOFILE, highest_descriptor, "limit descriptors"));
    if (limits.memory_bytes == 0) return {};
    // Ignored, so that a memory file above its limit is an error to report and not the end.
    ::signal(SIGXFSZ, SIG_IGN);
    TEQUIO_CHECK(set_limit(RLIMIT_FSIZE, limits.memory_bytes, "limit memory files"));
    // RLIMIT_DATA counts private writable mappings (Linux 4.7 and later). RLIMIT_AS would count the
    // allocator's reservations and the mapped tokens as well, which take no memory from anyone.
    const auto data = limits.memory_bytes + worker_overhead_bytes(limits.threads);
    return set_limit(RLIMIT_DATA, data, "limit memory");
}

base::result<unsigned> forbid_opening() {
    if (sandbox_is_relaxed()) return 0u;
    return forbid_new_access();
}

base::result<std::string> enter_sandbox(unsigned landlock) {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return sandbox_error("give up new privileges", errno);
    }
    const auto otherwise = sandbox_is_relaxed() ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO(EPERM);
    const filter rules(::seccomp_init(otherwise), &::seccomp_release);
    if (!rules) return sandbox_error("make a filter", ENOMEM);
    // All threads: the pool is running already, so that no thread need ever be made inside.
    int failure = -::seccomp_attr_set(rules.get(), SCMP_FLTATR_CTL_TSYNC, 1);
    if (failure == 0) {
        failure = -(sandbox_is_relaxed() ? forbid_harm(rules.get()) : allow_compute(rules.get()));
    }
    if (failure == 0) failure = -::seccomp_load(rules.get());
    if (failure != 0) return sandbox_error("load the system-call filter", failure);
    if (sandbox_is_relaxed()) return std::string("seccomp (relaxed: sanitizer build)");
    if (landlock == 0) return std::string("seccomp, no landlock in this kernel");
    return "seccomp + landlock " + std::to_string(landlock);
}

}  // namespace tequio::node
