#pragma once

/// Programs that a measurement starts beside itself. None outlives its object, nor this process.

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace tequio::node {

/// How a program is started.
struct child_options {
    std::vector<std::string> arguments;                            ///< the program's path first
    std::vector<std::pair<std::string, std::string>> environment;  ///< besides our own
    std::string output = "/dev/null";  ///< file that stdout and stderr are appended to
    bool own_session = false;          ///< and with it, where there are such, an autogroup
    int nice = 0;
    bool waits = false;  ///< has a pipe as stdin, which `let_go` writes a line to
};

/// A running program and the processes of its group. One thread at a time.
class child_process {
public:
    child_process() = default;
    child_process(child_process&& other) noexcept { *this = std::move(other); }
    child_process& operator=(child_process&& other) noexcept;
    ~child_process() { kill_group(); }

    /// Errors: `errc::io_failure` when the system gives no process. A program that cannot be run
    /// ends with status 127.
    static base::result<child_process> start(const child_options& options);

    pid_t id() const { return id_; }
    /// The line that a program with `waits` reads.
    void let_go();
    /// The exit status (128 + signal for one killed) once it has ended; nothing if that did not
    /// happen within `patience` or an interrupt arrived (`interrupted`).
    std::optional<int> wait(std::chrono::milliseconds patience);
    /// SIGTERM, and `kill_group` once it has ended or `patience` has; interrupts change nothing.
    void end(std::chrono::milliseconds patience);
    /// SIGKILL for the whole group; returns once the program is gone.
    void kill_group();

private:
    void close_all();

    pid_t id_ = 0;  ///< 0: none, or it was waited for
    int handle_ = -1;
    int input_ = -1;
};

/// The path of the running program, for starting it again.
std::string own_program();

}  // namespace tequio::node
