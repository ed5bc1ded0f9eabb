#pragma once

/// Programs that a test starts and ends, and a folder for what they leave.

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace tequio::tests {

/// A new folder under the system's own for temporary files; removed with what is in it.
class test_folder {
public:
    test_folder();
    test_folder(const test_folder&) = delete;
    test_folder& operator=(const test_folder&) = delete;
    ~test_folder();
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

/// A running program; killed and waited for by the destructor. Its output goes to a file.
class child_process {
public:
    /// `environment` ("NAME=value") is all the child gets, besides PATH and HOME.
    child_process(const std::vector<std::string>& command,
                  const std::vector<std::string>& environment, std::filesystem::path output);
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;
    ~child_process();

    /// What it has said so far, on both streams.
    std::string output() const;
    bool running();
    /// SIGTERM, then waits up to `limit`; the exit status, -1 when it did not end or by a signal.
    int end(std::chrono::milliseconds limit);
    /// CPU time it has used.
    std::chrono::milliseconds cpu_time() const;
    pid_t pid() const { return pid_; }

private:
    pid_t pid_ = -1;
    int status_ = -1;
    std::filesystem::path output_;
};

/// Runs a command to its end, without output; true when it ended with 0.
bool run_command(const std::vector<std::string>& command,
                 const std::vector<std::string>& environment);

/// True when `program` is found by PATH.
bool installed(const std::string& program);
/// Ends this test program as skipped, with a reason, unless the program is installed.
void skip_without(const std::string& program, const std::string& package);

/// True once `what` is; false when `limit` has passed.
bool becomes(std::chrono::milliseconds limit, const std::function<bool()>& what);

}  // namespace tequio::tests
