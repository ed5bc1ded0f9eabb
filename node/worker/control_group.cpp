#include "node/worker/control_group.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "base/text.hpp"
#include "node/io/files.hpp"

namespace tequio::node {
namespace {

constexpr std::string_view version_1_prefix = "tequio-worker-";

bool names(std::string_view list, std::string_view word, char separator) {
    const auto words = base::split(list, separator);
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// True if `folder` holds no process but this one.
bool only_we_are_in(const std::string& folder) {
    auto text = read_kernel_file(folder + "/cgroup.procs").value_or("");
    return text == std::to_string(::getpid()) + "\n";
}

/// Root may write everywhere, but only what systemd has handed over is not systemd's any more.
bool is_delegated(const std::string& folder) {
    if (::geteuid() != 0) return true;
    const auto name = std::filesystem::path(folder).extension();
    if (name != ".service" && name != ".scope" && name != ".slice") return true;
    std::array<char, 8> value{};
    for (const char* attribute : {"user.delegate", "trusted.delegate"}) {
        if (::getxattr(folder.c_str(), attribute, value.data(), value.size()) > 0) {
            return value[0] == '1';
        }
    }
    return false;
}

/// Groups that a daemon left when it was killed; only empty ones can be removed.
void remove_old_groups(const std::string& folder) {
    std::error_code ec;
    for (const auto& item : std::filesystem::directory_iterator(folder, ec)) {
        const auto name = item.path().filename().string();
        if (!name.starts_with(version_1_prefix)) continue;
        const auto pid = base::parse_u64(std::string_view(name).substr(version_1_prefix.size()));
        if (pid && *pid < 1u << 30 && ::kill(static_cast<pid_t>(*pid), 0) != 0 && errno == ESRCH) {
            ::rmdir(item.path().c_str());
        }
    }
}

}  // namespace

bool write_kernel_file(const std::string& path, std::string_view text) {
    // The kernel takes ten autogroup changes a second from all unprivileged processes together and
    // answers EAGAIN to the others.
    for (int attempt = 0; attempt < 10; ++attempt) {
        const unique_fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!fd) return false;
        if (::write(fd.get(), text.data(), text.size()) >= 0) return true;
        if (errno != EAGAIN) return false;
        ::poll(nullptr, 0, 50);
    }
    return false;
}

worker_group worker_group::make(std::uint64_t memory_bytes) {
    worker_group out;
    const auto own = find_group("cpu", read_kernel_file("/proc/self/cgroup").value_or(""),
                                read_kernel_file("/proc/self/mountinfo").value_or(""));
    if (!own || !own->seen) {
        out.how_ = "no control groups for processors here";
    } else if (own->version == 1) {
        out.make_version_1(*own);
    } else {
        out.make_version_2(*own, memory_bytes);
    }
    return out;
}

bool worker_group::make_version_1(const group_place& own) {
    remove_old_groups(own.folder());
    const auto folder =
        own.folder() + "/" + std::string(version_1_prefix) + std::to_string(::getpid());
    if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
        how_ = "control group " + own.path + " is not ours to divide";
        return false;
    }
    folder_ = folder;
    // 2 is the least there is. Both are tried: cpu.idle came with Linux 5.15.
    write_kernel_file(folder + "/cpu.shares", "2");
    const bool idle = write_kernel_file(folder + "/cpu.idle", "1");
    how_ = std::string("own control group, ") + (idle ? "cpu.idle" : "cpu.shares 2");
    return true;
}

bool worker_group::make_version_2(const group_place& own, std::uint64_t memory_bytes) {
    const auto top = own.folder();
    how_ = "control group " + own.path + " is not delegated to this program (Delegate=yes)";
    // The true root has no such file, and its processes need not move; but then it is not ours.
    if (::access((top + "/cgroup.type").c_str(), F_OK) != 0 || !is_delegated(top)) return false;
    if (::access((top + "/cgroup.subtree_control").c_str(), W_OK) != 0) return false;
    if (!only_we_are_in(top)) return false;
    auto controllers = read_kernel_file(top + "/cgroup.controllers").value_or("");
    while (controllers.ends_with('\n')) controllers.pop_back();
    if (!names(controllers, "cpu", ' ')) {
        how_ = "control group " + own.path + " has no CPU controller";
        return false;
    }
    const auto daemon = top + "/daemon", worker = top + "/worker";
    const bool made = (::mkdir(daemon.c_str(), 0755) == 0 || errno == EEXIST) &&
                      (::mkdir(worker.c_str(), 0755) == 0 || errno == EEXIST);
    if (!made || !write_kernel_file(daemon + "/cgroup.procs", "0") ||
        !write_kernel_file(top + "/cgroup.subtree_control", "+cpu")) {
        how_ = "control group " + own.path + " could not be divided";
        write_kernel_file(top + "/cgroup.procs", "0");
        ::rmdir(worker.c_str());
        ::rmdir(daemon.c_str());
        return false;
    }
    folder_ = worker;
    divided_ = top;
    const bool idle = write_kernel_file(worker + "/cpu.idle", "1") ||
                      !write_kernel_file(worker + "/cpu.weight", "1");
    how_ = std::string("own control group, ") + (idle ? "cpu.idle" : "cpu.weight 1");
    if (memory_bytes != 0 && names(controllers, "memory", ' ') &&
        write_kernel_file(top + "/cgroup.subtree_control", "+memory") &&
        write_kernel_file(worker + "/memory.high", std::to_string(memory_bytes))) {
        how_ += ", memory.high " + base::human_size(memory_bytes);
    }
    return true;
}

void worker_group::bound(std::uint64_t memory_bytes) {
    // Opened, not made: without the memory controller there is no such file.
    if (!folder_.empty()) write_kernel_file(folder_ + "/memory.high", std::to_string(memory_bytes));
}

worker_group::~worker_group() {
    if (folder_.empty()) return;
    // A killed process leaves its group a moment later.
    for (int attempt = 0; attempt < 10 && ::rmdir(folder_.c_str()) != 0 && errno == EBUSY;
         ++attempt) {
        ::poll(nullptr, 0, 20);
    }
    if (divided_.empty()) return;
    // Undivided again, or no process could be put into the group after us.
    write_kernel_file(divided_ + "/cgroup.subtree_control", "-cpu");
    write_kernel_file(divided_ + "/cgroup.subtree_control", "-memory");
    if (write_kernel_file(divided_ + "/cgroup.procs", "0")) ::rmdir((divided_ + "/daemon").c_str());
}

}  // namespace tequio::node
