#include "ledger/io/schema.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace tequio::ledger {
namespace {

base::error system_failure(std::string_view doing, const std::string& path) {
    return base::fail(errc::storage_failed,
                      std::string(doing) + " " + path + ": " + std::strerror(errno));
}

/// Closes its descriptor.
struct descriptor {
    int value;
    ~descriptor() {
        if (value >= 0) ::close(value);
    }
};

base::result<void> sync_folder_of(const std::string& path) {
    const auto slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const descriptor d{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (d.value < 0 || ::fsync(d.value) != 0) return system_failure("syncing", folder);
    return {};
}

}  // namespace

base::result<void> check_format(database& db, const std::string& path) {
    TEQUIO_TRY(const auto id, db.number("PRAGMA application_id"));
    TEQUIO_TRY(const auto version, db.number("PRAGMA user_version"));
    if (id != application_id) return base::fail(errc::damaged, path + " is not a ledger of Tequio");
    if (version > format_version) {
        return base::fail(errc::newer_version,
                          path + " has ledger format " + std::to_string(version) +
                              "; this program reads up to " + std::to_string(format_version) +
                              ". Use the newer tequio that wrote it.");
    }
    return {};
}

base::result<void> replace_file(const std::string& path, std::string_view content) {
    const auto temporary = path + ".new";
    {
        const descriptor d{
            ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
        if (d.value < 0) return system_failure("creating", temporary);
        while (!content.empty()) {
            const auto n = ::write(d.value, content.data(), content.size());
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return system_failure("writing", temporary);
            content.remove_prefix(static_cast<std::size_t>(n));
        }
        if (::fsync(d.value) != 0) return system_failure("syncing", temporary);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return system_failure("replacing", path);
    return sync_folder_of(path);
}

base::result<std::string> read_file(const std::string& path, std::size_t size_max_bytes) {
    const descriptor d{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    if (d.value < 0) {
        if (errno == ENOENT) return std::string();
        return system_failure("opening", path);
    }
    std::string out;
    char buffer[65536];
    while (out.size() < size_max_bytes) {
        const auto n =
            ::read(d.value, buffer, std::min(sizeof buffer, size_max_bytes - out.size()));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return system_failure("reading", path);
        if (n == 0) break;
        out.append(buffer, static_cast<std::size_t>(n));
    }
    return out;
}

base::result<file_lock> file_lock::take(const std::string& path) {
    const int d = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d < 0) return system_failure("opening", path);
    file_lock lock(d);
    if (::flock(d, LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return base::fail(errc::locked, "another process holds " + path +
                                                "; stop it, or use another data directory");
        }
        return system_failure("locking", path);
    }
    return lock;
}

file_lock::file_lock(file_lock&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)) {}

file_lock& file_lock::operator=(file_lock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

file_lock::~file_lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace tequio::ledger
