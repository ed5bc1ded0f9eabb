#include "tests/support/processes.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/ensure.hpp"

namespace tequio::tests {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

pid_t spawn(const std::vector<std::string>& command, const std::vector<std::string>& environment,
            const std::string& output) {
    std::vector<std::string> variables = environment;
    variables.push_back("PATH=" + variable("PATH"));
    variables.push_back("HOME=" + variable("HOME"));
    std::vector<char*> argv, envp;
    for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
    for (const auto& word : variables) envp.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t pid = -1;
    const int failed = ::posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    return failed == 0 ? pid : -1;
}

}  // namespace

test_folder::test_folder() {
    const auto folder = variable("TMPDIR");
    std::string name = (folder.empty() ? "/tmp" : folder) + "/tequio-test.XXXXXX";
    base::ensure(::mkdtemp(name.data()) != nullptr, "a test can make its folder");
    path_ = name;
}

test_folder::~test_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

child_process::child_process(const std::vector<std::string>& command,
                             const std::vector<std::string>& environment,
                             std::filesystem::path output)
    : output_(std::move(output)) {
    pid_ = spawn(command, environment, output_.string());
    base::ensure(pid_ > 0, "a test starts programs that are there");
}

child_process::~child_process() {
    if (!running()) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
}

std::string child_process::output() const {
    std::ifstream in(output_);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

bool child_process::running() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
}

int child_process::end(std::chrono::milliseconds limit) {
    if (pid_ > 0) ::kill(pid_, SIGTERM);
    if (!becomes(limit, [this] { return !running(); })) return -1;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1;
}

std::chrono::milliseconds child_process::cpu_time() const {
    std::ifstream in("/proc/" + std::to_string(pid_) + "/stat");
    std::string text;
    std::getline(in, text);
    // Fields 14 and 15; the second is a name in brackets that may hold spaces.
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int i = 3; i < 14; ++i) fields >> skipped;
    long user = 0, system = 0;
    fields >> user >> system;
    return std::chrono::milliseconds((user + system) * 1000 / ::sysconf(_SC_CLK_TCK));
}

bool run_command(const std::vector<std::string>& command,
                 const std::vector<std::string>& environment) {
    const auto pid = spawn(command, environment, "/dev/null");
    int status = -1;
    return pid > 0 && ::waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

bool installed(const std::string& program) {
    std::istringstream folders(variable("PATH"));
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (::access((folder + "/" + program).c_str(), X_OK) == 0) return true;
    }
    return false;
}

void skip_without(const std::string& program, const std::string& package) {
    if (installed(program)) return;
    std::printf("skipped: no %s here; it comes with the package %s\n", program.c_str(),
                package.c_str());
    std::fflush(stdout);
    std::_Exit(77);
}

bool becomes(std::chrono::milliseconds limit, const std::function<bool()>& what) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!what()) {
        if (std::chrono::steady_clock::now() >= until) return false;
        ::poll(nullptr, 0, 5);
    }
    return true;
}

}  // namespace tequio::tests
