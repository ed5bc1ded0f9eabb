#include "tests/unit/node/forbidden_deeds.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace tequio::node::testing {
namespace {

/// What a system call's answer says. A deed of one call hands its return value in.
deed_end end_of(long answer) {
    if (answer >= 0) return deed_end::done;
    return errno == EPERM || errno == EACCES ? deed_end::refused : deed_end::other;
}

long as_word(long value) {
    return value;
}
long as_word(const void* value) {
    return reinterpret_cast<long>(value);
}

/// One system call; whole registers, as the kernel reads them.
template <class... Arguments>
std::function<deed_end()> call(long number, Arguments... arguments) {
    return [=] { return end_of(::syscall(number, as_word(arguments)...)); };
}

constexpr auto nothing = static_cast<const char*>(nullptr);

/// Ends a child that should not exist.
deed_end end_of_child(long child) {
    if (child == 0) ::syscall(SYS_exit_group, 0);
    return end_of(child);
}

int ends_at_once(void*) {
    ::syscall(SYS_exit, 0);
    return 0;
}

/// As pthread_create does.
deed_end makes_thread() {
    alignas(16) static std::array<char, 16384> stack;
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
    return end_of(::clone(ends_at_once, stack.data() + stack.size(), flags, nullptr));
}

deed_end maps_code() {
    const auto* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return end_of(page == MAP_FAILED ? -1 : 0);
}

deed_end turns_data_into_code() {
    auto* page = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return deed_end::other;
    return end_of(::mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

deed_end maps_memory_file_as_code() {
    const int file = static_cast<int>(::syscall(SYS_memfd_create, "code", 0));
    if (file < 0 || ::ftruncate(file, 4096) != 0) return deed_end::other;
    const auto* page = ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, file, 0);
    return end_of(page == MAP_FAILED ? -1 : 0);
}

/// An empty memory file is no program (ENOEXEC): nothing is run even where nothing forbids it.
deed_end runs_memory_file() {
    const int file = static_cast<int>(::syscall(SYS_memfd_create, "program", 0));
    if (file < 0) return deed_end::other;
    char* nobody[] = {nullptr};
    return end_of(::syscall(SYS_execveat, file, "", nobody, nobody, AT_EMPTY_PATH));
}

deed_end touches_parent_memory(long number) {
    static char byte;
    struct {
        void* base;
        std::size_t size;
    } part{&byte, 1};
    return end_of(::syscall(number, ::getppid(), &part, 1, &part, 1, 0));
}

deed_end reaches_tcp(long number) {
    const int s = static_cast<int>(::syscall(SYS_socket, AF_INET, SOCK_STREAM, 0));
    if (s < 0) return end_of(s);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    where.sin_port = htons(number == SYS_connect ? 9 : 0);
    const auto end = end_of(::syscall(number, s, &where, sizeof where));
    ::syscall(SYS_close, s);
    return end;
}

/// A name without a place in the file system, made by this process before any wall stood.
int abstract_listener(const std::string& name, sockaddr_un& where, socklen_t& size) {
    where = {};
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path + 1, name.data(), std::min(name.size(), sizeof where.sun_path - 2));
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    const int s = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (s < 0 || ::bind(s, reinterpret_cast<const sockaddr*>(&where), size) != 0 ||
        ::listen(s, 16) != 0) {
        return -1;
    }
    return s;
}

using list = std::vector<forbidden_deed>;

/// What the deeds on files point at; kept for the process's life.
struct test_files {
    std::string folder, inside, missing;
    int descriptor = -1;
};

test_files& files() {
    static test_files one;
    return one;
}

void make_files(const std::string& folder) {
    auto& f = files();
    f.folder = folder;
    f.inside = folder + "/file";
    f.missing = folder + "/new";
    // Empty: a program that the kernel does not know (ENOEXEC), so nothing is ever run.
    f.descriptor = ::open(f.inside.c_str(), O_CREAT | O_RDWR, 0700);
}

/// Removes what a deed has made, so that it can be tried again.
deed_end undone(long answer) {
    const auto end = end_of(answer);
    if (answer >= 0) ::syscall(SYS_unlinkat, AT_FDCWD, files().missing.c_str(), 0);
    return end;
}

std::function<deed_end()> open_call(const char* path, int flags) {
    return call(SYS_openat, AT_FDCWD, path, flags, 0);
}

void add_opening(list& out) {
    const char* there = files().inside.c_str();
    const char* dir = files().folder.c_str();
    out.push_back({"open a file to read", open_call("/etc/passwd", O_RDONLY), false, 1});
    out.push_back({"open a file to write", open_call(there, O_WRONLY), false, 1});
    out.push_back({"open a file to append", open_call(there, O_WRONLY | O_APPEND), false, 1});
    out.push_back({"list a folder", open_call("/", O_RDONLY | O_DIRECTORY), false, 1});
    out.push_back(
        {"list the descriptors", open_call("/proc/self/fd", O_RDONLY | O_DIRECTORY), false, 1});
    out.push_back({"open its own memory", open_call("/proc/self/mem", O_RDWR), false, 1});
    out.push_back({"open a device", open_call("/dev/zero", O_RDWR), false, 1});
    out.push_back({"open a nameless file", open_call(dir, O_RDWR | O_TMPFILE), false, 1});
    out.push_back({"open a place", open_call("/", O_PATH)});
    static std::array<std::uint64_t, 3> how{};  // struct open_how: flags, mode, resolve
    out.push_back(
        {"openat2", call(SYS_openat2, AT_FDCWD, "/etc/passwd", how.data(), sizeof how), false, 1});
}

void add_names(list& out) {
    const char* there = files().inside.c_str();
    const char* fresh = files().missing.c_str();
    out.push_back({"create a file",
                   [=] {
                       return undone(::syscall(SYS_openat, AT_FDCWD, fresh,
                                               O_CREAT | O_EXCL | O_WRONLY, 0600));
                   },
                   false, 1});
    out.push_back({"make a folder",
                   [=] {
                       const long answer = ::syscall(SYS_mkdirat, AT_FDCWD, fresh, 0700);
                       const auto end = end_of(answer);
                       if (answer >= 0) ::syscall(SYS_unlinkat, AT_FDCWD, fresh, AT_REMOVEDIR);
                       return end;
                   },
                   false, 1});
    out.push_back(
        {"make a pipe with a name",
         [=] { return undone(::syscall(SYS_mknodat, AT_FDCWD, fresh, S_IFIFO | 0600, 0)); }, false,
         1});
    out.push_back({"make a symbolic link",
                   [=] { return undone(::syscall(SYS_symlinkat, "/etc/passwd", AT_FDCWD, fresh)); },
                   false, 1});
    out.push_back(
        {"make a hard link",
         [=] { return undone(::syscall(SYS_linkat, AT_FDCWD, there, AT_FDCWD, fresh, 0)); }, false,
         1});
    out.push_back({"rename a file",
                   [=] {
                       const long answer =
                           ::syscall(SYS_renameat2, AT_FDCWD, there, AT_FDCWD, fresh, 0);
                       const auto end = end_of(answer);
                       if (answer >= 0)
                           ::syscall(SYS_renameat2, AT_FDCWD, fresh, AT_FDCWD, there, 0);
                       return end;
                   },
                   false, 1});
    out.push_back({"remove a file",
                   [=] {
                       const long answer = ::syscall(SYS_unlinkat, AT_FDCWD, there, 0);
                       const auto end = end_of(answer);
                       if (answer >= 0)
                           ::syscall(SYS_openat, AT_FDCWD, there, O_CREAT | O_RDWR, 0700);
                       return end;
                   },
                   false, 1});
    out.push_back({"cut a file short", call(SYS_truncate, there, 0), false, 3});
    out.push_back({"run a program from a file",
                   [=] {
                       char* nobody[] = {nullptr};
                       return end_of(::syscall(SYS_execve, there, nobody, nobody));
                   },
                   false, 1, true});
}

void add_file_calls(list& out) {
    const char* there = files().inside.c_str();
    const int made = files().descriptor;
    static struct stat info;
    out.push_back({"look at a file", call(SYS_newfstatat, AT_FDCWD, "/etc/passwd", &info, 0)});
    out.push_back({"ask whether a file is there", call(SYS_faccessat, AT_FDCWD, "/etc/passwd", 0)});
    static std::array<char, 256> text;
    out.push_back(
        {"read a link", call(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", text.data(), 256)});
    out.push_back({"go to a folder", call(SYS_chdir, "/")});
    out.push_back({"ask where it is", call(SYS_getcwd, text.data(), 256)});
    out.push_back({"change a file's mode", call(SYS_fchmodat, AT_FDCWD, there, 0700)});
    out.push_back({"change a descriptor's mode", call(SYS_fchmod, made, 0700)});
    out.push_back({"lock a file", call(SYS_flock, made, 2 /* LOCK_EX */)});
    out.push_back({"write to another descriptor", call(SYS_write, made, "x", 1)});
    out.push_back({"read from a descriptor", call(SYS_read, made, text.data(), 1)});
    out.push_back({"write at a place", call(SYS_pwrite64, made, "x", 1, 0)});
    out.push_back({"copy between files", call(SYS_sendfile, made, made, nothing, 1)});
    out.push_back({"list a descriptor's folder", call(SYS_getdents64, made, text.data(), 256)});
    out.push_back({"watch files", call(SYS_inotify_init1, 0)});
    out.push_back({"watch all files", call(SYS_fanotify_init, 0xffffffffu, 0), true});
    out.push_back({"open by handle", call(SYS_open_by_handle_at, -1, nothing, 0), true});
    out.push_back({"list extended attributes", call(SYS_listxattr, "/", text.data(), 256)});
    out.push_back({"write everything to disk", call(SYS_syncfs, made)});
}

void add_descriptors(list& out) {
    static std::array<int, 2> ends;
    out.push_back({"copy a descriptor", call(SYS_dup, STDERR_FILENO)});
    out.push_back({"copy a descriptor to a number", call(SYS_dup3, STDERR_FILENO, 40, 0)});
    out.push_back({"copy a descriptor by fcntl", call(SYS_fcntl, STDERR_FILENO, F_DUPFD, 40)});
    out.push_back({"read a descriptor's flags", call(SYS_fcntl, STDERR_FILENO, F_GETFL, 0)});
    out.push_back({"ask for signals of a descriptor", call(SYS_fcntl, STDERR_FILENO, F_SETOWN, 0)});
    out.push_back(
        {"command a device", call(SYS_ioctl, STDERR_FILENO, 0x5401 /* TCGETS */, nothing)});
    out.push_back({"make a pipe", call(SYS_pipe2, ends.data(), 0)});
    out.push_back({"make an event descriptor", call(SYS_eventfd2, 0, 0)});
    out.push_back({"make a poll descriptor", call(SYS_epoll_create1, 0)});
    out.push_back({"make a timer descriptor", call(SYS_timerfd_create, 0, 0)});
}

void add_network(list& out, const std::string& folder) {
    const auto socket = [](int family, int type) { return call(SYS_socket, family, type, 0); };
    out.push_back({"IPv4 socket", socket(AF_INET, SOCK_STREAM), false, 0, true});
    out.push_back({"IPv4 datagram socket", socket(AF_INET, SOCK_DGRAM), false, 0, true});
    out.push_back({"IPv6 socket", socket(AF_INET6, SOCK_STREAM), false, 0, true});
    out.push_back({"Unix socket", socket(AF_UNIX, SOCK_STREAM), false, 0, true});
    out.push_back({"netlink socket", socket(AF_NETLINK, SOCK_RAW), false, 0, true});
    out.push_back({"packet socket", socket(AF_PACKET, SOCK_RAW), true, 0, true});
    out.push_back({"raw socket", socket(AF_INET, SOCK_RAW), true, 0, true});
    out.push_back(
        {"socket of virtual machines", socket(40 /* AF_VSOCK */, SOCK_STREAM), true, 0, true});
    static std::array<int, 2> ends;
    out.push_back({"socket pair", call(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, ends.data())});
    out.push_back({"connect to a port", [] { return reaches_tcp(SYS_connect); }, false, 4, true});
    out.push_back({"wait at a port", [] { return reaches_tcp(SYS_bind); }, false, 4, true});
    out.push_back({"listen", call(SYS_listen, STDERR_FILENO, 1), false, 0, true});
    out.push_back(
        {"accept", call(SYS_accept4, STDERR_FILENO, nothing, nothing, 0), false, 0, true});
    out.push_back({"send to an address", call(SYS_sendto, STDERR_FILENO, "x", 1, 0, nothing, 0)});
    static int option = 1;
    out.push_back({"set a socket's option",
                   call(SYS_setsockopt, STDERR_FILENO, SOL_SOCKET, SO_BROADCAST, &option, 4)});
    static sockaddr_un named;
    named.sun_family = AF_UNIX;
    const auto path = folder + "/socket";
    std::memcpy(named.sun_path, path.data(), std::min(path.size(), sizeof named.sun_path - 1));
    out.push_back({"make a socket in a folder",
                   [] {
                       const int s =
                           static_cast<int>(::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
                       if (s < 0) return end_of(s);
                       const long answer = ::syscall(SYS_bind, s, &named, sizeof named);
                       const auto end = end_of(answer);
                       if (answer >= 0) ::syscall(SYS_unlinkat, AT_FDCWD, named.sun_path, 0);
                       ::syscall(SYS_close, s);
                       return end;
                   },
                   false, 1});
    static sockaddr_un abstract;
    static socklen_t abstract_size;
    abstract_listener("tequio-test-" + std::to_string(::getpid()), abstract, abstract_size);
    out.push_back({"connect to an abstract name",
                   [] {
                       const int s =
                           static_cast<int>(::syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));
                       if (s < 0) return end_of(s);
                       const auto end = end_of(::syscall(SYS_connect, s, &abstract, abstract_size));
                       ::syscall(SYS_close, s);
                       return end;
                   },
                   false, 6});
}

void add_processes(list& out) {
    out.push_back({"fork", [] { return end_of_child(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)); }});
    out.push_back({"clone3", call(SYS_clone3, nothing, 0), true});
    out.push_back({"make a thread", makes_thread});
    out.push_back({"execve", call(SYS_execve, nothing, nothing, nothing), false, 0, true});
    out.push_back({"run a memory file", runs_memory_file, false, 0, true});
    // Signal 0 asks for the right only.
    out.push_back(
        {"signal its parent", [] { return end_of(::kill(::getppid(), 0)); }, false, 6, true});
    out.push_back({"signal a thread of its parent",
                   [] { return end_of(::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0)); }, false,
                   6});
    out.push_back(
        {"tkill", [] { return end_of(::syscall(SYS_tkill, ::getppid(), 0)); }, false, 6, true});
    out.push_back({"signal everybody", call(SYS_kill, -1, 0), true, 0, true});
    out.push_back({"send a signal with a value",
                   [] { return end_of(::syscall(SYS_rt_sigqueueinfo, ::getppid(), 0, nothing)); }});
    out.push_back({"trace its parent",
                   [] { return end_of(::syscall(SYS_ptrace, PTRACE_SEIZE, ::getppid(), 0, 0)); },
                   true, 1, true});
    out.push_back({"be traced", call(SYS_ptrace, -1, 0, 0, 0), false, 0, true});
    out.push_back({"read another's memory",
                   [] { return touches_parent_memory(SYS_process_vm_readv); }, true, 1, true});
    out.push_back({"write another's memory",
                   [] { return touches_parent_memory(SYS_process_vm_writev); }, true, 0, true});
    out.push_back({"hold another process",
                   [] { return end_of(::syscall(SYS_pidfd_open, ::getppid(), 0)); }, false, 0,
                   true});
    out.push_back({"take another's descriptor", call(SYS_pidfd_getfd, -1, 0, 0), true, 0, true});
    out.push_back(
        {"advise another's memory", call(SYS_process_madvise, -1, nothing, 0, 0, 0), true});
    out.push_back({"compare processes", call(SYS_kcmp, -1, -1, 99, 0, 0), true});
    out.push_back({"wait for a child", call(SYS_wait4, -1, nothing, 1 /* WNOHANG */, nothing)});
    out.push_back({"leave its group of processes", call(SYS_setpgid, 0, -1)});
    out.push_back({"become another user", call(SYS_setresuid, -1, -1, -1)});
    out.push_back({"become another group", call(SYS_setgroups, 1, nothing), true});
    out.push_back({"ask for capabilities", call(SYS_capget, nothing, nothing)});
    out.push_back({"take capabilities", call(SYS_capset, nothing, nothing)});
}

void add_undoing(list& out) {
    static rlimit limit{RLIM_INFINITY, RLIM_INFINITY};
    static sched_param priority{};
    static std::array<std::uint64_t, 3> ruleset{1, 0, 0};
    out.push_back({"raise a limit", call(SYS_prlimit64, 0, RLIMIT_DATA, &limit, nothing), true});
    out.push_back({"read a limit", call(SYS_prlimit64, 0, RLIMIT_DATA, nothing, &limit)});
    out.push_back({"go back to the usual class",
                   call(SYS_sched_setscheduler, 0, SCHED_OTHER, &priority), true});
    out.push_back({"go back to the usual nice value", call(SYS_setpriority, 0, 0, 0), true});
    out.push_back({"go back to the usual disk class", call(SYS_ioprio_set, 1, 0, 2 << 13)});
    out.push_back({"choose processors", call(SYS_sched_setaffinity, 0, 0, nothing)});
    out.push_back({"take another system-call filter", call(SYS_seccomp, 1, 0, nothing)});
    out.push_back({"look for system-call filters", call(SYS_seccomp, 2, 0, nothing)});
    out.push_back({"let itself be traced", call(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)});
    out.push_back({"outlive its daemon", call(SYS_prctl, PR_SET_PDEATHSIG, 0, 0, 0, 0)});
    out.push_back(
        {"forget that privileges are given up", call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)});
    out.push_back({"rename itself", call(SYS_prctl, PR_SET_NAME, "innocent", 0, 0, 0)});
    out.push_back(
        {"make rules of its own", call(SYS_landlock_create_ruleset, ruleset.data(), 8, 0), true});
    out.push_back({"change how memory is run", call(SYS_personality, 0xffffffff)});
}

void add_memory(list& out) {
    out.push_back({"map executable memory", maps_code});
    out.push_back({"turn data into code", turns_data_into_code});
    out.push_back({"map a memory file as code", maps_memory_file_as_code});
    out.push_back({"protect by key", call(SYS_pkey_mprotect, nothing, 0, 0, -1)});
    out.push_back({"share memory by number", call(SYS_shmget, 0, 0, 0)});
    out.push_back({"attach memory by number", call(SYS_shmat, -1, nothing, 0)});
    out.push_back({"handle its own page faults", call(SYS_userfaultfd, -1), true});
    out.push_back({"lock memory", call(SYS_mlockall, 0)});
    out.push_back({"place its memory", call(SYS_set_mempolicy, -1, nothing, 0), true});
    out.push_back({"rewrite its own map", call(SYS_remap_file_pages, 0, 0, -1, 0, 0)});
}

void add_kernel(list& out) {
    out.push_back({"mount", call(SYS_mount, nothing, nothing, nothing, 0, nothing), true, 0, true});
    out.push_back({"unmount", call(SYS_umount2, nothing, 0), true, 0, true});
    out.push_back({"open a file system", call(SYS_fsopen, nothing, -1), true});
    out.push_back({"pivot_root", call(SYS_pivot_root, nothing, nothing), true});
    out.push_back({"change its root", call(SYS_chroot, nothing), true});
    out.push_back({"unshare", call(SYS_unshare, 1), true, 0, true});
    out.push_back({"enter a namespace", call(SYS_setns, -1, 0), true, 0, true});
    out.push_back({"bpf", call(SYS_bpf, -1, nothing, 0), true, 0, true});
    out.push_back({"perf_event_open", call(SYS_perf_event_open, nothing, 0, -1, -1, 0), true});
    out.push_back({"io_uring", call(SYS_io_uring_setup, 0, nothing), true, 0, true});
    out.push_back({"asynchronous files", call(SYS_io_setup, 0, nothing)});
    out.push_back({"keyctl", call(SYS_keyctl, -1, 0, 0, 0, 0), true});
    out.push_back({"add a key", call(SYS_add_key, nothing, nothing, nothing, 0, 0), true});
    out.push_back({"ask for a key", call(SYS_request_key, nothing, nothing, nothing, 0), true});
    out.push_back({"read the kernel's log", call(SYS_syslog, -1, nothing, 0), true});
    out.push_back({"load a module", call(SYS_finit_module, -1, nothing, 0), true});
    out.push_back({"unload a module", call(SYS_delete_module, nothing, 0), true});
    out.push_back({"load a kernel", call(SYS_kexec_load, 0, -1, nothing, -1), true});
    out.push_back({"reboot", call(SYS_reboot, 0, 0, 0, nothing), true});
    out.push_back({"swap", call(SYS_swapoff, nothing), true});
    out.push_back({"set the clock", call(SYS_clock_settime, -1, nothing), true});
    out.push_back({"rename the machine", call(SYS_sethostname, nothing, -1), true});
    out.push_back({"make a message queue", call(SYS_mq_open, nothing, 0, 0, nothing)});
    out.push_back({"make a timer", call(SYS_timer_create, -1, nothing, nothing)});
    out.push_back({"ask about the machine", call(SYS_uname, nothing)});
#ifdef __x86_64__
    out.push_back({"iopl", call(SYS_iopl, 4), true});
    out.push_back({"change its segments", call(SYS_modify_ldt, -1, nothing, 0)});
    out.push_back({"arch_prctl", call(SYS_arch_prctl, -1, nothing)});
    out.push_back({"open, the old call", call(SYS_open, "/etc/passwd", 0), false, 1});
    out.push_back({"fork, the old call", [] { return end_of_child(::syscall(SYS_fork)); }});
    out.push_back({"stat, the old call", call(SYS_stat, "/etc/passwd", nothing)});
#endif
}

}  // namespace

std::vector<forbidden_deed> forbidden_deeds(const std::string& folder) {
    list out;
    make_files(folder);
    add_opening(out);
    add_names(out);
    add_file_calls(out);
    add_descriptors(out);
    add_network(out, folder);
    add_processes(out);
    add_undoing(out);
    add_memory(out);
    add_kernel(out);
    return out;
}

}  // namespace tequio::node::testing
