#include "node/cli/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "node/cli/context.hpp"

extern char** environ;

namespace tequio::node {
namespace {

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (auto& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

std::vector<std::string> environment_of(const child_options& options) {
    std::vector<std::string> out;
    for (const auto& [name, value] : options.environment) out.push_back(name + "=" + value);
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text(*entry);
        bool replaced = false;
        for (const auto& [name, value] : options.environment) {
            replaced = replaced || text.starts_with(name + "=");
        }
        if (!replaced) out.push_back(text);
    }
    return out;
}

/// What the new process calls between fork and exec: only what a signal handler may.
struct child_setup {
    pid_t parent;
    const char* output;
    bool own_session;
    int nice;
    int input;  ///< to be stdin, or -1
};

void prepare_child(const child_setup& s) {
    // The end of this process, whatever it is, is the end of that one.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != s.parent) ::_exit(127);
    // A group of its own in both cases, to be killed as one.
    if (s.own_session) {
        ::setsid();
    } else {
        ::setpgid(0, 0);
    }
    if (s.nice != 0) ::setpriority(PRIO_PROCESS, 0, s.nice);
    const int input = s.input >= 0 ? s.input : ::open("/dev/null", O_RDONLY);
    ::dup2(input, 0);
    const int output = ::open(s.output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(output, 1);
    ::dup2(output, 2);
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGPIPE, SIG_DFL);
}

base::error no_process(int reason) {
    return base::fail(base::errc::io_failure,
                      "cannot start a process: " + std::generic_category().message(reason));
}

}  // namespace

child_process& child_process::operator=(child_process&& other) noexcept {
    if (this == &other) return *this;
    kill_group();
    id_ = std::exchange(other.id_, 0);
    handle_ = std::exchange(other.handle_, -1);
    input_ = std::exchange(other.input_, -1);
    return *this;
}

base::result<child_process> child_process::start(const child_options& options) {
    auto arguments = options.arguments;
    auto environment = environment_of(options);
    const auto argument_list = pointers_to(arguments);
    const auto environment_list = pointers_to(environment);
    std::array<int, 2> pipe{-1, -1};
    if (options.waits && ::pipe2(pipe.data(), O_CLOEXEC) != 0) return no_process(errno);
    const child_setup setup{::getpid(), options.output.c_str(), options.own_session, options.nice,
                            pipe[0]};
    child_process out;
    out.input_ = pipe[1];
    const pid_t id = ::fork();
    if (id == 0) {
        prepare_child(setup);
        ::execve(argument_list[0], argument_list.data(), environment_list.data());
        ::_exit(127);
    }
    const int reason = errno;
    if (pipe[0] >= 0) ::close(pipe[0]);
    if (id < 0) return no_process(reason);
    out.id_ = id;
    // Both sides do it: whoever is first, the group exists when it is needed.
    if (!options.own_session) ::setpgid(id, id);
    out.handle_ = static_cast<int>(::syscall(SYS_pidfd_open, id, 0));
    return out;
}

void child_process::let_go() {
    if (input_ < 0) return;
    (void)!::write(input_, "\n", 1);
    ::close(std::exchange(input_, -1));
}

std::optional<int> child_process::wait(std::chrono::milliseconds patience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (id_ > 0 && !interrupted()) {
        int status = 0;
        if (::waitpid(id_, &status, WNOHANG) == id_) {
            // Its group may have others left.
            ::kill(-id_, SIGKILL);
            id_ = 0;
            close_all();
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) break;
        pollfd ended{handle_, POLLIN, 0};
        const auto step = std::min<std::int64_t>(left.count(), handle_ >= 0 ? 100 : 5);
        ::poll(&ended, handle_ >= 0 ? 1 : 0, static_cast<int>(step));
    }
    return std::nullopt;
}

void child_process::end(std::chrono::milliseconds patience) {
    if (id_ <= 0) return;
    ::kill(id_, SIGTERM);
    const auto end = std::chrono::steady_clock::now() + patience;
    siginfo_t ended{};
    while (std::chrono::steady_clock::now() < end) {
        // Left as it is for kill_group to wait for.
        const int done =
            ::waitid(P_PID, static_cast<id_t>(id_), &ended, WEXITED | WNOHANG | WNOWAIT);
        if (done != 0 || ended.si_pid == id_) break;
        ::poll(nullptr, 0, 5);
    }
    kill_group();
}

void child_process::kill_group() {
    if (id_ > 0) {
        ::kill(-id_, SIGKILL);
        ::kill(id_, SIGKILL);
        while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) continue;
        id_ = 0;
    }
    close_all();
}

void child_process::close_all() {
    if (handle_ >= 0) ::close(std::exchange(handle_, -1));
    if (input_ >= 0) ::close(std::exchange(input_, -1));
}

std::string own_program() {
    std::array<char, 4096> path;
    const auto size = ::readlink("/proc/self/exe", path.data(), path.size());
    return size > 0 ? std::string(path.data(), static_cast<std::size_t>(size)) : "tequio";
}

}  // namespace tequio::node
